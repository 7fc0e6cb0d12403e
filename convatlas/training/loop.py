"""The loop: steps, an evaluation an epoch, checkpoints by time and by epoch, and a way to stop between two steps."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from convatlas.data.loader import Batch, Loader
from convatlas.errors import ConvAtlasError
from convatlas.training.average import Average
from convatlas.training.checkpoint import State
from convatlas.training.distributed import Worker, any_of, mean_of, same, summed
from convatlas.training.logs import Logs
from convatlas.training.optimizer import set_lr, take_step
from convatlas.training.progress import Progress, line_of
from convatlas.training.recipe import Recipe
from convatlas.training.schedule import lr_factor
from convatlas.training.scores import Scores, evaluate
from convatlas.training.step import Moment, Stepper
from convatlas.training.unreadable import Unreadable, filled, none_readable

# how often a GPU is asked whether the loss is still a number: asking waits for it
_CHECK_EVERY = 32


class Diverged(ConvAtlasError):
    """The loss is no number any more."""


class Interrupted(ConvAtlasError):
    """Ctrl-C, or the system's wish to end: everything is saved."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Stop:
    """Turns signals into a wish that the loop reads between two steps; a second one ends at once."""

    def __init__(self) -> None:
        self.number = 0

    def _ask(self, number: int, _frame: object) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handlers are set in the main thread alone: Python allows no other."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Loop:
    """All that a run needs to go on; `save` writes a checkpoint, `keep` the weights that are best so far."""

    recipe: Recipe
    seed: int
    stepper: Stepper
    optimizer: torch.optim.Optimizer
    average: Average | None
    train: Callable[[int], Loader]
    test: Loader
    classes: int
    worker: Worker
    logs: Logs
    save: Callable[[State], None]
    keep: Callable[[nn.Module, Scores, int], None]
    progress: Progress = field(default_factory=Progress)
    stop: Stop = field(default_factory=Stop)
    unreadable: Unreadable = field(default_factory=Unreadable)

    def run(self) -> None:
        """Train to the end of the recipe, or to its stopping rule."""
        self.clock = time.perf_counter()
        self.saved = self.clock
        while self.progress.epoch < self.recipe.epochs and not self.progress.over:
            self._epoch()

    def _epoch(self) -> None:
        state, recipe = self.progress, self.recipe
        loader = self.train(state.epoch)
        steps = max(len(loader), 1)
        self.logs.begin(state.epoch, recipe.epochs, steps, state.batch)
        for task in self.stepper.tasks:
            task.train()
        self.stepper.model.train()

        def lr(batch: int) -> float:
            return recipe.lr * lr_factor(recipe, state.epoch + batch / steps, state.drops)

        sums = torch.tensor(state.sums, dtype=torch.float64, device=self.stepper.device)
        with self.stepper.threads():
            for batch in self._timed(loader, state):
                self._step(batch, lr(state.batch), sums)
                self._between(sums)
        state.sums = sums.tolist()
        self._check(state.sums[0])
        self.unreadable.take_of(loader, "training", self.logs)
        total = summed(self.worker, sums).tolist()
        if not total[2]:
            raise none_readable(loader.dataset, loader.skipped)
        self._score(total, lr(max(state.batch - 1, 0)))

    def _timed(self, loader: Loader, state: Progress) -> Iterator[Batch]:
        """The epoch's batches from the next on, with the time spent waiting for them noted."""
        batches = loader.batches(state.epoch, state.batch)
        self.charged = time.perf_counter()
        for batch in batches:
            state.waiting_seconds += time.perf_counter() - self.charged
            yield batch
            now = time.perf_counter()
            state.epoch_seconds += now - self.charged
            state.training_seconds += now - self.charged
            self.charged = now

    @cached_property
    def least(self) -> int:
        """Pictures that a step needs: two in every part of which batch norm takes the variance."""
        normed = any(isinstance(module, nn.BatchNorm2d) for module in self.stepper.model.modules())
        parts = self.recipe.accumulate * self.stepper.plan.replicas
        return min(2 * parts, self.recipe.batch // self.worker.world) if normed else 1

    def _step(self, batch: Batch, lr: float, sums: Tensor) -> None:
        state, recipe = self.progress, self.recipe
        state.batch += 1
        batch = filled(batch, self.least)
        # of a worker: the same for all, and one without pictures takes part all the same
        share = mean_of(self.worker, len(batch.images))
        if not share:
            return
        set_lr(self.optimizer, lr)
        moment = Moment(self.seed + (self.worker.rank << 32), state.epoch, state.batch)
        loss, correct = self.stepper.gradients(batch.images, batch.labels, moment, share)
        sums[:2] += torch.stack([loss.double(), correct.double()])
        sums[2] += len(batch.images)  # no copy to a GPU: its queue would wait for that
        state.step += 1
        state.images += round(share * self.worker.world)
        if loss.device.type == "cpu" or state.step % _CHECK_EVERY == 0:
            self._check(float(sums[0]))
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.stepper.parameters[0], recipe.clip)
        take_step(self.optimizer)
        if self.average is not None:
            self.average.update(self.stepper.model)

    def _check(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        state = self.progress
        kept = (
            f"the weights of epoch {state.best_epoch} are kept"
            if state.best_epoch
            else "no epoch was complete"
        )
        raise Diverged(
            f"the loss is {loss} at step {state.step} (epoch {state.epoch + 1}, batch {state.batch}), with lr "
            f"{self.optimizer.param_groups[0]['lr']:g}; {kept}. A lower --lr, a longer --warmup or --clip 1 helps; "
            "--precision float32 tells whether bf16 is at fault"
        )

    def _between(self, sums: Tensor) -> None:
        """Between two steps: talk, save by the clock, stop if asked to."""
        now = time.perf_counter()
        state = self.progress
        if self.logs.wants():
            loss, right, count = sums.tolist()
            done = max(count, 1.0)
            seconds = state.epoch_seconds + time.perf_counter() - self.charged
            self.logs.step(state.batch, loss / done, right / done, count / max(seconds, 1e-9))
        asked = bool(self.stop.number)
        if self.worker.world > 1:  # all stop at the same step, or some would wait for the others for ever
            asked = any_of(self.worker, asked)
        due = self.recipe.checkpoint_minutes > 0 and now - self.saved > 60 * self.recipe.checkpoint_minutes
        if asked or due:
            state.sums = sums.tolist()
            self._check(state.sums[0])
            self._checkpoint()
        if asked:
            raise Interrupted(
                f"stopped at step {state.step}, epoch {state.epoch + 1}; everything is saved",
                self.stop.number or 15,
            )

    def _tick(self) -> None:
        now = time.perf_counter()
        self.progress.seconds += now - self.clock
        self.clock = now

    def _checkpoint(self) -> None:
        self._tick()
        if self.worker.first:
            self.save(self.state())
        self.saved = time.perf_counter()

    def _score(self, sums: list[float], lr: float) -> None:
        """The end of an epoch: evaluate, write down, save, turn the page."""
        state = self.progress
        model = self.stepper.evaluated if self.average is None else self.average.model
        same(self.worker, model.buffers())  # batch norm's statistics are each worker's own until then
        scores = evaluate(self.stepper, self.test, self.classes, model)
        self.unreadable.take_of(self.test, "test", self.logs)
        self._tick()
        line = line_of(state, self.recipe, sums, (scores.loss, scores.top1, scores.top5), lr)
        better = state.scored(scores.top1, self.recipe)
        line["best"] = better
        state.history.append(line)
        if self.worker.first:
            self.logs.epoch(line)
            if better or self.recipe.select == "last":
                own = self.stepper.model if self.average is None else self.average.model
                self.keep(own, scores, state.epoch + 1)
        state.next_epoch()
        self._checkpoint()

    def state(self) -> State:
        """All that a checkpoint stores. Random states are not in it: every draw is a function of the step."""
        average = self.average
        return {
            "progress": self.progress.to_dict(),
            "unreadable": self.unreadable.listed(),
            "model": self.stepper.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None
            if average is None
            else {"model": average.model.state_dict(), "steps": average.steps},
        }

    def restore(self, state: State) -> None:
        """Become what a checkpoint says."""
        self.progress = Progress.from_dict(state["progress"])  # type: ignore[arg-type]
        self.stepper.model.load_state_dict(state["model"])  # type: ignore[arg-type]
        self.optimizer.load_state_dict(state["optimizer"])  # type: ignore[arg-type]
        if self.average is not None and state["average"] is not None:
            self.average.model.load_state_dict(state["average"]["model"])  # type: ignore[index]
            self.average.steps = int(state["average"]["steps"])  # type: ignore[index]
        self.unreadable.restore(state.get("unreadable", []))  # type: ignore[arg-type]
        self.stepper.refresh()
