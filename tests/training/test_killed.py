"""SIGKILL at random moments, on a real command: the resumed run ends with the same bits."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from convatlas.weights import read_weights


def command(out: Path) -> list[str]:
    return [
        sys.executable, "-m", "convatlas", "train", "lenet5", "--epochs", "4", "--batch", "128", "--seed", "5",
        "--deterministic", "--checkpoint-minutes", "0.002", "--out", str(out), "--resume", "--json",
    ]  # fmt: skip


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(whole), check=True, capture_output=True, timeout=300)
    random.seed(2)
    kills = 0
    while not (parts / "summary.json").exists():
        process = subprocess.Popen(command(parts), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = len(list((parts / "checkpoints").glob("*.ckpt"))) if (parts / "checkpoints").exists() else 0
        first = {p.name for p in (parts / "checkpoints").glob("*.ckpt")} if before else set()
        if kills < 3:
            # let it come far enough to save something new, then kill it some moments later
            until = time.monotonic() + 120
            while time.monotonic() < until and process.poll() is None:
                now = (
                    {p.name for p in (parts / "checkpoints").glob("*.ckpt")}
                    if (parts / "checkpoints").exists()
                    else set()
                )
                if now - first:
                    break
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.3))
            process.kill()
            kills += 1
        process.wait(timeout=300)
    assert kills == 3
    one, two = (read_weights(f / "weights.safetensors").state_dict for f in (whole, parts))
    assert all(torch.equal(one[k], two[k]) for k in one)
    scores = [json.loads((f / "summary.json").read_text())["top1"] for f in (whole, parts)]
    assert scores[0] == scores[1]
