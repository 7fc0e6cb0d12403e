"""What a worker of test_distributed runs: one epoch, then its weights and scores into a file."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import torch

from convatlas.data.sets import TensorSet
from convatlas.data.sources import DataSource
from convatlas.define import BatchNorm, Conv, Flatten, Linear, MaxPool, Network, ReLU
from convatlas.training.fit import fit
from convatlas.training.recipe import Recipe


def source() -> DataSource:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (74, 1, 12, 12), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 3, (74,), generator=generator)
    train = TensorSet(images[:48], labels[:48], ("a", "b", "c"), "noise")
    return DataSource(
        "noise", train, TensorSet(images[48:], labels[48:], ("a", "b", "c"), "noise"), train.classes
    )


NETWORK = Network(
    input=(1, 12, 12), name="tiny",
    conv=Conv(6, 3), relu=ReLU(), pool=MaxPool(2), flatten=Flatten(), fc=Linear(3),
)  # fmt: skip
NORMED = Network(
    input=(1, 12, 12), name="normed",
    conv=Conv(6, 3, bias=False), norm=BatchNorm(), relu=ReLU(), pool=MaxPool(2), flatten=Flatten(), fc=Linear(3),
)  # fmt: skip
# one step an epoch and no momentum: the change of the weights is the gradient
RECIPE = Recipe(
    epochs=1, batch=48, lr=1.0, momentum=0.0, optimizer="sgd", precision="float32", replicas=1, deterministic=True,
    channels_last="off", select="last",
)  # fmt: skip


def main(out: Path) -> None:
    normed = out.stem.startswith("normed")
    recipe = dataclasses.replace(RECIPE, sync_batchnorm="sync" in out.stem)
    outcome = fit(
        NORMED if normed else NETWORK, source(), recipe, out=out.parent / f"run-{out.stem}", seed=4, device="cpu",
        resume=True,
    )  # fmt: skip
    if int(os.environ.get("RANK", "0")) == 0:
        scores = outcome.scores
        torch.save(
            {
                "model": outcome.model.state_dict(),
                "loss": scores.loss,
                "top1": scores.top1,
                "n": scores.images,
            },
            out,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
