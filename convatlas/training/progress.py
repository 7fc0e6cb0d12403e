"""Where a run is: everything besides weights that the next step depends on, as a checkpoint stores it."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field

from convatlas.errors import MisuseError
from convatlas.training.fields import check_fields
from convatlas.training.recipe import Recipe

Json = dict[str, object]


@dataclass
class Progress:
    """epoch and batch are the next to do; `sums` are the running epoch's loss, number right, and images."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = -1.0
    best_epoch: int = 0
    drops: int = 0
    waited: int = 0  # epochs without gain, for the plateau schedule
    stale: int = 0  # epochs without gain, for early stopping
    images: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    epoch_seconds: float = 0.0
    waiting_seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    history: list[Json] = field(default_factory=list)
    over: bool = False

    def to_dict(self) -> Json:
        """What a checkpoint stores."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Progress:
        """The progress that a checkpoint stored; MisuseError or TypeError on what is none."""
        check_fields(cls, fields, "progress")
        for line in typing.cast("list[Json]", fields.get("history", [])):
            if missing := _OF_A_LINE - line.keys():
                raise MisuseError(f"progress: a line of its history has no {', '.join(sorted(missing))}")
            check_fields(_Line, line, "progress: a line of its history")
        found = cls(**fields)  # type: ignore[arg-type]
        numbers = [v for v in vars(found).values() if isinstance(v, int | float)] + found.sums[:2]
        if len(found.sums) != 3 or not all(-1 <= n < math.inf for n in numbers):
            raise MisuseError("progress: its numbers are not those of a run")
        return found

    def scored(self, top1: float | None, recipe: Recipe) -> bool:
        """Take in the score of the epoch just over; whether it is the best so far.

        Without a score (no test pictures) nothing can be chosen by: the last epoch is the best then.
        """
        if top1 is None:
            if self.best < 0:
                self.best_epoch = self.epoch + 1
            return self.best < 0
        better = top1 > self.best
        if better:
            self.best, self.best_epoch = top1, self.epoch + 1
            self.waited = self.stale = 0
        else:
            self.waited += 1
            self.stale += 1
        if recipe.schedule == "plateau" and self.waited > recipe.patience:
            self.drops, self.waited = self.drops + 1, 0
        if recipe.early_stop and self.stale >= recipe.early_stop:
            self.over = True
        if recipe.stop_at and top1 >= recipe.stop_at:
            self.over = True
        return better

    def next_epoch(self) -> None:
        """Turn the page."""
        self.epoch += 1
        self.batch = 0
        self.epoch_seconds = 0.0
        self.sums = [0.0, 0.0, 0.0]


class _Line(typing.TypedDict):
    """What is read again of an epoch's line: `line_of` makes more."""

    epoch: int
    train_loss: float
    train_top1: float
    loss: float | None
    top1: float | None
    seconds: float


_OF_A_LINE = frozenset(_Line.__annotations__)


def line_of(
    progress: Progress,
    recipe: Recipe,
    sums: list[float],
    scores: tuple[float | None, float | None, float | None],
    lr: float,
) -> Json:
    """The epoch's line of metrics.jsonl; scores are the test set's loss, top-1 and top-5, None of no pictures."""
    count = max(sums[2], 1.0)
    rate = sums[2] / progress.epoch_seconds if progress.epoch_seconds else 0.0
    return {
        "epoch": progress.epoch + 1,
        "epochs": recipe.epochs,
        "step": progress.step,
        "lr": lr,
        "train_loss": sums[0] / count,
        "train_top1": sums[1] / count,
        "loss": scores[0] if scores[0] is not None and math.isfinite(scores[0]) else None,
        "top1": scores[1],
        "top5": scores[2],
        "images_per_second": rate,
        "waiting": progress.waiting_seconds,
        "seconds": progress.seconds,
    }
