"""The learning rate over time: a pure function of how far the run is, so that a resumed run cannot be one off."""

from __future__ import annotations

import bisect
import math

from convatlas.training.recipe import Recipe


def lr_factor(recipe: Recipe, epoch: float, drops: int = 0) -> float:
    """What the recipe's lr is multiplied by after `epoch` epochs (2.5: in the middle of the third).

    drops: how often the plateau schedule has fallen, which depends on results and not on time.
    """
    if epoch < recipe.warmup:
        # begins above 0: the first step should do something
        return max(epoch / recipe.warmup, 0.01)
    span = max(recipe.epochs - recipe.warmup, 1e-9)
    at = min(max((epoch - recipe.warmup) / span, 0.0), 1.0)
    low = recipe.lr_final
    match recipe.schedule:
        case "step":
            fallen = bisect.bisect_right(recipe.milestones, epoch + 1e-9)
            if recipe.every > 0:
                fallen += math.floor(epoch / recipe.every + 1e-9)
            return recipe.gamma**fallen
        case (
            "exponential"
        ):  # staircase, as TensorFlow's exponential_decay(staircase=True) in the Inception releases
            return recipe.gamma ** math.floor(epoch / recipe.every + 1e-9)
        case "plateau":
            return recipe.gamma**drops
        case "one_cycle":
            if at < recipe.peak:
                return recipe.lr_start + (1 - recipe.lr_start) * at / recipe.peak
            return low + (1 - low) * (1 - at) / max(1 - recipe.peak, 1e-9)
        case "cosine":
            return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * at))
        case "linear":
            return low + (1 - low) * (1 - at)
        case "polynomial":
            return low + (1 - low) * (1 - at) ** recipe.power
        case "inverse":  # Caffe's inv policy: (1 + gamma t) ^ -power, t in epochs here
            return (1 + recipe.gamma * epoch) ** -recipe.power
    return 1.0


def side_at(recipe: Recipe, full: int, epoch: int) -> int:
    """The side of the training pictures in an epoch: rises in steps of 32 (of 4 below 64) to the full one.

    Howard 2018 (DAWNBench), FFCV 2022: small pictures first; (160/224)^2 = half of the work an image.
    """
    start = recipe.start_size
    if not start or start >= full:
        return full
    step = 32 if full >= 64 else 4
    ramp = recipe.full_size_at * recipe.epochs
    if epoch >= ramp:
        return full
    side = start + (full - start) * epoch / max(ramp, 1e-9)
    return min(full, max(step, round(side / step) * step))
