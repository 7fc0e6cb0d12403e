"""What somebody wrote about a network, and how it is checked: by computing the value afresh, or by a source."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Verdict = Literal["reproduced", "contradicted", "imprecise", "source_agrees", "unverified", "garbled"]
VERDICTS: dict[Verdict, str] = {
    "reproduced": "our computation gives it",
    "contradicted": "it is wrong",
    "imprecise": "true only with the caveat given",
    "source_agrees": "not computable; the original source says the same",
    "unverified": "no source was found or read",
    "garbled": "damaged where it was read",
}


class Answer(NamedTuple):
    """What a computation gives for a claim, in words, and whether that is what the claim says."""

    text: str
    agrees: bool


@dataclass(frozen=True)
class Claim:
    """A line of the ledger. `value` as claimed, empty where `quantity` says it all; `place` within its source.

    `check` computes the value afresh from the definitions. `source` says what else it was held against; one of
    the two is always there, but for a claim that nothing could settle (`unverified`).
    """

    quantity: str
    value: str
    verdict: Verdict
    check: Callable[[], Answer] | None = None
    why: str = ""
    source: str = ""
    place: str = ""


_UNITS = {
    "thousand": 1e3, "K": 1e3, "k": 1e3, "million": 1e6, "M": 1e6, "billion": 1e9, "G": 1e9,
}  # fmt: skip
_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)(?:e(\d+))?\s*(thousand|million|billion|[KkMG])?(?![A-Za-z])")


def printed(text: str) -> tuple[float, float]:
    """(value, unit of its last digit) of the first number in `text`: ``60.9 M`` is (60.9e6, 1e5)."""
    match = _NUMBER.search(text)
    if match is None:
        raise ValueError(f"no number in {text!r}")
    digits, exponent, unit = match[1].replace(",", ""), int(match[2] or 0), _UNITS.get(match[3] or "", 1.0)
    scale = 10**exponent * unit
    return float(digits) * scale, 10.0 ** -len(digits.partition(".")[2]) * scale


def prints(text: str, value: float) -> bool:
    """Whether `value`, rounded or cut to the digits that `text` prints, is the number in it."""
    claimed, unit = printed(text)
    steps = value / unit
    return round(claimed / unit) in {math.floor(steps), math.floor(steps + 0.5)}


def number(text: str, value: float, words: str = "") -> Answer:
    """A computed number against a printed one."""
    return Answer(words or f"{value:,}", prints(text, value))


def same(claimed: object, found: object, words: str = "") -> Answer:
    """A computed thing against a claimed one."""
    return Answer(words or _show(found), claimed == found)


def every(*answers: Answer) -> Answer:
    """Several computations of one claim: it agrees where all do."""
    return Answer("; ".join(answer.text for answer in answers), all(answer.agrees for answer in answers))


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
