"""Labels as they are written, to classes: of numbers by value, of names by name."""

from __future__ import annotations

from collections.abc import Iterable

from convatlas.errors import MisuseError

_MAX_CLASSES = 100_000
_DIGITS = 18  # int() takes its time with more, and refuses thousands


def classes_of(labels: Iterable[str], where: str) -> tuple[str, ...]:
    """Names of the classes in order; MisuseError for fewer than two, or a number that counts no classes."""
    distinct = set(labels)
    if len(distinct) < 2:
        raise MisuseError(
            f"{where}: one class only ({', '.join(repr(_short(n)) for n in distinct)}); to tell apart there must be two or more"
        )
    if not all(label.isascii() and label.isdigit() for label in distinct):
        return tuple(sorted(distinct))
    for label in sorted(distinct):
        if len(label) > _DIGITS or int(label) >= _MAX_CLASSES:
            raise MisuseError(f"{where}: label {_short(label)} is no class number; they count from 0")
    return tuple(map(str, range(max(map(int, distinct)) + 1)))


def _short(label: str) -> str:
    return label if len(label) <= 40 else f"{label[:40]}..."
