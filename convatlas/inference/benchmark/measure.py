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
STOPPED = "stopped by Ctrl-C before it was timed"


@dataclass
class Line:
    """One contender at one batch.

    seconds: of each call that was counted; rounds: the turns they were made in; problem: why it did not run.
    """

    network: str
    contender: str
    precision: str
    batch: int
    seconds: tuple[float, ...] = ()
    rounds: int = 0
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
    """All lines, the ceiling they are measured by, and what to know of them. stopped: by Ctrl-C, before the end."""

    lines: list[Line]
    ceiling: Ceiling
    notes: list[str]
    stopped: bool = False


def measure(request: Request) -> Result:
    """Run it. A contender that fails is a line with its reason, and the rest goes on.

    Ctrl-C keeps what was measured so far, in a result that says it was stopped; before anything was, it goes through.
    """
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
    lines: list[Line] = []
    try:
        for name in request.names:
            for batch in request.batches:
                _network(request, name, batch, top, joules, lines)
    except KeyboardInterrupt:
        if not any(line.seconds for line in lines):
            raise
        for line in lines:
            if line.problem is None and not line.seconds:
                line.problem = STOPPED
        return Result(lines, top, [*notes, "stopped by Ctrl-C: what had been measured is kept"], stopped=True)
    return Result(lines, top, notes)


def _network(
    request: Request,
    name: str,
    batch: int,
    top: Ceiling,
    joules: Callable[[], float] | None,
    done: list[Line],
) -> None:
    """Time all contenders at one batch; their lines are in `done` from the start, for who stops in the middle."""
    definition = catalogue.network(name)
    mult_adds = elaborate(definition).mult_adds
    lines = [Line(name, who, p, batch) for p in request.precisions for who in ("convatlas", *request.against)]
    done += lines
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        images, state = Path(folder) / "images.pt", Path(folder) / "state.pt"
        torch.save(_images(request, definition.input), images)
        running: list[tuple[Line, Process]] = []
        reference: list[int] | None = None
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
                process.ask("forget_peak")
                process.ask("run", name="it", batch=batch)
                memory = process.ask("memory")
                if own:
                    reference = reference or process.ask("reference", batch=batch)["top1"]
                    top1 = process.ask("answers", name="it", batch=batch)["top1"]
                    line.agreement = sum(a == b for a, b in zip(top1, reference, strict=True)) / len(top1)
            except ConvAtlasError as error:
                line.problem = str(error)
                continue
            line.peak_bytes = memory["gpu"] or memory["process"]
            line.prepare_seconds = answer["seconds"]
            line.ran, line.ran_precision = answer["ran"], answer["ran_precision"]
            running.append((line, process))
        try:
            _alternate(request, running, batch, joules)
        finally:
            for line, _ in running:
                if line.seconds and line.problem is None:
                    speed = mult_adds * line.images_per_second
                    line.share = top.share(line.ran_precision or line.precision, speed)


def _alternate(
    request: Request, running: list[tuple[Line, Process]], batch: int, joules: Callable[[], float] | None
) -> None:
    request.tell(f"timing {len(running)} contenders in alternating rounds")
    used, calls = dict.fromkeys(range(len(running)), 0.0), dict.fromkeys(range(len(running)), 0)
    start = time.perf_counter()
    for number in range(request.rounds):
        order = list(enumerate(running))
        for i, (line, process) in order if number % 2 == 0 else reversed(order):
            if line.problem is not None:
                continue
            before = joules() if joules else 0.0
            try:
                answer = process.ask("run", name="it", batch=batch)
            except ConvAtlasError as error:
                line.problem = str(error)
                continue
            line.seconds += tuple(answer["seconds"])
            line.rounds += 1
            if joules:
                used[i] += joules() - before
                calls[i] += answer["calls"]
                line.joules_per_image = used[i] / (calls[i] * batch)
        if number >= 2 and time.perf_counter() - start > request.seconds:
            break


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
