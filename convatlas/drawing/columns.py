"""Aligned columns of text for a terminal, and what a terminal can show."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from convatlas.drawing.text import ELLIPSIS

BOLD, DIM, RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_GAP = "  "


def wants_color(stream: TextIO | None = None) -> bool:
    """Whether to color what goes to `stream` (stdout): a terminal, and NO_COLOR unset (no-color.org)."""
    stream = stream or sys.stdout
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Columns of the terminal behind `stream` (stdout); None for a file or a pipe, which have no width."""
    stream = stream or sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def cells(text: str) -> int:
    """Columns that `text` takes in a terminal: two for a wide character, none for a combining mark."""
    count = 0
    for character in text:
        if not unicodedata.combining(character):
            count += 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
    return count


def clip(text: str, width: int) -> str:
    """`text` in at most `width` columns, ended by an ellipsis where it was cut."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return text + ELLIPSIS if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled with spaces to `width` columns."""
    room = " " * (width - cells(text))
    return room + text if right else text + room


def aligned(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    width: int | None = None,
    color: bool = False,
    flexible: int | None = None,
) -> str:
    """Columns of text under a header, two spaces apart; the columns numbered in `right` are set to the right.

    Where `width` columns do not hold the table, the `flexible` column (by default the widest that is not set
    to the right) is cut with an ellipsis, down to eight columns.
    """
    widths = [max(map(cells, column)) for column in zip(header, *rows, strict=True)]
    total = sum(widths) + len(_GAP) * (len(widths) - 1)
    if width is not None and total > width:
        left = [index for index in range(len(widths)) if index not in right] or [0]
        chosen = flexible if flexible is not None else max(left, key=lambda index: widths[index])
        widths[chosen] = min(widths[chosen], max(8, widths[chosen] - (total - width)))
    lines = []
    for index, row in enumerate([header, *rows]):
        parts = [
            pad(clip(cell, w), w, right=i in right)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        text = _GAP.join(parts).rstrip()
        lines.append(f"{BOLD}{text}{RESET}" if color and index == 0 else text)
    return "\n".join(lines)
