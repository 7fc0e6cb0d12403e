"""What a worker of test_distributed runs on shares that differ: its model, its scores and its history into a file."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch
from gloo_worker import NETWORK, NORMED, RECIPE, source  # type: ignore[import-not-found]

from convatlas.define import (
    BatchNorm,
    Conv,
    GlobalAvgPool,
    Linear,
    Network,
    ReLU,
    Residual,
    Sequential,
)
from convatlas.errors import MisuseError
from convatlas.training.distributed import joined
from convatlas.training.fit import fit

DROPPING = Network(
    input=(1, 12, 12), name="dropping",
    conv=Conv(6, 3), block=Residual(body=Sequential(conv=Conv(6, 3, padding=1), norm=BatchNorm()), survival=0.5),
    relu=ReLU(), pool=GlobalAvgPool(), fc=Linear(3),
)  # fmt: skip
# name: network, recipe, how many of the pictures
CASES = {
    # weights and statistics of one worker are in the score of all
    "dropped": (DROPPING, dataclasses.replace(RECIPE, epochs=3, batch=8, lr=0.1), 48),
    "averaged": (NORMED, dataclasses.replace(RECIPE, epochs=2, batch=8, lr=0.1, ema=0.5), 48),
    # of a batch of 8 the first worker has 3 pictures and the second none; of 12 in parts, 6 and 4
    "empty": (NETWORK, dataclasses.replace(RECIPE, batch=8), 3),
    "joint": (NORMED, dataclasses.replace(RECIPE, batch=8, sync_batchnorm=True), 3),
    "parts": (NETWORK, dataclasses.replace(RECIPE, batch=12, accumulate=3), 10),
}


def found() -> dict[str, dict[str, object]]:
    """Of each case what its run came to."""
    result: dict[str, dict[str, object]] = {}
    for name, (network, recipe, count) in CASES.items():
        data = source()
        outcome = fit(
            network,
            dataclasses.replace(data, train=data.train.subset(range(count))),
            recipe,
            seed=4,
            device="cpu",
        )
        result[name] = {
            "model": outcome.model.state_dict(),
            "loss": outcome.scores.loss,
            "last": outcome.history[-1]["loss"],
        }
    return result


def refused() -> str:
    """What is said to replicas beside workers."""
    try:
        fit(NETWORK, source(), dataclasses.replace(RECIPE, replicas=2), device="cpu")
    except MisuseError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu") as worker:
        runs: dict[str, object] = {**found(), "refused": refused()}
        torch.save(runs, Path(sys.argv[1]).with_suffix(f".{worker.rank}"))
