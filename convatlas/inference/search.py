"""The search behind `optimize`: make every candidate, judge it, time those that pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from convatlas.allocator import keep_memory
from convatlas.errors import MisuseError
from convatlas.inference.candidates import MODES, base_plans, parallel_plans, wanted_precisions
from convatlas.inference.care import refine_until_it_agrees
from convatlas.inference.checking import (
    ONE_OF,
    Bounds,
    Verdict,
    answers,
    bounds_on,
    judge,
    reconsidered,
    safe,
)
from convatlas.inference.engines import Engine, Plan, Runner, Unsuitable, Workbench, engine, engines_for
from convatlas.inference.engines.base import PRECISIONS
from convatlas.inference.engines.eager import frozen_copy, without_gradients
from convatlas.inference.engines.importing import hushed
from convatlas.inference.images import LEAST_FOR_INT8, Evidence
from convatlas.inference.optimized import Optimized
from convatlas.inference.report import Report, Row
from convatlas.inference.tiles import Proof, Tiled
from convatlas.inference.timing import Timing, in_rounds, once

# what throughput is measured on where the example is a single image
THROUGHPUT_BATCH = 32
# a candidate this many times slower than the best of its kind is not tried in other pieces
HOPELESS = 1.4
# one this many times slower is not timed beyond its first rounds
NEAR = 1.2
# seconds of one call of all candidates, from which on one round must do
LONG = 30.0


class Search:
    """One model, one shape of batch, one device: the candidates and what became of them.

    group: plans compete within a group; one group for all by default, so that the slow are dropped early.
    """

    def __init__(
        self,
        model: nn.Module,
        example: Tensor,
        precision: str = "auto",
        *,
        mode: str = "auto",
        engines: Sequence[str] | None = None,
        bounds: Mapping[str, Bounds] | None = None,
        explain: Callable[[str], None] | None = None,
        group: Callable[[Plan], object] | None = None,
    ) -> None:
        if mode not in MODES:
            raise MisuseError(f"unknown mode {mode!r}; there are {', '.join(MODES)}")
        if not isinstance(model, nn.Module):
            raise MisuseError(f"model: expected a torch.nn.Module, received {type(model).__name__}")
        if odd := [
            f"{name!r}: {given!r}" for name, given in (bounds or {}).items() if not _bounds_of(name, given)
        ]:
            raise MisuseError(
                f"bounds: expected a Bounds(agreement, difference) by precision ({', '.join(PRECISIONS)}), received {odd[0]}"
            )
        self.precision, self.precisions = precision, wanted_precisions(precision)
        self.engines = engines_for(tuple(engines) if engines is not None else None)
        self.asked = engines is not None
        self.model = frozen_copy(model)
        self.example = fitting(self.model, example)
        self.device = example.device
        self.bounds = {**bounds_on(self.device), **(bounds or {})}
        self.mode = mode if mode != "auto" else ("latency" if len(example) == 1 else "throughput")
        if self.mode == "throughput" and len(example) == 1:
            self.example = self.example.expand(THROUGHPUT_BATCH, *example.shape[1:]).contiguous()
        self.threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        self.tell = explain or (lambda _text: None)
        self.group = group or (lambda _plan: None)
        # None: made, judged and timed, then let go
        self.passed: dict[Plan, tuple[Tiled | None, Row]] = {}
        # the model's answers to the images of the calibration, once asked for
        self.calibrated: Tensor | None = None

    def begin(self, found: Evidence) -> None:
        """Answer the images in float32 eager, and set up the bench."""
        kind = "real" if found.real else "synthetic"
        used = {p: str(self.bounds[p]) for p in self.precisions}
        self.evidence = found
        self.report = Report(
            self.mode,
            self.precision,
            len(self.example),
            f"{len(found.check)} {kind} images",
            used,
            notes=list(found.notes),
        )
        if self.device.type == "cpu":
            self.report.notes.append(keep_memory())
        self.bench = Workbench(self.model, self.example, found.calibration, self.device)
        self.tell("float32 eager answers the images to compare with")
        self.reference = answers(without_gradients(self.model), found.check, 16)

    def run(self, seconds: float) -> None:
        """Try every engine in every precision, then the best in other pieces; `seconds` go into timing."""
        for one in self.engines:
            self._try_engine(one)
        several = self.mode == "throughput"
        self._time(list(self.passed), 0 if several else seconds)
        if several:
            promising = self._promising()
            more = [
                p
                for plan in promising
                for p in parallel_plans(plan, len(self.example), self.device, self.threads)
                if self.attempt(p, variant=True)
            ]
            self._time(promising + more, seconds)

    def attempt(self, plan: Plan, *, variant: bool = False) -> bool:
        """Make a candidate and judge it; a variant of one that passed is judged on fewer images."""
        if plan.precision == "int8" and not self.evidence.enough_for_int8:
            there = len(self.evidence.calibration) if self.evidence.real else 0
            self._row(
                plan, f"skipped: calibrates on real images, {LEAST_FOR_INT8} at least, and there are {there}"
            )
            return False
        self.tell(f"{plan}: preparing and checking")
        batch = len(self.example)
        images, reference = self._judged_on(plan, variant=variant)
        try:
            with hushed():
                # copies side by side are tried where one passed: what they answer otherwise is a fault in making them
                prove = self._prover(plan) if plan.instances > 1 else None
                run = Tiled(engine(plan.engine).prepare(self.bench, plan), plan, prove)
                answer = answers(run, _filled(images, batch), batch)[: len(images)]
        except Unsuitable as error:
            self._row(plan, f"skipped: {error}")
            return False
        except Exception as error:  # noqa: BLE001  an engine may raise anything; the next one is tried
            text = " ".join(str(error).split())[:300]
            self._row(plan, f"failed: {type(error).__name__}: {text}")
            return False
        verdict = judge(reference, answer, self.bounds[plan.precision])
        if plan.refined and self.evidence.real and not variant:
            # by images that its weights were not rounded for, where there are enough to keep some: those come first
            count = len(self.evidence.check)
            most = safe(self.bounds[plan.precision].agreement)
            verdict = reconsidered(verdict, reference[:count], answer[:count], reference[count:], most)
        row = self._row(plan, f"not taken: {verdict.problem}" if verdict.problem else "", verdict)
        if verdict.problem is None:
            # what is made later, for another size of batch, is held against the model too
            run.prove = self._prover(plan)
            self.passed[plan] = (run, row)
        return verdict.problem is None

    def _judged_on(self, plan: Plan, *, variant: bool) -> tuple[Tensor, Tensor]:
        """Images for a plan to answer, and what the model answers; all that there are where several tries are made."""
        images = self.evidence.check
        if variant:
            images = images[: max(len(self.example), ONE_OF)]
        elif plan.refined and self.evidence.calibration is not images:
            if self.calibrated is None:
                self.calibrated = answers(without_gradients(self.model), self.evidence.calibration, 16)
            images, reference = (
                torch.cat([images, self.evidence.calibration]),
                [self.reference, self.calibrated],
            )
            return images, torch.cat(reference)
        return images, self.reference[: len(images)]

    def _prover(self, plan: Plan) -> Proof:
        """What is wrong with a runner of this plan for so many images, on those that candidates are checked on.

        Wider than the bounds it was taken by: another size of batch adds up in another order. A fault is far off.
        """
        images, reference, stated = self.evidence.check, self.reference, self.bounds[plan.precision]
        bounds = Bounds(stated.agreement - 0.1, 1.5 * stated.difference)

        def prove(run: Runner, size: int) -> str | None:
            known = min(size, len(images))
            with torch.no_grad():
                answer = run(_filled(images[:known], size))[:known]
            verdict = judge(reference[:known], answer, bounds)
            if known < ONE_OF and verdict.difference <= bounds.difference:
                return None  # of few images one that flips is no statistic
            return verdict.problem

        return prove

    def take(self, wanted: Callable[[Plan], bool] = lambda _plan: True) -> Optimized:
        """The fastest of those that passed and are wanted; the model itself where there is none."""
        plans = [plan for plan in self.passed if wanted(plan)]
        if not plans:
            self.report.notes.append("nothing passed: the model itself answers, in float32")
            return Optimized(self.model, self.example, None, self.report)
        best = max(plans, key=lambda plan: self.passed[plan][1].images_per_second or 0.0)
        run, row = self.passed[best]
        row.taken, row.outcome = True, "taken: the fastest within bounds"
        self.report.rows.sort(key=lambda r: -(r.images_per_second or 0.0))
        return Optimized(self.model, self.example, run or self._made(best), self.report)

    def _made(self, plan: Plan) -> Tiled:
        """A candidate once more: it was behind, and turns out to be the best after all."""
        with hushed():
            return Tiled(engine(plan.engine).prepare(self.bench, plan), plan, self._prover(plan))

    def _try_engine(self, one: Engine) -> None:
        problem = one.missing()
        unplanned = Plan(one.name, self.precisions[0], 1, self.threads)
        if problem is not None:
            self._row(unplanned, f"skipped: {problem}")
            return
        plans = base_plans(one, self.precisions, self.device, self.threads)
        if plans and not one.by_default and not self.asked:
            self._row(unplanned, f"not tried: compiles for minutes (engines=[..., {one.name!r}])")
            return
        for plan in plans:
            self.try_plan(one, plan)

    def try_plan(self, one: Engine, plan: Plan) -> None:
        """The plan as it is; what misses its bounds, with more care."""
        if not self.attempt(plan):
            refine_until_it_agrees(self, one, plan)

    def _promising(self) -> list[Plan]:
        """The best two of each group, if the second is not hopelessly behind.

        Those that are behind are let go, with the memory of their weights: VGG-16's are half a gigabyte a candidate.
        """
        speed = {plan: row.images_per_second or 0.0 for plan, (_, row) in self.passed.items()}
        groups: dict[object, list[Plan]] = {}
        for plan in sorted(speed, key=lambda plan: -speed[plan]):
            groups.setdefault(self.group(plan), []).append(plan)
        near = [[p for p in plans if speed[p] * HOPELESS >= speed[plans[0]]] for plans in groups.values()]
        kept = {p for plans in near for p in plans}
        self.passed = {p: (run if p in kept else None, row) for p, (run, row) in self.passed.items()}
        return [p for plans in near for p in plans[:2]]

    def _time(self, plans: list[Plan], seconds: float) -> None:
        """Two rounds of all, then more of those that are near the best of their group, while there is time."""
        runs = {plan: run for plan in plans if (run := self.passed[plan][0]) is not None}
        calls = {plan: (lambda run=run: run(self.example)) for plan, run in runs.items()}
        expected = {plan: once(call, self.device) for plan, call in calls.items()}
        self.tell(f"timing {len(calls)} candidates in alternating rounds")
        # two calls far apart: one alone may have met a busy second of the machine
        rounds = 2 if sum(expected.values()) < LONG else 1
        first = in_rounds(
            calls, self.device, seconds=seconds / 2, least=rounds, most=rounds, expected=expected
        )
        best: dict[object, float] = {}
        for plan, timing in first.items():
            self._measured(plan, timing.typical)
            group = self.group(plan)
            best[group] = min(best.get(group, timing.best), timing.best)
        near = {p: call for p, call in calls.items() if first[p].best <= NEAR * best[self.group(p)]}
        if seconds > 0 and near:
            more = in_rounds(near, self.device, seconds=seconds, expected=expected)
            for plan, timing in more.items():
                self._measured(plan, Timing(timing.seconds + first[plan].seconds).typical)

    def _measured(self, plan: Plan, seconds: float) -> None:
        row = self.passed[plan][1]
        row.images_per_second, row.outcome = len(self.example) / seconds, "slower"

    def _row(self, plan: Plan, outcome: str, verdict: Verdict | None = None) -> Row:
        row = Row(plan, outcome, verdict=verdict)
        self.report.rows.append(row)
        return row


def _bounds_of(precision: object, given: object) -> bool:
    return precision in PRECISIONS and isinstance(given, Bounds)


def fitting(model: nn.Module, example: Tensor) -> Tensor:
    """The example as detached float32, if the model takes it; MisuseError says what it takes and what it got."""
    if (
        not isinstance(example, Tensor)
        or example.dim() != 4
        or len(example) == 0
        or not example.is_floating_point()
    ):
        got = (
            f"{example.dtype} {tuple(example.shape)}"
            if isinstance(example, Tensor)
            else type(example).__name__
        )
        raise MisuseError(f"example: expected a float batch (N, C, H, W) with N >= 1, received {got}")
    try:
        with torch.no_grad():
            logits = model(example[:1].float())
    except (RuntimeError, ValueError, IndexError) as error:
        text = " ".join(str(error).split())
        raise MisuseError(f"example: the network does not take {tuple(example.shape)}: {text}") from error
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        what = f"{type(logits).__name__} {tuple(getattr(logits, 'shape', ()))}"
        raise MisuseError(f"the model must answer logits (N, classes), it answers {what}")
    return example.detach().float()


def _filled(images: Tensor, batch: int) -> Tensor:
    """Images repeated up to a whole number of batches, so that candidates meet one size only."""
    missing = -len(images) % batch
    return torch.cat([images, images[:1].expand(missing, *images.shape[1:])]) if missing else images
