"""Choose a plan by timing the candidates on a real batch."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from convatlas.define.preprocessing import Preprocessing
from convatlas.training.plan import Plan, candidates, fixed
from convatlas.training.recipe import Recipe
from convatlas.training.step import Moment, Stepper

# a plan must beat the plain loop by so much to be taken: less is noise
MARGIN = 0.97
# for all candidates together, but for the first turn of each
_SECONDS = 1.5
# on a busy machine one turn says nothing: the best of so many does
_LEAST_TURNS = 3
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
) -> tuple[Plan, dict[str, float]]:
    """The fastest plan and what each gave, images per second by description; the model is as it was.

    The candidates take turns, so that what else the machine does falls on all alike; each counts with its best
    turn. Without a choice nothing is measured, nor where the run is to be deterministic. The plain float32 loop is
    always among them: what is taken is never slower than it.
    """
    if recipe.deterministic:
        return fixed(model, recipe, device, len(images)), {}
    plans = candidates(model, recipe, device, len(images))
    if len(plans) == 1 or len(images) == 0:
        return plans[0], {}
    kept = {name: t.clone() for name, t in model.state_dict().items()}
    threads = torch.get_num_threads()
    best: dict[Plan, float] = {}
    try:
        steppers = {p: Stepper(model, recipe, p, preprocessing, classes, device) for p in plans}
        few = min(len(images), 16)
        once = _time(steppers[plans[0]], images[:few], labels[:few], 0)
        fit = max(few, min(len(images), int(few * _STEP_SECONDS / once)))
        images, labels = images[:fit], labels[:fit]
        until = time.perf_counter() + _SECONDS
        for turn in range(6):
            for plan, stepper in list(steppers.items()):
                seconds = _time(stepper, images, labels, turn)
                if turn:  # the first turn meets cold caches and compilers
                    best[plan] = min(seconds, best.get(plan, seconds))
            if turn >= _LEAST_TURNS and time.perf_counter() > until:
                break
            if turn >= 2:  # who is far behind need not go on
                limit = 1.5 * min(best.values())
                steppers = {p: s for p, s in steppers.items() if best[p] <= limit or p == plans[0]}
    finally:
        torch.set_num_threads(threads)
        model.load_state_dict(kept)
        for p in model.parameters():
            p.grad = None
    fastest = min(best, key=lambda p: best[p])
    chosen = fastest if best[fastest] < MARGIN * best[plans[0]] else plans[0]
    return chosen, {p.describe(): len(images) / s for p, s in best.items()}


def _time(stepper: Stepper, images: Tensor, labels: Tensor, turn: int) -> float:
    stepper.model.to(memory_format=stepper.layout)  # type: ignore[call-overload]
    stepper.model.train()
    for task in stepper.tasks:
        task.train()
    with stepper.threads():
        _wait(stepper.device)
        start = time.perf_counter()
        stepper.gradients(images, labels, Moment(0, 0, turn))
        _wait(stepper.device)
        return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
