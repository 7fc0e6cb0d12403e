"""A benchmark as a table, as JSON, as a picture."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict

from convatlas.drawing.plots import bars
from convatlas.inference.benchmark.measure import Line, Result
from convatlas.inference.report import rate
from convatlas.machine import machine, version_of

LEGEND = (
    "images/s: of the median of the faster half of the calls; range: of the slowest and the fastest call; peak: memory of "
    "the process while it runs; ceiling: share of the product below at that precision; top-1 equal: with float32 eager"
)
PACKAGES = ("torch", "torchvision", "timm", "onnxruntime", "openvino", "nncf")


def table(result: Result) -> str:
    """For the terminal: one block a network and batch, the fastest first."""
    head = ("", "images/s", "range", "p50 ms", "p99 ms", "peak MiB", "ceiling", "top-1 equal", "J/image")
    blocks = []
    for network, batch in dict.fromkeys((line.network, line.batch) for line in result.lines):
        lines = [line for line in result.lines if (line.network, line.batch) == (network, batch)]
        good = sorted(
            (line for line in lines if line.problem is None), key=lambda line: -line.images_per_second
        )
        rows = [head, *(_row(line) for line in good)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        text = [
            "  ".join(
                [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            ).rstrip()
            for row in rows
        ]
        failed = [
            f"{line.contender} {line.precision}: {line.problem}" for line in lines if line.problem is not None
        ]
        rounds = f"{good[0].rounds} rounds" if good else "nothing ran"
        blocks.append("\n".join([f"{network}, batch {batch}, {rounds}", *text, *failed]))
    top = result.ceiling
    ceilings = ", ".join(
        f"{name} {value / 1e9:.0f}"
        for name, value in (("float32", top.float32), ("bf16", top.bf16), ("int8", top.int8))
        if value
    )
    last = f"ceiling here: {ceilings} billion mult-adds/s ({top.threads} threads), copy {top.copy / 1e9:.1f} GB/s"
    return "\n\n".join([*blocks, "\n".join([LEGEND, last, *result.notes])])


def _row(line: Line) -> tuple[str, ...]:
    t = line.timing
    return (
        f"{line.contender} {line.precision}" + (f" ({line.ran})" if line.ran else ""),
        rate(line.images_per_second),
        f"{rate(line.batch / t.worst, 3)} - {rate(line.batch / t.best, 3)}",
        f"{1e3 * t.percentile(50):.3g}",
        f"{1e3 * t.percentile(99):.3g}",
        f"{line.peak_bytes >> 20}",
        "" if line.share is None else f"{line.share:.0%}",
        "" if line.agreement is None else f"{line.agreement:.1%}",
        "" if line.joules_per_image is None else f"{line.joules_per_image:.3g}",
    )


def as_dict(result: Result) -> dict[str, object]:
    """Everything, with the machine and the versions."""
    here = machine()
    return {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {**asdict(here), "instructions": here.instructions},
        "versions": {name: version_of(name) for name in PACKAGES},
        "ceiling": asdict(result.ceiling),
        "stopped": result.stopped,
        "lines": [line.to_dict() for line in result.lines],
        "notes": result.notes,
    }


def picture(result: Result) -> str:
    """Bars as SVG: images a second, a group a network and batch; whiskers from the slowest call to the fastest."""
    groups: dict[str, dict[str, tuple[float, float, float]]] = {}
    for line in result.lines:
        if line.problem is None:
            speed = line.images_per_second
            group = groups.setdefault(f"{line.network}, batch {line.batch}", {})
            group[f"{line.contender} {line.precision}"] = (
                speed, line.batch / line.timing.worst, line.batch / line.timing.best
            )  # fmt: skip
    return bars(
        groups, title="Images a second; whiskers: the slowest and the fastest call", x_label="images/s"
    )
