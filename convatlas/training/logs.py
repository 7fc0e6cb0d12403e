"""What a run says while it runs: a progress bar and a line an epoch on stderr, TensorBoard as an extra.

Where stderr is no terminal the bar is left out: a log file wants lines.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from convatlas.errors import MissingExtra

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def percent(share: object) -> str:
    """A share as a person reads it; that of no pictures, None, is none."""
    return f"{share:.2%}" if isinstance(share, float) else "not tested"


class Logs:
    """Says nothing: what a script takes that trains from Python."""

    def say(self, text: str) -> None:
        """A line for a person."""

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        """An epoch of so many steps begins; `done` of them were done before a resume."""

    def step(self, done: int, loss: float, accuracy: float, rate: float) -> None:
        """So many steps of the epoch are done; running means, images per second."""

    def wants(self) -> bool:
        """Whether a step should be told: reading a loss waits for the device."""
        return False

    def epoch(self, line: Mapping[str, object]) -> None:
        """An epoch is over; its line of metrics."""

    def close(self) -> None:
        """The run is over, or stopped."""


class Talk(Logs):
    """Lines on stderr, and a bar where that is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.shown = 0.0
        if self.stream.isatty():
            with contextlib.suppress(ImportError):
                self.bar = _bar(self.stream)

    def say(self, text: str) -> None:
        if self.bar is not None and self.bar.live.is_started:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=self.stream, flush=True)

    def begin(self, epoch: int, epochs: int, steps: int, done: int) -> None:
        if self.bar is None:
            return
        if not self.bar.live.is_started:
            self.bar.start()
        if self.task is None:
            self.task = self.bar.add_task("", total=epochs * steps, note="")
        self.base = epoch * steps
        self.bar.update(self.task, completed=self.base + done, description=f"epoch {epoch + 1}/{epochs}")

    def step(self, done: int, loss: float, accuracy: float, rate: float) -> None:
        if self.bar is not None and self.task is not None:
            note = f"loss {loss:.4f}  train {accuracy:.2%}  {rate:,.0f} images/s"
            self.bar.update(self.task, completed=self.base + done, note=note)

    def wants(self) -> bool:
        # some ten times a second
        now = time.monotonic()
        if self.bar is None or now - self.shown < 0.1:
            return False
        self.shown = now
        return True

    def epoch(self, line: Mapping[str, object]) -> None:
        mark = "  *" if line["best"] else ""
        self.say(
            f"epoch {line['epoch']}/{line['epochs']}  loss {line['train_loss']:.4f}  train {line['train_top1']:.2%}  "
            f"test {percent(line['top1'])}  {line['images_per_second']:,.0f} images/s  {line['seconds']:.1f} s{mark}"
        )

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _bar(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
    )


class TensorBoard(Logs):
    """Adds event files for TensorBoard beside another log."""

    def __init__(self, inner: Logs, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("--log tensorboard", "log") from error
        self.inner, self.writer = inner, SummaryWriter(str(folder))
        self.say, self.begin = inner.say, inner.begin  # type: ignore[method-assign]
        self.wants, self.step = inner.wants, inner.step  # type: ignore[method-assign]

    def epoch(self, line: Mapping[str, object]) -> None:
        for name, value in line.items():
            if isinstance(value, float):
                self.writer.add_scalar(name, value, line["epoch"])
        self.inner.epoch(line)

    def close(self) -> None:
        self.writer.close()
        self.inner.close()
