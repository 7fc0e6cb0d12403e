"""Several workers: the gradients of one with the joint batch, exact sums, and two hosts that are namespaces."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from convatlas.training.run import next_folder

WORKER = Path(__file__).with_name("gloo_worker.py")
SHARES = Path(__file__).with_name("shares_worker.py")
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def environment(rank: int, world: int, address: str, port: int) -> dict[str, str]:
    return os.environ | {
        "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "MASTER_ADDR": address,
        "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip


def run(
    out: Path, world: int, prefixes: list[list[str]] | None = None, address: str = "127.0.0.1", **extra: str
) -> dict[str, object]:
    port = free_port()
    prefixes = prefixes or [[]] * world
    processes = [
        subprocess.Popen([*prefix, sys.executable, str(WORKER), str(out)], env=environment(rank, world, address, port) | extra,
                         stderr=subprocess.PIPE, text=True)
        for rank, prefix in enumerate(prefixes)
    ]  # fmt: skip
    for process in processes:
        _, told = process.communicate(timeout=240)
        assert process.returncode == 0, told[-2000:]
    return torch.load(out, weights_only=True)


@pytest.mark.slow
def test_two_workers_give_the_gradient_and_the_scores_of_one(tmp_path: Path) -> None:
    one = run(tmp_path / "one.pt", 1)
    two = run(tmp_path / "two.pt", 2)
    assert one["n"] == two["n"] == 26  # each picture of the test set once, though 26 is no multiple
    assert one["top1"] == two["top1"]
    assert one["loss"] == pytest.approx(two["loss"], abs=1e-6)
    for key, value in one["model"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(two["model"][key], value, atol=1e-6, rtol=0)  # type: ignore[index]


@pytest.mark.slow
def test_synchronized_batch_norm_is_that_of_the_joint_batch(tmp_path: Path) -> None:
    """Weights and running statistics of two workers are one worker's; without the option they are not."""
    one = run(tmp_path / "normed-one.pt", 1)["model"]
    joint = run(tmp_path / "normed-sync-two.pt", 2)["model"]
    apart = run(tmp_path / "normed-two.pt", 2)["model"]
    for key, value in one.items():  # type: ignore[attr-defined]
        torch.testing.assert_close(joint[key], value, atol=1e-6, rtol=1e-6)  # type: ignore[index]
    assert float((apart["norm.running_var"] - one["norm.running_var"]).abs().max()) > 1e-5  # type: ignore[index]


@pytest.mark.slow
def test_workers_whose_shares_differ_train_as_one_and_score_the_same_weights(tmp_path: Path) -> None:
    """Blocks that one of them drops, statistics of its own, no pictures, fewer of them than parts: nobody waits for ever."""
    found = {}
    for world in (1, 2):
        port, out = free_port(), tmp_path / f"{world}"
        workers = [
            subprocess.Popen(
                [sys.executable, str(SHARES), str(out)], env=environment(rank, world, "127.0.0.1", port)
            )
            for rank in range(world)
        ]
        try:
            assert [w.wait(timeout=240) for w in workers] == [0] * world
        finally:
            for worker in workers:
                worker.kill()
        for rank in range(world):
            found[world, rank] = torch.load(out.with_suffix(f".{rank}"), weights_only=True)
    assert all("2 workers" in found[2, rank].pop("refused") for rank in range(2))
    for case, first in found[2, 0].items():
        assert first["loss"] == pytest.approx(first["last"], rel=1e-6), case
        for key, value in first["model"].items():
            assert torch.equal(found[2, 1][case]["model"][key], value), (case, key)
            if case in {"empty", "joint", "parts"}:
                alone = found[1, 0][case]["model"][key]
                torch.testing.assert_close(value, alone, atol=1e-6, rtol=1e-6, check_dtype=False)


@pytest.fixture
def two_hosts():
    """Two network namespaces joined by a cable; skipped where this is not allowed."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and ip")
    names = [f"convatlas{os.getpid()}{x}" for x in "ab"]

    def ip(*args: str) -> bool:
        return subprocess.run(["ip", *args], capture_output=True, check=False).returncode == 0

    good = all(ip("netns", "add", n) for n in names)
    good = good and ip(
        "link", "add", "va", "netns", names[0], "type", "veth", "peer", "name", "vb", "netns", names[1]
    )
    for n, dev, address in zip(names, ("va", "vb"), ("10.77.0.1/24", "10.77.0.2/24"), strict=True):
        good = (
            good and ip("-n", n, "addr", "add", address, "dev", dev) and ip("-n", n, "link", "set", dev, "up")
        )
        good = good and ip("-n", n, "link", "set", "lo", "up")
    try:
        if not good:
            pytest.skip("this machine does not allow network namespaces")
        yield names
    finally:
        for n in names:
            ip("netns", "delete", n)


@pytest.mark.slow
def test_two_hosts_train_as_one(tmp_path: Path, two_hosts: list[str]) -> None:
    one = run(tmp_path / "one.pt", 1)
    prefixes = [
        ["ip", "netns", "exec", n, "env", f"GLOO_SOCKET_IFNAME={dev}"]
        for n, dev in zip(two_hosts, ("va", "vb"), strict=True)
    ]
    two = run(tmp_path / "hosts.pt", 2, prefixes, "10.77.0.1")
    for key, value in one["model"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(two["model"][key], value, atol=1e-6, rtol=0)  # type: ignore[index]


@pytest.mark.slow
def test_a_killed_worker_is_restarted_from_the_last_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "run"
    script = tmp_path / "worker.py"
    script.write_text(
        "import os, signal, sys\n"
        "from convatlas.cli import main\n"
        "from convatlas.training import checkpoint\n"
        "save = checkpoint.save\n"
        "def once(folder, step, state):\n"
        "    path = save(folder, step, state)\n"
        "    if state['progress']['epoch'] == 2 and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return path\n"
        "checkpoint.save = once\n"
        "sys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1", "--standalone", str(script), "train", "lenet5", "--epochs", "3", "--batch", "256", "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
    assert "going on from step" in done.stderr
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    assert (out / "summary.json").exists()


@pytest.mark.slow
def test_without_a_folder_all_workers_take_that_of_the_first(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(WORKER.parent)!r})\n"
        "from gloo_worker import NETWORK, RECIPE, source\n"
        "from convatlas.training.fit import fit\n"
        "rank = os.environ['RANK']\n"
        "found = fit(NETWORK, source(), RECIPE, out=Path(f'chosen-by-{rank}'), device='cpu')\n"
        "Path(f'told-{rank}').write_text(found.summary['weights'])\n",
        encoding="utf-8",
    )
    port = free_port()
    workers = [
        subprocess.Popen(
            [sys.executable, str(script)], cwd=tmp_path, env=environment(rank, 2, "127.0.0.1", port)
        )
        for rank in range(2)
    ]
    assert [w.wait(timeout=240) for w in workers] == [0, 0]
    assert {(tmp_path / f"told-{r}").read_text() for r in range(2)} == {"chosen-by-0/weights.safetensors"}
    assert (tmp_path / "chosen-by-0/summary.json").exists()
    assert not (tmp_path / "chosen-by-1").exists()


def test_a_restarted_run_without_a_folder_goes_on_in_the_latest(tmp_path: Path) -> None:
    assert next_folder(tmp_path, "lenet5", "sets/mnist").name == "lenet5-mnist-1"
    assert (
        next_folder(tmp_path, "lenet5", "mnist", last=True).name == "lenet5-mnist-1"
    )  # died before it began
    for number in (1, 2):
        (tmp_path / f"lenet5-mnist-{number}").mkdir()
    assert next_folder(tmp_path, "lenet5", "mnist").name == "lenet5-mnist-3"
    assert next_folder(tmp_path, "lenet5", "mnist", last=True).name == "lenet5-mnist-2"
