"""Choose a plan by timing the candidates on a real batch."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.define.preprocessing import Preprocessing
from convatlas.training.plan import Plan, candidates, fixed
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper

# a plan must beat the plain loop by so much, in this many neighbouring turns and in most of them: less is noise
MARGIN = 0.95
_WINS = 3
# what is known to be best on this kind of machine is taken unless another plan is faster by more than this
_USUAL = 0.9
# for all candidates together, but for the first turn of each: a share of what the run may take, within bounds
_SHARE, _LEAST_SECONDS, _MOST_SECONDS = 0.02, 0.3, 6.0
_LEAST_TURNS, _MOST_TURNS = 4, 16
# compiling takes a minute a plan, on a CPU two, and gained nothing there: only for a run for which the plain loop
# would take so many seconds
_LONG = {"cuda": 1200.0, "cpu": 7200.0}
# a run that the plain loop does in so many seconds on a GPU is over before a measurement has paid
_SHORT = 20.0
# a step of the plain loop that takes longer is measured on a part of the batch: the ratio is the same
_STEP_SECONDS = 0.2


def choose(
    model: nn.Module,
    recipe: Recipe,
    preprocessing: Preprocessing,
    classes: int,
    device: torch.device,
    images: Tensor,
    labels: Tensor,
    pictures: int = 0,
) -> tuple[Plan, dict[str, float]]:
    """The fastest plan and what each gave, images per second by description; the model is as it was.

    pictures: how many the whole run trains on; a long run is worth a longer measurement. On a CPU the candidates take
    turns, so that what else the machine does falls on all alike; each counts with its best turn, which other programs
    disturbed least. The plain float32 loop is always among them, and what is taken beat it turn by turn.

    Nothing is measured without a choice, nor where the run is to be deterministic, nor where a GPU does all of it in
    seconds, nor on a CPU that has more to do than cores: there the clock tells of the others. What is known to be best
    on this kind of machine is taken then.
    """
    usual = fixed(model, recipe, device, len(images))
    if recipe.deterministic or (device.type == "cpu" and _busy()):
        return usual, {}
    plans = candidates(model, recipe, device, len(images))
    if len(plans) == 1 or len(images) == 0:
        return dataclasses.replace(plans[0], tuned=device.type == "cuda"), {}
    kept = {name: t.clone() for name, t in model.state_dict().items()}
    threads = torch.get_num_threads()

    def stepper(plan: Plan) -> Stepper:
        return Stepper(model, recipe, plan, preprocessing, classes, device)

    measuring = _on_gpu if device.type == "cuda" else _on_cpu
    try:
        turns, seen = measuring(plans, usual, recipe, stepper, images, labels, pictures)
    finally:
        torch.set_num_threads(threads)
        model.load_state_dict(kept)
        for p in model.parameters():
            p.grad = None
        _empty(device)
    if not turns:
        return usual, {}
    taken = dataclasses.replace(_winner(turns, plans[0], usual), tuned=device.type == "cuda")
    return taken, {p.describe(): seen / min(t) for p, t in turns.items()}


Turns = dict[Plan, list[float]]
Maker = Callable[[Plan], Stepper]


def _on_cpu(
    plans: list[Plan], usual: Plan, recipe: Recipe, make: Maker, images: Tensor, labels: Tensor, pictures: int
) -> tuple[Turns, int]:
    """Seconds of each plan's turns, taken by all in rounds, and on how many pictures."""
    steppers = {plans[0]: make(plans[0])}
    all_of_them = [steppers[plans[0]]]
    try:
        few = min(len(images), 8)
        while True:  # what a step costs whatever the batch must not hide what a picture costs
            once = min(_time(steppers[plans[0]], images[:few], labels[:few], turn) for turn in range(2))
            if once > _STEP_SECONDS / 4 or few == len(images):
                break
            few = min(2 * few, len(images))
        fit = max(few, min(len(images), int(few * _STEP_SECONDS / once)))
        images, labels = images[:fit], labels[:fit]
        whole = pictures * once / few
        for plan in _worth(plans, recipe, whole, _LONG["cpu"])[1:]:
            steppers[plan] = make(plan)
            all_of_them.append(steppers[plan])
        turns: Turns = {p: [] for p in steppers}
        until = time.perf_counter() + _budget(whole)
        for turn in range(_MOST_TURNS):
            for plan, stepper in list(steppers.items()):
                try:
                    seconds = _time(stepper, images, labels, turn)
                except Exception:
                    if not plan.compile or plan == plans[0]:
                        raise
                    del steppers[plan], turns[plan]  # no compiler here, or one that cannot: not a plan then
                    continue
                if turn:  # the first turn meets cold caches and compilers
                    turns[plan].append(seconds)
            if turn >= _LEAST_TURNS and time.perf_counter() > until:
                break
            if turn >= 2:  # who is far behind need not go on
                limit = 1.5 * min(min(t) for t in turns.values())
                stay = (plans[0], usual)
                steppers = {p: s for p, s in steppers.items() if min(turns[p]) <= limit or p in stay}
    finally:
        for stepper in all_of_them:
            stepper.close()
    return turns, len(images)


def _on_gpu(
    plans: list[Plan], usual: Plan, recipe: Recipe, make: Maker, images: Tensor, labels: Tensor, pictures: int
) -> tuple[Turns, int]:
    """The same, one plan after the other: a GPU is nobody else's, and has no room for what all of them hold.

    Nothing is measured of a run that the plain loop does in seconds. A plan that fails, for want of memory or of a
    compiler, is none.
    """
    turns: Turns = {}
    torch.backends.cudnn.benchmark = False
    plain, few = make(plans[0]), len(images)
    while True:
        try:
            once = min(_time(plain, images[:few], labels[:few], turn) for turn in range(2))
            break
        except torch.OutOfMemoryError:  # another plan may need less, and smaller batches compare as well
            if few == 1:
                raise
        _empty(plain.device)
        few //= 2
    plain.close()
    images, labels = images[:few], labels[:few]
    whole = pictures * once / few
    if whole < _SHORT and recipe.compile != "on":
        return {}, few
    torch.backends.cudnn.benchmark = True
    plans = _worth(plans, recipe, whole, _LONG["cuda"])
    for plan in plans:
        until = time.perf_counter() + _budget(whole) / len(plans)
        problem, stepper = None, make(plan)
        try:
            found: list[float] = []
            for turn in range(_MOST_TURNS):
                seconds = _time(stepper, images, labels, turn)
                found += [seconds] if turn else []
                if turn >= _LEAST_TURNS and time.perf_counter() > until:
                    break
            if plan.graphs and not stepper.capturing:
                problem = "it could not be recorded"
            else:
                turns[plan] = found
        except Exception as error:
            if plan == plans[0]:
                raise
            problem = str(error).partition("\n")[0]
        finally:
            stepper.close()
        if problem is not None:
            warnings.warn(f"{plan.describe()}: left out, since {problem}", RuntimeWarning, stacklevel=2)
        del stepper
        for p in plain.parameters[0]:
            p.grad = None
        _empty(plain.device)
    return turns, few


def _worth(plans: list[Plan], recipe: Recipe, whole: float, long: float) -> list[Plan]:
    """Without those that compile, in a run that is over before that has paid: importing the compiler alone takes seconds."""
    return [p for p in plans if not p.compile] if whole < long and recipe.compile == "auto" else plans


def _budget(whole: float) -> float:
    return min(_MOST_SECONDS, max(_LEAST_SECONDS, _SHARE * whole))


def _winner(turns: Mapping[Plan, Sequence[float]], plain: Plan, usual: Plan) -> Plan:
    """The plan to take, from the seconds of each plan's turns; a plan that was given up has fewer of them."""

    def beats_plain(plan: Plan) -> bool:
        pairs = list(zip(turns[plan], turns[plain], strict=False))
        wins = sum(own < MARGIN * theirs for own, theirs in pairs)
        return wins >= _WINS and 2 * wins > len(pairs)

    best = {p: min(t) for p, t in turns.items() if beats_plain(p)}
    # known to be faster on such a machine: its best turn suffices
    if usual in turns and min(turns[usual]) < MARGIN * min(turns[plain]):
        best[usual] = min(turns[usual])
    if not best:
        return plain
    fastest = min(best, key=lambda p: best[p])
    return usual if usual in best and _USUAL * best[usual] <= best[fastest] else fastest


def _busy() -> bool:
    """Whether programs, this one included, want more cores than there are."""
    cores = os.cpu_count() or 1
    try:
        running = []
        for _ in range(5):
            # "0.4 0.5 1.1 2/85 123": two of 85 run now; the averages before lag by a minute, and count who sleeps on a disk
            running.append(int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))
            time.sleep(0.01)
        return sum(running) > cores * len(running)
    except (OSError, ValueError, IndexError):
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > cores


def _time(stepper: Stepper, images: Tensor, labels: Tensor, turn: int) -> float:
    # on a CPU others take turns on the same weights; a GPU's graph has noted where they lie
    if stepper.device.type == "cpu":
        stepper.model.to(memory_format=stepper.layout)  # type: ignore[call-overload]
    stepper.model.train()
    for task in stepper.tasks:
        task.train()
    with stepper.threads():
        if turn == 0 and stepper.plan.graphs:  # recorded when a shape comes for the second time
            stepper.gradients(images, labels, Moment(0, 0, turn))
        _wait(stepper.device)
        start = time.perf_counter()
        stepper.gradients(images, labels, Moment(0, 0, turn))
        _wait(stepper.device)
        return time.perf_counter() - start


def _empty(device: torch.device) -> None:
    """Give back what the candidates held: the run's own stepper needs the room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
