"""Time contenders against each other, each in a process of its own."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from convatlas.define import elaborate
from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.inference.benchmark.processes import Process
from convatlas.inference.ceiling import Ceiling, ceiling
from convatlas.inference.energy import meter
from convatlas.inference.images import synthetic
from convatlas.inference.timing import Timing
from convatlas.networks import catalogue

AGAINST = ("torchvision", "timm", "eager", "onnxruntime", "openvino")
# libraries with models of their own; the others run ours
LIBRARIES = ("torchvision", "timm")
IMAGES = 32


@dataclass
class Line:
    """One contender at one batch. seconds: one a round; problem: why it did not run."""

    network: str
    contender: str
    precision: str
    batch: int
    seconds: tuple[float, ...] = ()
    problem: str | None = None
    peak_bytes: int = 0
    prepare_seconds: float = 0.0
    joules_per_image: float | None = None
    share: float | None = None
    agreement: float | None = None
    ran: str = ""
    ran_precision: str = ""

    @property
    def timing(self) -> Timing:
        return Timing(self.seconds)

    @property
    def images_per_second(self) -> float:
        """Of the median of the faster half."""
        return self.batch / self.timing.typical

    def to_dict(self) -> dict[str, object]:
        """What JSON can carry; milliseconds of a batch by percentile."""
        found = {k: v for k, v in asdict(self).items() if k != "seconds"}
        if self.problem is None:
            t = self.timing
            found |= {
                "images_per_second": self.images_per_second,
                "images_per_second_range": [self.batch / t.worst, self.batch / t.best],
                "milliseconds": {f"p{p}": 1e3 * t.percentile(p) for p in (50, 90, 99)},
                "rounds": len(self.seconds),
                "seconds": list(self.seconds),
            }
        return found


@dataclass
class Request:
    """What to time. rounds: turns of each contender, alternating; seconds: at most, for one network and batch."""

    names: Sequence[str]
    against: Sequence[str]
    batches: Sequence[int]
    precisions: Sequence[str]
    device: torch.device
    rounds: int = 15
    seconds: float = 60.0
    photos: Sequence[Path] = ()
    tell: Callable[[str], None] = field(default=lambda _text: None)


@dataclass
class Result:
    """All lines, the ceiling they are measured by, and what to know of them."""

    lines: list[Line]
    ceiling: Ceiling
    notes: list[str]


def measure(request: Request) -> Result:
    """Run it. A contender that fails is a line with its reason, and the rest goes on."""
    for name in request.names:
        catalogue.network(name)  # unknown names are told before the first minute is spent
    unknown = set(request.against) - set(AGAINST)
    if unknown:
        raise MisuseError(f"--against: unknown {', '.join(sorted(unknown))}; there are {', '.join(AGAINST)}")
    top = ceiling(request.device)
    joules, note = meter(request.device)
    notes = [note]
    if not request.photos:
        notes.append(
            "weights random, images synthetic: times only; --images gives real ones to calibrate and compare on"
        )
    lines = []
    for name in request.names:
        for batch in request.batches:
            lines += _network(request, name, batch, top, joules)
    return Result(lines, top, notes)


def _network(
    request: Request, name: str, batch: int, top: Ceiling, joules: Callable[[], float] | None
) -> list[Line]:
    definition = catalogue.network(name)
    mult_adds = elaborate(definition).mult_adds
    lines = [Line(name, who, p, batch) for p in request.precisions for who in ("convatlas", *request.against)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        images, state = Path(folder) / "images.pt", Path(folder) / "state.pt"
        torch.save(_images(request, definition.input), images)
        running: list[tuple[Line, Process]] = []
        for line in lines:
            library = line.contender if line.contender in LIBRARIES else "convatlas"
            own = library == "convatlas"
            process = stack.enter_context(Process())
            request.tell(f"{name}, batch {batch}: preparing {line.contender} {line.precision}")
            try:
                process.ask(
                    "model", library=library, name=name, images=str(images), device=str(request.device),
                    state=str(state) if own and state.exists() else None, save=str(state) if own and not state.exists() else None,
                )  # fmt: skip
                answer = process.ask(
                    "prepare", name="it", kind=line.contender, precision=line.precision, batch=batch
                )
                process.ask("run", name="it", batch=batch)
            except ConvAtlasError as error:
                line.problem = str(error)
                continue
            line.prepare_seconds = answer["seconds"]
            line.ran, line.ran_precision = answer["ran"], answer["ran_precision"]
            running.append((line, process))
        _alternate(request, running, batch, joules)
        _facts(running, batch, mult_adds, top)
    return lines


def _alternate(
    request: Request, running: list[tuple[Line, Process]], batch: int, joules: Callable[[], float] | None
) -> None:
    request.tell(f"timing {len(running)} contenders in alternating rounds")
    samples: dict[int, list[float]] = {i: [] for i in range(len(running))}
    used, calls = dict.fromkeys(samples, 0.0), dict.fromkeys(samples, 0)
    start = time.perf_counter()
    for number in range(request.rounds):
        order = list(enumerate(running))
        for i, (line, process) in order if number % 2 == 0 else reversed(order):
            before = joules() if joules else 0.0
            try:
                answer = process.ask("run", name="it", batch=batch)
                samples[i] += answer["seconds"]
                calls[i] += answer["calls"]
            except ConvAtlasError as error:
                line.problem = str(error)
            used[i] += joules() - before if joules else 0.0
        if number >= 2 and time.perf_counter() - start > request.seconds:
            break
    for i, (line, _) in enumerate(running):
        line.seconds = tuple(samples[i])
        if joules and calls[i]:
            line.joules_per_image = used[i] / (calls[i] * batch)


def _facts(running: list[tuple[Line, Process]], batch: int, mult_adds: int, top: Ceiling) -> None:
    """Memory, share of the ceiling, and agreement with our model's float32 where the weights are the same."""
    reference: list[int] | None = None
    for line, process in running:
        if line.problem is not None:
            continue
        memory = process.ask("memory")
        line.peak_bytes = memory["gpu"] or memory["process"]
        line.share = top.share(line.ran_precision or line.precision, mult_adds * line.images_per_second)
        if line.contender not in LIBRARIES:
            reference = reference or process.ask("reference", batch=batch)["top1"]
            top1 = process.ask("answers", name="it", batch=batch)["top1"]
            line.agreement = sum(a == b for a, b in zip(top1, reference, strict=True)) / len(top1)


def _images(request: Request, shape: tuple[int, ...]) -> Tensor:
    if not request.photos:
        return synthetic(IMAGES, shape)
    from convatlas.data import ImageError, load
    from convatlas.define.preprocessing import named

    preprocessing = named("torchvision" if shape[0] == 3 else "digit").with_size(*shape[1:])
    kept: list[Tensor] = []
    for photo in request.photos:
        if len(kept) < IMAGES:
            with contextlib.suppress(ImageError):
                kept.append(load(photo, preprocessing))
    if not kept:
        raise MisuseError(f"--images: none of the {len(request.photos)} files is an image that can be read")
    return torch.stack(kept)
