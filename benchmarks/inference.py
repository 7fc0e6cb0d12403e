"""Issue 6's figures: eight networks, batch 1 and 32, against torchvision eager, ONNX Runtime and OpenVINO.

    python benchmarks/inference.py --photos DIR --results DIR                 all networks, resumable
    python benchmarks/inference.py --results DIR --report benchmarks/reports/DATE-inference.md

All contenders run torchvision's own model with the same weights (random, made sane: see benchmark/models.py), on
photos. Peers run in one process as their documentation says, ours in another (it changes the allocator); every
round calls all of them once, the order turned each round. A figure is the median of the faster half of the
rounds, with the whole range; a ratio is of such medians of one run. What is left of a run is one JSON a network and batch.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from convatlas.errors import ConvAtlasError
from convatlas.inference.benchmark.processes import Process
from convatlas.inference.timing import Timing
from convatlas.machine import machine, version_of

NETWORKS = (
    "resnet50", "mobilenet_v2", "squeezenet1_1", "googlenet", "densenet121", "resnext50_32x4d", "inception_v3", "vgg16",
)  # fmt: skip
PEERS = (
    ("torchvision", "float32"), ("onnxruntime", "float32"), ("openvino", "float32"),
    ("openvino", "bf16"), ("onnxruntime", "int8"), ("openvino", "int8"),
)  # fmt: skip
PHOTOS = 32


def images(folder: Path, size: int, path: Path) -> None:
    import torch

    from convatlas.data import load
    from convatlas.define.preprocessing import Preprocessing

    files = sorted(folder.rglob("*.[jJ][pP]*[gG]"))[:PHOTOS]
    torch.save(torch.stack([load(f, Preprocessing().with_size(size)) for f in files]), path)


@contextlib.contextmanager
def quiet(lock: Path | None) -> Iterator[None]:
    """Wait until no other benchmark of this machine runs."""
    if lock is None:
        yield
        return
    import fcntl

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def measure(
    name: str, batches: list[int], photos: Path, rounds: int, seconds: float, timing: float, lock: Path | None
) -> list[dict[str, object]]:
    """Prepare all contenders for all sizes of batch, then time them under one hold of the lock."""
    size = 299 if name == "inception_v3" else 224
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder, Process() as peers, Process() as ours:
        tensor, state = Path(folder) / "images.pt", Path(folder) / "state.pt"
        images(photos, size, tensor)
        peers.ask("model", library="torchvision", name=name, images=str(tensor), save=str(state))
        ours.ask("model", library="torchvision", name=name, images=str(tensor), state=str(state))
        for batch in batches:
            contenders: dict[str, Process] = {}
            failed: dict[str, str] = {}
            prepared: dict[str, float] = {}
            for kind, precision in PEERS:
                label = f"{kind} {precision}, batch {batch}"
                try:
                    answer = peers.ask("prepare", name=label, kind=kind, precision=precision, batch=batch)
                except ConvAtlasError as error:
                    failed[label] = str(error)
                    continue
                contenders[label], prepared[label] = peers, answer["seconds"]
            answer = ours.ask("prepare", name="", kind="ours", precision="", batch=batch, seconds=seconds)
            contenders |= dict.fromkeys(answer["made"], ours)
            prepared["ours, all together"] = answer["seconds"]
            top1 = {
                label: process.ask("answers", name=label, batch=batch)["top1"]
                for label, process in contenders.items()
            }
            results.append({
                "network": name, "batch": batch, "contenders": contenders, "top1": top1, "failed": failed,
                "prepared_seconds": prepared, "report": answer["report"], "machine": about(),
            })  # fmt: skip
        with quiet(lock):
            for result in results:
                alternate(result, rounds, timing)
        memory = {"peers": peers.ask("memory"), "ours": ours.ask("memory")}
    return [{**result, "memory": memory} for result in results]


def alternate(result: dict[str, object], rounds: int, seconds: float) -> None:
    """Rounds over all contenders, the order turned each round, until the time is used up."""
    contenders: dict[str, Process] = result.pop("contenders")  # type: ignore[assignment]
    batch = result["batch"]
    samples: dict[str, list[float]] = {label: [] for label in contenders}
    loads = []
    for label, process in contenders.items():
        process.ask("run", name=label, batch=batch)
    start = time.perf_counter()
    for number in range(rounds):
        loads.append(Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "")
        order = list(contenders.items())
        for label, process in order if number % 2 == 0 else reversed(order):
            samples[label] += process.ask("run", name=label, batch=batch)["seconds"]
        if number >= 2 and time.perf_counter() - start > seconds:
            break
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    result.update(seconds=samples, load=loads, when=when)


def about() -> dict[str, object]:
    here = machine()
    packages = ("torch", "torchvision", "onnxruntime", "openvino", "nncf")
    return {
        "processor": here.processor, "cores": here.cores, "instructions": here.instructions, "system": here.system,
        "python": platform.python_version(), **{name: version_of(name) for name in packages},
    }  # fmt: skip


def mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def report(results: list[dict[str, object]]) -> str:
    lines = ["# Inference: ours against torchvision, ONNX Runtime and OpenVINO", ""]
    here = results[0]["machine"]
    lines += [
        f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}  "
        for key, value in here.items()
    ]
    lines += ["", __doc__.split("\n\n", 2)[2].strip(), ""]
    ratios: dict[str, list[float]] = {}
    for batch in (1, 32):
        these = [r for r in results if r["batch"] == batch]
        if not these:
            continue
        lines += [f"## Batch {batch}: images a second, median of the faster half [worst - best]", ""]
        for r in these:
            timings = {label.partition(",")[0]: Timing(tuple(s)) for label, s in r["seconds"].items()}
            reference = r["top1"][f"torchvision float32, batch {batch}"]
            rounds = min(len(t.seconds) for t in timings.values())
            lines += [
                f"### {r['network']} ({r['when']}, {rounds} rounds, load {r['load'][0]} to {r['load'][-1]})",
                "",
            ]
            lines += [
                "| contender | images/s | spread | against torchvision eager | top-1 as torchvision's |",
                "| --- | ---: | --- | ---: | ---: |",
            ]
            base = timings["torchvision float32"].typical
            for label, t in sorted(timings.items(), key=lambda item: item[1].typical):
                top1 = r["top1"][f"{label}, batch {batch}"]
                same = sum(a == b for a, b in zip(top1, reference, strict=True)) / len(reference)
                lines.append(
                    f"| {label} | {batch / t.typical:.1f} | {batch / t.worst:.1f} - {batch / t.best:.1f} | {base / t.typical:.2f} | {same:.1%} |"
                )
            lines += ["", *(f"{label}: {why}  " for label, why in r["failed"].items()), ""]
            for key, ours, theirs in (
                ("auto over torchvision eager", ["convatlas auto"], ["torchvision float32"]),
                (
                    "float32 over the better peer",
                    ["convatlas float32"],
                    ["onnxruntime float32", "openvino float32"],
                ),
                ("bf16 over OpenVINO", ["convatlas bf16"], ["openvino bf16"]),
                ("int8 over the better peer", ["convatlas int8"], ["onnxruntime int8", "openvino int8"]),
                (
                    "plain torch float32 over torchvision eager",
                    ["convatlas-plain float32"],
                    ["torchvision float32"],
                ),
                (
                    "plain torch bf16 over torchvision eager",
                    ["convatlas-plain bf16"],
                    ["torchvision float32"],
                ),
            ):
                mine = [timings[n].typical for n in ours if n in timings]
                peer = [timings[n].typical for n in theirs if n in timings]
                if mine and peer:
                    ratios.setdefault(f"batch {batch}: {key}", []).append(min(peer) / min(mine))
    lines += [
        "## Ratios over all networks",
        "",
        "| what | geometric mean | least | most | networks |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {key} | {mean(v):.2f} | {min(v):.2f} | {max(v):.2f} | {len(v)} |" for key, v in ratios.items()
    ]
    both = [
        v for key, values in ratios.items() if key.endswith("auto over torchvision eager") for v in values
    ]
    lines += [
        f"| both: auto over torchvision eager | {mean(both):.2f} | {min(both, default=math.nan):.2f} | {max(both, default=math.nan):.2f} | {len(both)} |",
        "",
    ]
    lines += ["## What was tried", ""]
    for r in results:
        lines += [f"### {r['network']}, batch {r['batch']}", "", "```", str(r["report"]), "```", ""]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs, to calibrate and to check on")
    parser.add_argument(
        "--results", type=Path, required=True, help="a folder for one JSON a network and batch"
    )
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing in our own search")
    parser.add_argument("--timing", type=float, default=60.0, help="seconds of rounds a batch, at most")
    parser.add_argument("--lock", type=Path, help="a file to lock while timing")
    parser.add_argument("--again", action="store_true", help="measure what is there already")
    parser.add_argument("--report", type=Path, help="write the report of what is there")
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    if args.photos:
        for name in args.networks:
            batches = [int(b) for b in args.batch.split(",")]
            batches = [b for b in batches if args.again or not (args.results / f"{name}-{b}.json").exists()]
            if not batches:
                continue
            start = time.perf_counter()
            try:
                for found in measure(
                    name, batches, args.photos, args.rounds, args.seconds, args.timing, args.lock
                ):
                    (args.results / f"{name}-{found['batch']}.json").write_text(json.dumps(found))
            except ConvAtlasError as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                continue
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    if args.report:
        order = {name: i for i, name in enumerate(NETWORKS)}
        results = [json.loads(p.read_text()) for p in args.results.glob("*.json")]
        args.report.write_text(
            report(sorted(results, key=lambda r: (r["batch"], order.get(r["network"], 99))))
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
