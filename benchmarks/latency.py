"""OpenVINO as its documentation says against the same engine as `optimize` prepares it: a process each.

benchmarks/inference.py keeps all of our contenders in one process, as many runtimes as there are engines, and their
threads and caches disturb each other at a few milliseconds a call. A program that calls `optimize` has one. Here each
contender is alone in its process, takes turns with the other, twelve calls a turn; a figure is the median over the
turns of the median of the faster half of a turn's calls; the ratio is of neighbours in time. Random weights.

At a batch of one, ours is one copy on all threads; at a larger one a copy a thread, four images at a time.

    python benchmarks/latency.py [NETWORK:PRECISION ...] [--turns 14] [--batch 1]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import torch
from training_common import report, spread

from convatlas.allocator import keep_memory
from convatlas.inference.benchmark.contenders import Call, prepare
from convatlas.inference.candidates import TILE
from convatlas.inference.engines import ENGINES, Plan, Workbench
from convatlas.inference.images import synthetic
from convatlas.inference.tiles import Tiled
from convatlas.modules import build
from convatlas.networks import catalogue

CASES = [
    f"{name}:bf16" for name in (
        "resnet50_v1_5", "mobilenet_v2", "squeezenet1_1", "googlenet_bn", "densenet121", "resnext50_32x4d", "inception_v3",
    )
] + ["resnet50_v1_5:int8", "mobilenet_v2:int8"]  # fmt: skip
CALLS = 12


def contender(kind: str, name: str, precision: str, batch: int) -> Call:
    torch.manual_seed(0)
    network = catalogue.network(name)
    model = build(network).eval()
    images = synthetic(16, network.input)
    if kind == "openvino":
        return prepare("openvino", model, images[:1].repeat(batch, 1, 1, 1), precision, images)
    keep_memory()  # as `optimize` does
    plan = Plan("openvino", precision, 1, torch.get_num_threads())
    if batch > TILE:
        plan = Plan("openvino", precision, torch.get_num_threads(), 1, TILE)
    bench = Workbench(model, images[:1], images, torch.device("cpu"))
    return Tiled(ENGINES["openvino"].prepare(bench, plan), plan)


def worker(kind: str, case: str, batch: int) -> None:
    """Milliseconds of a turn's typical call for each line that comes in."""
    name, _, precision = case.partition(":")
    call, image = (
        contender(kind, name, precision, batch),
        synthetic(batch, catalogue.network(name).input),
    )
    for _ in range(5):
        call(image)
    print("ready", flush=True)
    for _ in sys.stdin:
        times = []
        for _ in range(CALLS):
            start = time.perf_counter()
            call(image)
            times.append(1e3 * (time.perf_counter() - start))
        print(statistics.median(sorted(times)[: CALLS // 2]), flush=True)


class Running:
    """A contender in its process."""

    def __init__(self, kind: str, case: str, batch: int) -> None:
        words = [sys.executable, __file__, case, "--worker", kind, "--batch", str(batch)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        while self._line() != "ready":  # what libraries print comes before
            pass

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a contender ended early, code {self.process.wait()}")
        return line.strip()

    def turn(self) -> float:
        """Milliseconds of a typical call."""
        assert self.process.stdin is not None
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        return float(self._line())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--turns", type=int, default=14)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--worker", choices=("openvino", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.cases[0], args.batch)
        return
    lines = [
        "Protocol: the docstring of `benchmarks/latency.py`.", "",
        "| network, precision | openvino, ms | ours, ms | openvino over ours |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    ratios = []
    for case in args.cases:
        running = {kind: Running(kind, case, args.batch) for kind in ("openvino", "ours")}
        found: dict[str, list[float]] = {kind: [] for kind in running}
        for turn in range(args.turns):
            for kind in running if turn % 2 == 0 else reversed(running):
                found[kind].append(running[kind].turn())
        for one in running.values():
            one.process.communicate()
        pairs = [theirs / own for theirs, own in zip(found["openvino"], found["ours"], strict=True)]
        ratios.append(statistics.median(pairs))
        cells = [
            spread(found["openvino"]),
            spread(found["ours"]),
            f"**{ratios[-1]:.2f}** [{min(pairs):.2f} to {max(pairs):.2f}]",
        ]
        lines.append(f"| {case.replace(':', ', ')} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    lines += ["", f"Geometric mean of {len(ratios)}: **{statistics.geometric_mean(ratios):.2f}**"]
    name = "latency" if args.batch == 1 else f"latency-batch{args.batch}"
    report(name, f"Batch {args.batch}: OpenVINO by its documentation and as `optimize` prepares it", lines)


if __name__ == "__main__":
    main()
