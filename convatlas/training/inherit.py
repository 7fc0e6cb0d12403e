"""Begin a new class as the old class that its pictures look most like.

ImageNet's thousand classes leave few photos without a relative: an ant, a bee, a church are there by name, another
insect has a likeness. A row of the old classifier is the best first guess for a new class, and costs one look at
the old answers. (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", begin with a head that already knows
the classes, too: theirs comes from their names.) What no old class resembles, begins from nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

# pictures judged at once: 64 times 169 places times 1000 classes are 43 MB
_BATCH = 64
# by what the old rows may be multiplied: a network can be surer or less sure of itself than it should be
_SCALES = tuple(2.0**k for k in range(2, -7, -1))
# of the loss of a head that knows nothing, what may be left: else a new head learns better from nothing
_LEFT = 0.5


class Inherited(NamedTuple):
    """How many classes began as an old one, and the share of the training pictures that this alone names right."""

    rows: int
    share: float


@torch.no_grad()
def inherit(
    layers: nn.Sequential, last: nn.Module, old: Mapping[str, Tensor], features: Tensor, labels: Tensor
) -> Inherited | None:
    """Give the rows of `last`, a part of `layers`, the values of the old classifier's that fit them; else leave it.

    old: "weight" (K, ...) and maybe "bias" (K,). features: (N, ...) as `layers` take them; labels: (N,) int64.
    Values are scaled to where they explain the labels best; where that leaves half of it unexplained, or the old
    classifier is of another kind, nothing is changed and None is the answer.
    """
    own = dict(last.named_parameters())
    if own.keys() != old.keys() or any(own[k].shape[1:] != old[k].shape[1:] for k in own):
        return None
    classes = len(own["weight"])
    path = next(name for name, module in layers.named_modules() if module is last)
    values = {k: old[k].to(own[k]) for k in own}
    was_training = layers.training
    layers.eval()
    try:
        seen, mean = _mean_posteriors(layers, path, values, features, labels, classes)
        chosen = _pairs(mean, seen)
        if len(chosen) < len(seen):
            return None  # fewer old classes than new ones
        rows = torch.tensor([chosen[c] for c in seen], device=features.device)
        picked = {k: v[rows] for k, v in values.items()}
        of = torch.full((classes,), -1, device=labels.device)
        of[torch.tensor(seen, device=labels.device)] = torch.arange(len(seen), device=labels.device)
        scale, share = _temperature(layers, path, picked, features, of[labels])
    finally:
        layers.train(was_training)
    if scale is None:
        return None
    for name, value in picked.items():
        own[name][torch.tensor(seen, device=value.device)] = value * scale
    return Inherited(len(seen), share)


def _answers(
    layers: nn.Sequential, path: str, values: Mapping[str, Tensor], features: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Logits (n, K) of a classifier of these values, some pictures at a time."""
    replaced = {f"{path}.{name}": value for name, value in values.items()}
    for at in range(0, len(features), _BATCH):
        part = slice(at, at + _BATCH)
        yield part, functional_call(layers, replaced, (features[part].float(),)).float()


def _mean_posteriors(
    layers: nn.Sequential,
    path: str,
    values: Mapping[str, Tensor],
    features: Tensor,
    labels: Tensor,
    classes: int,
) -> tuple[list[int], Tensor]:
    """The classes that have pictures, and what the old classifier says of them on average: (those, K)."""
    sums = torch.zeros((classes, len(values["weight"])), dtype=torch.float64, device=features.device)
    for part, logits in _answers(layers, path, values, features):
        sums.index_add_(0, labels[part].to(sums.device), logits.softmax(1).double())
    counts = torch.bincount(labels, minlength=classes).to(sums.device)
    seen = counts.nonzero().flatten()
    return seen.tolist(), sums[seen] / counts[seen, None]


def _pairs(mean: Tensor, seen: list[int]) -> dict[int, int]:
    """An old class for each new one, the surest pairs first, none twice.

    Worth of a pair: how probable the old class is on the new one's pictures, times the share of it that falls on
    them and not on another new class's.
    """
    worth = mean * mean / mean.sum(0).clamp_min(1e-30)
    found: dict[int, int] = {}
    for _ in range(min(mean.shape)):
        new, row = divmod(int(worth.argmax()), worth.shape[1])
        found[seen[new]] = row
        worth[new], worth[:, row] = -1, -1
    return found


def _temperature(
    layers: nn.Sequential, path: str, picked: Mapping[str, Tensor], features: Tensor, labels: Tensor
) -> tuple[float | None, float]:
    """The factor at which these rows explain the labels best, None where none does so well enough; the share right.

    Weight and bias scale together, and so do the logits behind them, a ReLU and an average.
    """
    losses, right = [0.0] * len(_SCALES), 0
    for part, logits in _answers(layers, path, picked, features):
        theirs = labels[part].to(logits.device)
        right += int((logits.argmax(1) == theirs).sum())
        for i, scale in enumerate(_SCALES):
            losses[i] += float(F.cross_entropy(logits * scale, theirs, reduction="sum"))
    best = min(range(len(_SCALES)), key=losses.__getitem__)
    chance = math.log(len(picked["weight"]))
    enough = losses[best] / len(labels) < _LEFT * chance
    return (_SCALES[best] if enough else None), right / len(labels)
