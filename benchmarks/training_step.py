"""Training steps: images a second of what `convatlas train` chooses, against the plain loop, in one run, in turns.

The plain loop is what a tutorial has: float32, channels first, SGD with momentum, all threads, a batch that is
already in memory. Ours is the trainer's own step on bytes: augmentation off, normalization included, the plan that
the trainer measured (--unmeasured: the one that it takes where the machine is too busy to measure). Each runs in a
process of its own, since training changes the process's allocator. Turns alternate; a ratio is of two neighbours in
time; the median of the ratios is the figure.

    python benchmarks/training_step.py [--turns 7] [--cases lenet5:256:32 resnet20:128:32 resnet18:32:224]
    ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/training_step.py --no-bf16     a CPU without AMX
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
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


def ours(
    name: str, images: torch.Tensor, labels: torch.Tensor, *, unmeasured: bool
) -> tuple[Callable[[], None], str]:
    """The trainer's step on bytes, and the plan it chose."""
    network = catalogue.network(name)
    model = build(network).train()
    recipe = Recipe(batch=len(images), lr=0.01)
    preprocessing = NAMED["digit" if network.input[0] == 1 else "cifar"]
    device = torch.device("cpu")
    chosen = plans.fixed(model, recipe, device, len(images))
    if not unmeasured:
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


def worker(kind: str, case: str, *, unmeasured: bool) -> None:
    """In a process of its own: say the plan, then half a second of steps for each line that comes in."""
    name, batch, side = case.split(":")
    channels = catalogue.network(name).input[0]
    torch.manual_seed(0)
    images = torch.randint(0, 256, (int(batch), channels, int(side), int(side))).to(torch.uint8)
    labels = torch.randint(0, 10, (int(batch),))
    if kind == "plain":
        step, described = plain(name, images, labels), "plain"
    else:
        step, described = ours(name, images, labels, unmeasured=unmeasured)
    step(), step()
    print(described, flush=True)
    for _ in sys.stdin:
        start, count = time.perf_counter(), 0
        while count < 2 or time.perf_counter() - start < 0.5:
            step()
            count += 1
        print(count * len(images) / (time.perf_counter() - start), flush=True)


class Contender:
    """One of the two, in its process."""

    def __init__(self, kind: str, arguments: list[str], case: str) -> None:
        words = [sys.executable, __file__, "--worker", kind, "--cases", case, *arguments]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rates: list[float] = []
        self.plan = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"a worker ended early, code {self.process.wait()}")
        return line

    def turn(self) -> None:
        """Half a second of steps, while the other waits."""
        assert self.process.stdin is not None
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        self.rates.append(float(self._line()))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--cases", nargs="*", default=["lenet5:512:32", "resnet20:128:32", "resnet18:32:224"])
    parser.add_argument("--no-bf16", action="store_true", help="as on a CPU without bf16 units")
    parser.add_argument("--unmeasured", action="store_true", help="the plan of a machine too busy to measure")
    parser.add_argument("--name", default="training-step")
    parser.add_argument("--worker", choices=("plain", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.no_bf16:
        plans.cpu_flags = frozenset  # type: ignore[assignment]
    if args.worker:
        worker(args.worker, args.cases[0], unmeasured=args.unmeasured)
        return
    kind = "without bf16 units" if args.no_bf16 else "as the machine is"
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA")
    passed = [flag for flag, on in (("--no-bf16", args.no_bf16), ("--unmeasured", args.unmeasured)) if on]
    lines = [
        (
            f"CPU {kind}{f', ONEDNN_MAX_CPU_ISA={isa}' if isa else ''}; plan {'unmeasured' if args.unmeasured else 'measured'}; "
            f"{args.turns} turns of half a second each, a process each."
        ),
        "",
        "| network, batch, side | plain images/s | ours images/s | ratio of neighbours | plan |",
        "| --- | --- | --- | --- | --- |",
    ]
    for case in args.cases:
        # one after the other: choosing a plan is a measurement, too
        usual, own = (Contender(who, passed, case) for who in ("plain", "ours"))
        for _ in range(args.turns):
            usual.turn(), own.turn()
        usual.close(), own.close()
        ratios = [b / a for a, b in zip(usual.rates, own.rates, strict=True)]
        lines.append(
            f"| {case.replace(':', ', ')} | {spread(usual.rates)} | {spread(own.rates)} | "
            f"**{statistics.median(ratios):.2f}** [{min(ratios):.2f} to {max(ratios):.2f}] | {own.plan} |"
        )
        print(lines[-1], flush=True)
        report(
            args.name, "Training steps against the plain float32 loop", lines
        )  # after each: one may take long


if __name__ == "__main__":
    main()
