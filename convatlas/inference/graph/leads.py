"""By how much a first class leads, and how many images to expect whose lead an error overcomes.

Of a hundred images that are answered, one or two change: too few to tell 97 % from 99 %. How far the lead moved is
known of every image, and how densely leads lie near zero of all of them together; their product is the share of
further images that will change. What it told of published networks, and what others then showed, is in
benchmarks/reports/2026-11-30-agreement.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

# leads count as near zero up to this quantile: narrow, since leads lie denser there, and still of some images
NEAR = 0.1
# what float32 rounds off a logit, beside 1 and itself: a lead that is no larger may fall either way
TIE = 1e-5
# a trend over fewer moves than this is chance
_LEAST = 8


def leads(logits: Tensor, classes: Tensor | None = None) -> Tensor:
    """By how much these classes (n,), or else the first ones, lead over the best other one, (n,); below 0 they do not."""
    if classes is None:
        classes = logits.argmax(1)
    index = classes.unsqueeze(1)
    others = logits.scatter(1, index, float("-inf")).amax(1)
    return logits.gather(1, index).squeeze(1) - others


def clear(logits: Tensor) -> Tensor:
    """Which images (n,) are no tie of float32."""
    return leads(logits) > TIE * (1 + logits.amax(1).abs())


def density(known: Tensor) -> float:
    """Of leads (n,), the share that lies within one unit above zero, as the ones near zero say."""
    return float(NEAR / known.quantile(NEAR).clamp_min(1e-12)) if len(known) else 0.0


def changed_by(moved: Tensor, at: Tensor, known: Tensor) -> float:
    """The share of answers to expect changed where leads `at` (m,) move by `moved` (m,); known: leads (n,) before.

    What grows with the lead is told apart, as logits that all shrink have it: alone it changes no answer, but what else
    moves a lead weighs more beside smaller ones.
    """
    if len(moved) == 0:
        return 0.0
    off = at - at.mean()
    varies = off.square().sum()
    trend = float((off * moved).sum() / varies) if len(moved) >= _LEAST and varies > 0 else 0.0
    if trend <= -1:  # nothing is left of the leads
        return 1.0
    return min(1.0, density(known) * float((trend * at - moved).clamp_min(0).mean()) / (1 + trend))


def expected_changes(reference: Tensor, answer: Tensor, others: Tensor | None = None) -> float:
    """The share of further images whose first class `answer` will change, by logits (n, classes) of some of them.

    others: the reference's logits (m, classes) of more images, to know better how densely leads lie.
    """
    first, sure = reference.argmax(1), clear(reference)
    before = leads(reference)
    moved = leads(answer.to(reference), first) - before
    known = before[sure]
    if others is not None:
        known = torch.cat([known, leads(others)[clear(others)]])
    return changed_by(moved[sure], before[sure], known)
