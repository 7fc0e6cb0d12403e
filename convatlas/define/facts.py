"""What was published about a network, beside what we compute of it. The two are never mixed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paper:
    """Where a network was published."""

    title: str
    authors: str
    year: int
    venue: str
    arxiv: str | None = None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A published result. `top1`, `top5` in percent, of the `kind` "error" or "accuracy"; protocol in words.

    `checked`: "seen" if the figure was read in the source named, "recalled" if quoted from memory of it.
    """

    dataset: str
    kind: str
    top1: float | None
    top5: float | None
    protocol: str
    source: str
    checked: str = "seen"


@dataclass(frozen=True, slots=True)
class Claim:
    """A number that the paper prints: `quantity` is parameters, mult_adds, depth or other words; `place` in the paper.

    `value` as printed; `verdict`: "reproduced", "contradicted" or "imprecise"; `reason` says why it is not reproduced.
    """

    quantity: str
    value: str
    place: str
    verdict: str = "reproduced"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The published side of one network."""

    paper: Paper
    title: str
    new: str
    accuracies: tuple[Accuracy, ...] = ()
    claims: tuple[Claim, ...] = ()
    deviations: tuple[str, ...] = ()  # what popular copies get wrong, and what to know before comparing
