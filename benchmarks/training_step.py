"""Training steps: images a second of what `convatlas train` chooses, against the plain loop, in one run, in turns.

The plain loop is what a tutorial has: float32, channels first, SGD with momentum, all threads, a batch that is
already in memory. Ours is the trainer's own step on bytes: augmentation off, normalization included, the plan that
the trainer measured. Turns alternate; a ratio is of two neighbours in time; the median of the ratios is the figure.

    python benchmarks/training_step.py [--turns 7] [--cases lenet5:256:32 resnet20:128:32 resnet18:32:224]
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/training_step.py --no-bf16     a CPU without AMX
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from training_common import report, spread

from convatlas.define.preprocessing import NAMED
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training import plan as plans
from convatlas.training.measure import choose
from convatlas.training.optimizer import make
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper


def plain(name: str, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """The tutorial's step on floats."""
    model = build(catalogue.network(name)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = images.to(torch.float32) / 255

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()

    return step


def ours(name: str, images: torch.Tensor, labels: torch.Tensor) -> tuple[Callable[[], None], str]:
    """The trainer's step on bytes, and the plan it chose."""
    network = catalogue.network(name)
    model = build(network).train()
    recipe = Recipe(batch=len(images), lr=0.01)
    preprocessing = NAMED["digit" if network.input[0] == 1 else "cifar"]
    device = torch.device("cpu")
    chosen, _ = choose(model, recipe, preprocessing, 1000, device, images, labels)
    stepper = Stepper(model, recipe, chosen, preprocessing, 1000, device)
    for task in stepper.tasks:
        task.train()
    optimizer = make(model, recipe)

    def step() -> None:
        with stepper.threads():
            stepper.gradients(images, labels, Moment(0, 0, 0))
            optimizer.step()

    return step, chosen.describe()


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--cases", nargs="*", default=["lenet5:256:32", "resnet20:128:32", "resnet18:32:224"])
    parser.add_argument("--no-bf16", action="store_true", help="as on a CPU without bf16 units")
    parser.add_argument("--name", default="training-step")
    args = parser.parse_args()
    if args.no_bf16:
        plans.cpu_flags = frozenset  # type: ignore[assignment]
    kind = (
        "without bf16 units (ONEDNN_MAX_CPU_ISA as in the environment)"
        if args.no_bf16
        else "as the machine is"
    )
    lines = [
        "| network, batch, side | plain images/s | ours images/s | ratio of neighbours | plan |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in args.cases:
        name, batch, side = case.split(":")
        channels = catalogue.network(name).input[0]
        torch.manual_seed(0)
        images = torch.randint(0, 256, (int(batch), channels, int(side), int(side))).to(torch.uint8)
        labels = torch.randint(0, 10, (int(batch),))
        own, described = ours(name, images, labels)
        usual = plain(name, images, labels)
        own(), usual()
        rates: tuple[list[float], list[float]] = ([], [])
        for _ in range(args.turns):
            for rate, step in zip(rates, (usual, own), strict=True):
                start, count = time.perf_counter(), 0
                while count < 2 or time.perf_counter() - start < 0.5:
                    step()
                    count += 1
                rate.append(count * len(images) / (time.perf_counter() - start))
        ratios = [b / a for a, b in zip(*rates, strict=True)]
        lines.append(
            f"| {name}, {batch}, {side} | {spread(rates[0])} | {spread(rates[1])} | **{statistics.median(ratios):.2f}** "
            f"[{min(ratios):.2f} to {max(ratios):.2f}] | {described} |"
        )
        print(lines[-1], flush=True)
        report(
            args.name,
            "Training steps against the plain float32 loop",
            [f"CPU {kind}; {args.turns} turns of half a second each.", "", *lines],
        )  # after each: one may take long


if __name__ == "__main__":
    main()
