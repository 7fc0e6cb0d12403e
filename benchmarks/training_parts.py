"""Where a training step of ResNet-20 goes: each kind of operation of its three stages, alone, float32 and bf16.

Batch 128, the middle layers' shapes, all threads. float32 is channels first, as the plain loop has it; bf16 is
channels last, as ours has it. Milliseconds, the fastest of 15 calls; the sum is over the layers that the network has.
`convatlas train` may also compile: `--compiled` times whole steps of the plain loop, of ours, and of ours compiled.

    python benchmarks/training_parts.py [--compiled]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from training_common import report, spread

from convatlas.allocator import keep_memory
from convatlas.define.preprocessing import NAMED
from convatlas.modules import build
from convatlas.networks import catalogue
from convatlas.training.optimizer import make
from convatlas.training.plan import Plan
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper

BATCH = 128
# channels, side, 3x3 convolutions with norm and ReLU, additions
STAGES = ((16, 32, 7, 3), (32, 16, 6, 3), (64, 8, 6, 3))
OPS = torch.ops.aten


def best(call: Callable[[], object]) -> float:
    """Milliseconds of the fastest of 15 calls."""
    times = []
    for _ in range(17):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * min(times[2:])


def parts(channels: int, side: int, dtype: torch.dtype, layout: torch.memory_format) -> dict[str, float]:
    """Milliseconds of each operation on (128, channels, side, side)."""
    x = torch.randn(BATCH, channels, side, side).to(dtype).contiguous(memory_format=layout)
    dy, w = (
        torch.randn_like(x),
        torch.randn(channels, channels, 3, 3).to(dtype).contiguous(memory_format=layout),
    )
    norm = torch.nn.BatchNorm2d(channels)
    own = (norm.weight.detach(), norm.bias.detach(), norm.running_mean, norm.running_var)
    _, mean, inverse = OPS.native_batch_norm(x, *own, True, 0.1, 1e-5)

    def backward(inputs: bool, weights: bool) -> tuple[Tensor, ...]:
        return OPS.convolution_backward(
            dy, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [inputs, weights, False]
        )

    return {
        "convolution": best(lambda: torch.conv2d(x, w, padding=1)),
        "its input's gradient": best(lambda: backward(True, False)),
        "its weights' gradient": best(lambda: backward(False, True)),
        "batch norm": best(lambda: OPS.native_batch_norm(x, *own, True, 0.1, 1e-5)),
        "its gradient": best(
            lambda: OPS.native_batch_norm_backward(
                dy, x, own[0], own[2], own[3], mean, inverse, True, 1e-5, [True, True, True]
            )
        ),
        "ReLU": best(lambda: torch.relu(x)),
        "its gradient ": best(lambda: OPS.threshold_backward(dy, x, 0)),
        "addition": best(lambda: x + dy),
    }


def whole() -> list[str]:
    """Whole steps in turns: plain, ours, ours compiled, each with two threads and as two replicas."""
    threads = torch.get_num_threads()
    plans = {
        "plain loop": Plan(threads=threads),
        "bf16": Plan("bf16", True, threads=threads),
        "bf16, two replicas": Plan("bf16", True, replicas=2),
        "bf16, compiled": Plan("bf16", True, compile=True, threads=threads),
        "bf16, compiled, two replicas": Plan("bf16", True, compile=True, replicas=2),
    }
    images, labels = torch.randint(0, 256, (BATCH, 3, 32, 32)).to(torch.uint8), torch.randint(0, 10, (BATCH,))
    steps: dict[str, Callable[[], None]] = {}
    lines = ["", "| whole step | images/s | ready after |", "| --- | --- | ---: |"]
    ready = {}
    for name, plan in plans.items():
        start = time.perf_counter()
        model, recipe = build(catalogue.network("resnet20")).train(), Recipe(batch=BATCH, lr=0.01)
        stepper = Stepper(model, recipe, plan, NAMED["cifar"], 1000, torch.device("cpu"))
        optimizer = make(model, recipe)

        def step(stepper: Stepper = stepper, optimizer: torch.optim.Optimizer = optimizer) -> None:
            with stepper.threads():
                stepper.gradients(images, labels, Moment(0, 0, 0))
                optimizer.step()

        step(), step()
        steps[name], ready[name] = step, time.perf_counter() - start
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(9):
        for name, step in steps.items():
            start = time.perf_counter()
            step(), step()
            rates[name].append(2 * BATCH / (time.perf_counter() - start))
    return [*lines, *(f"| {name} | {spread(r)} | {ready[name]:.0f} s |" for name, r in rates.items())]


def main() -> None:
    """Print the tables and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiled", action="store_true", help="whole steps, too; compiling takes minutes")
    args = parser.parse_args()
    keep_memory()
    lines = ["Protocol: the docstring of `benchmarks/training_parts.py`. float32 / bf16, ms.", ""]
    names = list(parts(4, 4, torch.float32, torch.contiguous_format))
    lines += [f"| stage | {' | '.join(names)} | sum |", f"| --- |{' ---: |' * (len(names) + 1)}"]
    totals = [0.0, 0.0]
    for channels, side, convolutions, additions in STAGES:
        both = [
            parts(channels, side, dtype, layout)
            for dtype, layout in (
                (torch.float32, torch.contiguous_format),
                (torch.bfloat16, torch.channels_last),
            )
        ]
        sums = [
            sum(t * (additions if name == "addition" else convolutions) for name, t in part.items())
            for part in both
        ]
        totals = [a + b for a, b in zip(totals, sums, strict=True)]
        cells = " | ".join(f"{both[0][n]:.2f} / {both[1][n]:.2f}" for n in names)
        lines.append(f"| {channels} x {side} x {side} | {cells} | {sums[0]:.0f} / {sums[1]:.0f} |")
    lines.append(f"| all layers |{' |' * len(names)} {totals[0]:.0f} / {totals[1]:.0f} |")
    report(
        "training-parts",
        "Where a training step of ResNet-20 goes",
        lines + (whole() if args.compiled else []),
    )


if __name__ == "__main__":
    main()
