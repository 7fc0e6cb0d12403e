"""Inference on one GPU: `precision="auto"` against timm's model, eager and by torch.compile(mode="max-autotune").

Peers: timm's model as made, in float32 and in bf16 channels_last, and the latter compiled with max-autotune, which is
given images that are bf16 and channels last already; ours takes float32 images, as `optimize` promises, and converts.
Weights are random, made sane (benchmark/models.py), which leaves next to nothing between the first two of 1,000 classes:
bounds on answers are for real weights, and the reports show how far each candidate was off. Calls alternate (`timing.in_rounds`), each waits for the device, and a
ratio is of medians.

    python benchmarks/gpu_inference.py [resnet50_v1_5 ...] [--batch 1 32] [--engines cudnn cudagraph inductor]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from training_common import report

from convatlas.inference.benchmark.models import make, make_sane
from convatlas.inference.checking import Bounds
from convatlas.inference.optimize import optimize
from convatlas.inference.timing import Timing, in_rounds

CUDA = torch.device("cuda")
IN_TIMM = {"resnet50_v1_5": "resnet50", "mobilenet_v2": "mobilenetv2_100"}
LAST = torch.channels_last
FREE = dict.fromkeys(("float32", "bf16"), Bounds(0.0, 1.0))


def quiet(call: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], Tensor]:
    """Without gradients, on these images."""

    def run() -> Tensor:
        with torch.no_grad():
            return call(images)

    return run


def row(kind: str, timing: Timing, batch: int, ours: Timing) -> str:
    """A line of the table."""
    ratio = "" if kind.startswith("ours") else f"**{timing.median / ours.median:.2f}**"
    low, high = 1e3 * timing.percentile(5), 1e3 * timing.percentile(95)
    return f"| {batch} | {kind} | {1e3 * timing.median:.3f} [{low:.3f} to {high:.3f}] | {batch / timing.median:,.0f} | {ratio} |"


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=["resnet50_v1_5"])
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--engines", nargs="*", help="of ours; all that compile in seconds by default")
    parser.add_argument("--no-compile", action="store_true", help="leave max-autotune out: it takes minutes")
    parser.add_argument("--seconds", type=float, default=4.0, help="of timing, a batch")
    parser.add_argument("--name", default="gpu-inference")
    args = parser.parse_args()
    lines: list[str] = []
    for name in args.networks:
        torch.manual_seed(0)
        images = torch.randn(64, 3, 224, 224)
        ours, theirs = make("convatlas", name), make("timm", IN_TIMM.get(name, name))
        make_sane(ours, images[:16])
        make_sane(theirs, images[:16])
        ours, theirs, images = ours.to(CUDA), theirs.to(CUDA), images.to(CUDA)
        low = make("timm", IN_TIMM.get(name, name))
        low.load_state_dict(theirs.state_dict())
        low = low.to(CUDA, torch.bfloat16).to(memory_format=LAST)
        lines += [
            "",
            f"## {name}",
            "",
            "| batch | contender | ms a call, 5th to 95th | images/s | over ours |",
            "| --- | --- | --- | --- | --- |",
        ]
        notes: list[str] = []
        for batch in args.batch:
            example = images[:batch]
            given = example.to(torch.bfloat16).contiguous(memory_format=LAST)
            began = time.perf_counter()
            best = optimize(
                ours,
                example,
                accuracy_data=images,
                engines=args.engines,
                bounds=FREE,
                remember=False,
                seconds=3.0,
            )
            took = time.perf_counter() - began
            calls = {
                f"ours, auto: {best.plan}": quiet(best, example),
                "timm float32 eager": quiet(theirs, example),
                "timm bf16 channels_last eager": quiet(low, given),
            }
            notes += [f"batch {batch}: the search took {took:.1f} s.", "", "```", str(best.report), "```", ""]
            if not args.no_compile:
                torch.compiler.reset()
                began = time.perf_counter()
                compiled = torch.compile(low, mode="max-autotune", dynamic=False)
                with torch.no_grad():
                    for _ in range(3):
                        compiled(given)
                torch.cuda.synchronize()
                calls["timm bf16 channels_last max-autotune"] = quiet(compiled, given)
                notes += [f"max-autotune compiled for {time.perf_counter() - began:.1f} s.", ""]
            timings = in_rounds(calls, CUDA, seconds=args.seconds, most=400)
            mine = next(iter(timings.values()))
            lines += [row(kind, timing, batch, mine) for kind, timing in timings.items()]
            print("\n".join(lines[-len(calls) :]), flush=True)
        lines += ["", *notes]
    report(args.name, "Inference on one GPU", lines)


if __name__ == "__main__":
    main()
