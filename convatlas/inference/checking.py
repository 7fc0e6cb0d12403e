"""Whether a candidate still computes the network: its answers against the model's own in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convatlas.inference.graph.leads import expected_changes


@dataclass(frozen=True)
class Bounds:
    """What a candidate must keep: the least share of equal top-1 answers, the most that any probability may move.

    Where there are at least `ONE_OF` images, one of them may change its answer whatever the share.
    """

    agreement: float
    difference: float

    def __str__(self) -> str:
        return (
            f"top-1 agreement >= {self.agreement:.1%}, no probability moved by more than {self.difference:g}"
        )


# images of which one may change its answer under bf16 and int8: a tie that falls the other way
ONE_OF = 50
BOUNDS = {
    "float32": Bounds(1.0, 1e-3),
    "bf16": Bounds(0.995, 0.1),
    "int8": Bounds(0.98, 0.25),
}
# of what a bound lets differ, the share that a plan may be expected to change: the rest is room for what other images
# than those that it was told from have otherwise
SAFE = 0.5
TF32 = Bounds(0.995, 0.01)


@dataclass(frozen=True)
class Verdict:
    """How far a candidate is from float32 eager; `problem` is None if it may be used.

    expected: the share of further images that it is expected to answer otherwise, where that was asked for.
    """

    agreement: float
    difference: float
    problem: str | None
    expected: float | None = None


def judge(reference: Tensor, answer: Tensor, bounds: Bounds) -> Verdict:
    """Compare logits (n, classes). A tie in float32 within rounding may fall either way."""
    if answer.shape != reference.shape:
        return Verdict(
            0.0, float("inf"), f"answers {tuple(answer.shape)} instead of {tuple(reference.shape)}"
        )
    answer = answer.to(reference)
    if not answer.isfinite().all():
        return Verdict(0.0, float("inf"), "answers values that are not finite")
    expected, got = reference.softmax(1), answer.softmax(1)
    best = reference.argmax(1)
    # the image counts as agreeing where the other answer was equal to the best up to float32's rounding
    chosen = reference.gather(1, answer.argmax(1, keepdim=True)).squeeze(1)
    top = reference.gather(1, best.unsqueeze(1)).squeeze(1)
    agreement = float((top - chosen <= 1e-5 * (1 + top.abs())).float().mean())
    difference = float((expected - got).abs().max())
    problem = None
    allowed = 1 - bounds.agreement
    if len(best) >= ONE_OF and bounds.agreement < 1.0:
        allowed = max(allowed, 1 / len(best))
    if 1 - agreement > allowed + 1e-6:
        problem = f"top-1 agrees on {agreement:.1%}, bound {bounds.agreement:.1%}"
    elif difference > bounds.difference:
        problem = f"a probability moved by {difference:.2g}, bound {bounds.difference:g}"
    return Verdict(agreement, difference, problem)


def safe(agreement: float) -> float:
    """The share of changed answers to expect at most of a plan that was chosen among several, by its bound."""
    return SAFE * (1 - agreement)


def reconsidered(verdict: Verdict, reference: Tensor, answer: Tensor, others: Tensor, most: float) -> Verdict:
    """The verdict with the share of further images to expect changed, which may be at most `most`.

    reference, answer: logits (n, classes) of images that the candidate was not fitted to, if there are enough to tell
    them from those that it was; others: the reference's (m, classes) of these. What answers no numbers has no share.
    """
    if answer.shape != reference.shape or not answer.isfinite().all():
        return verdict
    share = expected_changes(reference, answer, others)
    problem = verdict.problem
    if problem is None and not share <= most:
        problem = f"{share:.1%} of further images to expect otherwise, bound {most:.2%}"
    return replace(verdict, problem=problem, expected=share)


def bounds_on(device: torch.device) -> dict[str, Bounds]:
    """The bounds by precision. A GPU convolves float32 in TF32, with 11 bits of a factor, unless torch is told not to.

    Another order of the same operations then moves a probability by some thousandths: as far as the model itself, which
    candidates are compared with, is from its answers in full float32.
    """
    low = device.type == "cuda" and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
    return {**BOUNDS, "float32": TF32} if low else dict(BOUNDS)


def answers(run: Callable[[Tensor], Tensor], images: Tensor, batch: int) -> Tensor:
    """Logits of all images, `batch` at a time."""
    with torch.no_grad():
        return torch.cat([run(piece).clone() for piece in images.split(batch)])
