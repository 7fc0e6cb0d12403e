"""Find the fastest correct way to run a model on this machine, and show the work.

Every candidate answers the same images as the model itself in float32; those within bounds are timed against
each other in alternating rounds; the fastest is kept. Whatever fails is skipped and named, and the model in
float32 always answers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from convatlas.errors import MisuseError
from convatlas.inference import choices
from convatlas.inference.allocator import keep_memory
from convatlas.inference.candidates import MODES, base_plans, parallel_plans, wanted_precisions
from convatlas.inference.checking import BOUNDS, Bounds, Verdict, answers, judge
from convatlas.inference.engines import Plan, Unsuitable, Workbench, engine, engines_for
from convatlas.inference.engines.eager import frozen_copy, without_gradients
from convatlas.inference.images import Images, evidence
from convatlas.inference.report import Report, Row
from convatlas.inference.tiles import Tiled
from convatlas.inference.timing import in_rounds, once

# images on which candidates are compared with the model; the reference costs an eager pass over them
CHECKED = 64
# what throughput is measured on where the example is a single image
THROUGHPUT_BATCH = 32
# a candidate this many times slower than the best is not timed any further
HOPELESS = 1.6


class Optimized:
    """A callable in the place of the model: float images (n, C, H, W) of any n, to float32 logits.

    report: what was tried. plan: what was taken. Images of another size, and whatever the taken engine fails at,
    are answered by the model itself in float32, with a warning the first time.
    """

    def __init__(self, model: nn.Module, example: Tensor, run: Tiled | None, report: Report) -> None:
        self.report = report
        self.plan = run.plan if run else Plan("eager", "float32", 1, torch.get_num_threads())
        self._eager = without_gradients(model)
        self._run = run
        self._shape, self._device = tuple(example.shape[1:]), example.device
        self._warned = False

    @property
    def precision(self) -> str:
        return self.plan.precision

    def __call__(self, images: Tensor) -> Tensor:
        if (
            not isinstance(images, Tensor)
            or images.dim() != 4
            or not images.is_floating_point()
            or len(images) == 0
        ):
            got = (
                f"{images.dtype} {tuple(images.shape)}"
                if isinstance(images, Tensor)
                else type(images).__name__
            )
            raise MisuseError(
                f"images: expected a float batch (n, {', '.join(map(str, self._shape))}) with n >= 1, received {got}"
            )
        if self._run is None:
            return self._eager(images)
        if tuple(images.shape[1:]) != self._shape or images.device != self._device:
            self._warn(
                f"optimized for {self._shape} on {self._device}, received {tuple(images.shape[1:])} on {images.device}"
            )
            return self._answer_eagerly(images)
        try:
            return self._run(images.float())
        except Exception as error:  # noqa: BLE001  an engine may raise anything; the float32 path still answers
            self._warn(f"{self.plan.engine} failed ({type(error).__name__}: {error})")
            return self._answer_eagerly(images)

    def _answer_eagerly(self, images: Tensor) -> Tensor:
        try:
            return self._eager(images)
        except (RuntimeError, ValueError) as error:
            raise MisuseError(
                f"images: the network was optimized for (n, {', '.join(map(str, self._shape))}) and does not take {tuple(images.shape)} ({error})"
            ) from error

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{what}; answered by the model in float32", RuntimeWarning, stacklevel=3)


def optimize(
    model: nn.Module,
    example: Tensor,
    precision: str = "auto",
    accuracy_data: Images | None = None,
    *,
    mode: str = "auto",
    engines: Sequence[str] | None = None,
    bounds: Mapping[str, Bounds] | None = None,
    checked: int = CHECKED,
    seconds: float = 20.0,
    remember: bool = True,
    explain: Callable[[str], None] | None = None,
) -> Optimized:
    """Give the fastest callable for batches like `example` (N, C, H, W) that stays within the bounds.

    precision: "auto" (the fastest within bounds; int8 only with real images), "float32", "bf16" or "int8".
    accuracy_data: real images as the model takes them, for the check and for int8's calibration: a tensor, or
    an iterable of batches. mode: "latency" (one batch as soon as possible), "throughput" (most images a second,
    copies side by side), "auto" (by the example's batch). engines: names to try, all that compile in seconds by
    default ("inductor" takes minutes). bounds: by precision, instead of `checking.BOUNDS`. seconds: for timing.
    remember: keep and use the choice in the cache. explain: a function that is told what happens, as print.

    MisuseError where the example does not fit the model; everything else that fails only costs a candidate.
    """
    search = _Search(model, example, precision, mode, engines, bounds or {}, explain or (lambda _text: None))
    return search.run(accuracy_data, checked=checked, seconds=seconds, remember=remember)


class _Search:
    def __init__(
        self, model: nn.Module, example: Tensor, precision: str, mode: str, engines: Sequence[str] | None,
        bounds: Mapping[str, Bounds], explain: Callable[[str], None],
    ) -> None:  # fmt: skip
        if mode not in MODES:
            raise MisuseError(f"unknown mode {mode!r}; there are {', '.join(MODES)}")
        self.precisions = wanted_precisions(precision)
        self.engines = engines_for(tuple(engines) if engines is not None else None)
        self.asked = engines is not None
        self.bounds = {**BOUNDS, **bounds}
        self.model = frozen_copy(model)
        self.example = self._fitting(example)
        self.device = example.device
        self.mode = mode if mode != "auto" else ("latency" if len(example) == 1 else "throughput")
        if self.mode == "throughput" and len(example) == 1:
            self.example = self.example.expand(THROUGHPUT_BATCH, *example.shape[1:]).contiguous()
        self.threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        self.tell = explain
        self.precision = precision
        self.passed: dict[Plan, tuple[Tiled, Row]] = {}

    def _fitting(self, example: Tensor) -> Tensor:
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
                logits = self.model(example[:1])
        except (RuntimeError, ValueError, IndexError) as error:
            text = " ".join(str(error).split())
            raise MisuseError(f"example: the network does not take {tuple(example.shape)}: {text}") from error
        if not isinstance(logits, Tensor) or logits.dim() != 2:
            raise MisuseError(
                f"the model must answer logits (N, classes), it answers {type(logits).__name__} {tuple(getattr(logits, 'shape', ()))}"
            )
        return example.detach().float()

    def run(self, accuracy_data: Images | None, *, checked: int, seconds: float, remember: bool) -> Optimized:
        found = evidence(accuracy_data, self.example, checked)
        kind = "real" if found.real else "synthetic"
        used = {p: str(self.bounds[p]) for p in self.precisions}
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
        self.evidence = found
        self.bench = Workbench(self.model, self.example, found.calibration, self.device)
        self.tell("float32 eager answers the images to compare with")
        self.reference = answers(without_gradients(self.model), found.check, 16)
        name = choices.key(
            self.model,
            self.example,
            self.engines,
            (self.precision, self.mode, self.asked, found.enough_for_int8, sorted(used.items())),
        )
        plan = choices.recall(name) if remember else None
        if plan is not None and self._try(plan):
            self.report.notes.append("choice remembered from an earlier run, checked again, not timed")
        else:
            self._search(seconds)
        taken = self._take()
        if taken is not None and remember:
            choices.remember(name, taken.plan)
        return Optimized(self.model, self.example, taken, self.report)

    def _search(self, seconds: float) -> None:
        for one in self.engines:
            problem = one.missing()
            if problem is None and not set(one.precisions(self.device)) & set(self.precisions):
                continue
            if not one.by_default and not self.asked:
                self._row(
                    Plan(one.name, self.precisions[0], 1, self.threads),
                    f"not tried: compiles for minutes (engines=[..., {one.name!r}])",
                )
                continue
            plans = base_plans(one, self.precisions, self.device, self.threads) if problem is None else []
            if problem:
                self._row(Plan(one.name, self.precisions[0], 1, self.threads), f"skipped: {problem}")
            for plan in plans:
                self._try(plan)
        self._time(list(self.passed), seconds / 2, least=2)
        if self.mode == "throughput":
            best = max((row.images_per_second or 0 for _, row in self.passed.values()), default=0.0)
            promising = [
                plan
                for plan, (_, row) in self.passed.items()
                if (row.images_per_second or 0) * HOPELESS >= best
            ]
            more = [
                p
                for plan in promising
                for p in parallel_plans(plan, len(self.example), self.device, self.threads)
                if self._try(p, variant=True)
            ]
            self._time(promising + more, seconds)

    def _try(self, plan: Plan, *, variant: bool = False) -> bool:
        """Make a candidate and judge it; a variant of one that passed is judged on the example alone."""
        if plan.precision == "int8" and not self.evidence.enough_for_int8:
            return False
        self.tell(f"{plan}: preparing and checking")
        try:
            run = Tiled(engine(plan.engine).prepare(self.bench, plan), plan)
            images = self.evidence.check[: len(self.example)] if variant else self.evidence.check
            batch = len(self.example)
            answer = answers(run, _filled(images, batch), batch)[: len(images)]
        except Unsuitable as error:
            self._row(plan, f"skipped: {error}")
            return False
        except Exception as error:  # noqa: BLE001  an engine may raise anything; the next one is tried
            self._row(plan, f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            return False
        verdict = judge(self.reference[: len(images)], answer, self.bounds[plan.precision])
        row = self._row(plan, (verdict.problem and f"not taken: {verdict.problem}") or "", verdict)
        if verdict.problem:
            return False
        self.passed[plan] = (run, row)
        return True

    def _time(self, plans: list[Plan], seconds: float, least: int = 3) -> None:
        if len(plans) < 1:
            return
        calls = {plan: (lambda run=self.passed[plan][0]: run(self.example)) for plan in plans}
        first = {plan: min(once(call, self.device) for _ in range(2)) for plan, call in calls.items()}
        limit = 2.5 * min(first.values())
        for plan in [p for p in calls if first[p] > limit]:
            del calls[plan]
            self._measured(plan, first[plan], "slower")
        self.tell(f"timing {len(calls)} candidates in alternating rounds")
        for plan, timing in in_rounds(calls, self.device, seconds=seconds, least=least).items():
            self._measured(plan, timing.median, "slower")

    def _measured(self, plan: Plan, seconds: float, outcome: str) -> None:
        row = self.passed[plan][1]
        row.images_per_second, row.outcome = len(self.example) / seconds, outcome

    def _take(self) -> Tiled | None:
        if not self.passed:
            self.report.notes.append("nothing passed: the model itself answers, in float32")
            return None
        plan = max(self.passed, key=lambda p: self.passed[p][1].images_per_second or 0.0)
        run, row = self.passed[plan]
        row.taken, row.outcome = True, "taken: the fastest within bounds"
        self.report.rows.sort(key=lambda r: -(r.images_per_second or 0.0))
        self.tell(str(self.report))
        return run

    def _row(self, plan: Plan, outcome: str, verdict: Verdict | None = None) -> Row:
        row = Row(plan, outcome, verdict=verdict)
        self.report.rows.append(row)
        return row


def _filled(images: Tensor, batch: int) -> Tensor:
    """Images repeated up to a whole number of batches, so that candidates meet one size only."""
    missing = -len(images) % batch
    return torch.cat([images, images[:1].expand(missing, *images.shape[1:])]) if missing else images
