"""Tables for the terminal: the layer table of a network, and plain aligned columns."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from convatlas.define import Combinator, Elaborated, Operation, Placed, Residual, Separable, Sequential, Shape
from convatlas.drawing.folding import Folder, layers
from convatlas.drawing.kinds import kind
from convatlas.drawing.text import ELLIPSIS
from convatlas.drawing.theme import TERMINAL

MULT_ADDS_NOTE = "mult-adds: multiply-accumulates of convolutions and linear layers, for one image"
_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
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
        lines.append(f"{_BOLD}{text}{_RESET}" if color and index == 0 else text)
    return "\n".join(lines)


@dataclass(frozen=True)
class _Line:
    """A row of the layer table: indented name, what it is, its shapes and costs, and how it is colored."""

    name: str
    words: str
    output: str
    field: str
    parameters: str
    mult_adds: str
    style: str = ""


def layer_table(
    network: Elaborated,
    *,
    depth: int | None = None,
    width: int | None = None,
    color: bool = False,
    receptive_fields: Mapping[str, str] | None = None,
) -> str:
    """The network as a table: a line a layer, blocks as indented headers with their subtotals.

    A convolution with its norm and activation is one line. Equal blocks in a row are one, marked ×N, whose
    figures are those of one block ("64…224" where they differ) and whose header has the total of all.
    `depth` opens that many levels and folds nothing. `receptive_fields`: operation's name -> text; a line shows
    that of its last operation. Auxiliary heads follow; the totals leave them out.
    """
    table = _Table(depth, receptive_fields or {}, Folder())
    lines = table.rows([child for _, child in [("", network.body)]], [""], 0, opened=True)
    for row, head in network.aux:
        lines.append(table.header(f"aux.{row}", f"auxiliary head after {row}, training only", [head], 0))
        lines += table.rows([head], [f"aux.{row}"], 1, opened=True)
    show_field = receptive_fields is not None
    header = ["layer", "operation", "output", *(["field"] if show_field else []), "parameters", "mult-adds"]
    body = [
        [
            line.name,
            line.words,
            line.output,
            *([line.field] if show_field else []),
            line.parameters,
            line.mult_adds,
        ]
        for line in lines
    ]
    body.insert(0, ["input", "", _shape(network.input), *([""] if show_field else []), "", ""])
    total = ["total", "", _shape(network.output), *([""] if show_field else [])]
    body.append([*total, f"{network.parameters:,}", f"{network.mult_adds:,}"])
    right = tuple(range(2, len(header)))
    text = aligned(header, body, right=right, width=width, flexible=1).split("\n")
    if color:
        styles = ["", *(line.style for line in lines), _BOLD]
        text = [
            f"{_BOLD}{text[0]}{_RESET}",
            *(f"{s}{t}{_RESET}" if s else t for s, t in zip(styles, text[1:], strict=True)),
        ]
    rule = "─" * min(max(map(cells, text[:1])) if not color else cells(text[0]) - 8, width or 10**6)
    note = f"{_DIM}{MULT_ADDS_NOTE}{_RESET}" if color else MULT_ADDS_NOTE
    return "\n".join([text[0], rule, *text[1:-1], rule, text[-1], note])


@dataclass(frozen=True)
class _Table:
    depth: int | None
    fields: Mapping[str, str]
    folder: Folder

    def rows(
        self, placed: Sequence[Placed], paths: Sequence[str], level: int, *, opened: bool = False
    ) -> list[_Line]:
        """Lines of what stands at `paths` (one row, or a run of the same block), below a header if it is a block."""
        first = placed[0]
        name = paths[0].rpartition(".")[2]
        if len(paths) > 1:
            name += f"–{paths[-1].rpartition('.')[2]} ×{len(paths)}"
        if isinstance(first.node, Operation) or (self._is_line(first) and not opened):
            return [self._line(name, placed, paths, level)]
        lines = [] if opened else [self.header(name, _block_words(first), placed, level, len(paths))]
        if not opened and self.depth is not None and paths[0].count(".") + 1 >= self.depth:
            return lines
        inner = level if opened else level + 1
        if isinstance(first.node, Residual) and len(first.children) == 1:
            body = first.children[0][1]
            if not isinstance(body.node, Operation):  # a lone body needs no header of its own
                return lines + self.rows(
                    [p.children[0][1] for p in placed], [f"{p}.body" for p in paths], inner, opened=True
                )
        runs = (
            self.folder.runs(first.children, exact=True)
            if self.depth is None
            else [None] * len(first.children)
        )
        place = 0
        for run in runs:
            count = run.count if run else 1
            names = [first.children[place + i][0] for i in range(count)]
            inside = [p.children[place + i][1] for p in placed for i in range(count)]
            found = [f"{path}.{n}" if path else n for path in paths for n in names]
            if len(paths) > 1 and count == 1:
                lines += self._merged(inside, found, names[0], inner)
            else:
                lines += self.rows(inside[:count], found[:count], inner)
            place += count
        return lines

    def _merged(self, placed: Sequence[Placed], paths: Sequence[str], name: str, level: int) -> list[_Line]:
        """Lines of the same child of several folded blocks, named once."""
        if isinstance(placed[0].node, Operation) or self._is_line(placed[0]):
            return [self._line(name, placed, paths, level)]
        lines = self.rows(placed, paths, level, opened=True)
        return [
            self.header(name, _block_words(placed[0]), placed, level, 1),
            *[_indented(line) for line in lines],
        ]

    def _is_line(self, placed: Placed) -> bool:
        """Whether a Sequential is short enough for one line: operations only, of which one or none has weights."""
        if self.depth is not None or type(placed.node) not in {Sequential, Separable}:
            return False
        leaves = all(isinstance(child.node, Operation) for _, child in placed.children)
        return leaves and layers(placed.node) <= 1 and bool(placed.children)

    def _line(self, name: str, placed: Sequence[Placed], paths: Sequence[str], level: int) -> _Line:
        first = placed[0]
        operations = list(first.operations())
        words = " · ".join(
            child.node.describe() for _, child in operations if isinstance(child.node, Operation)
        )
        last_path = operations[-1][0] if operations else ""
        field = self.fields.get(f"{paths[-1]}.{last_path}".rstrip("."), "")
        main = max((child.node for _, child in operations), key=layers, default=None)
        hue = f"\x1b[38;5;{TERMINAL[kind(main)]}m" if isinstance(main, Operation) else ""
        parameters = _range([p.parameters for p in placed])
        return _Line("  " * level + name, words or "identity", _shapes(placed), field, parameters, _range([p.mult_adds for p in placed]), hue)  # fmt: skip

    def header(self, name: str, words: str, placed: Sequence[Placed], level: int, count: int = 1) -> _Line:
        """A block's line: totals of all the rows it stands for."""
        if count > 1:
            words = f"{words}, total of {count}" if words else f"total of {count}"
        total = sum(p.parameters for p in placed), sum(p.mult_adds for p in placed)
        shown = [f"{value:,}" if value else "" for value in total] if count >= 1 else ["", ""]
        if count == 1 and len(placed) > 1:
            shown = [_range([p.parameters for p in placed]), _range([p.mult_adds for p in placed])]
        return _Line("  " * level + name, words, _shapes(placed), "", shown[0], shown[1], _BOLD)


def _indented(line: _Line) -> _Line:
    return _Line(
        "  " + line.name, line.words, line.output, line.field, line.parameters, line.mult_adds, line.style
    )


def _block_words(placed: Placed) -> str:
    node = placed.node
    assert isinstance(node, Combinator)
    words = {"Sequential": "", "Separable": "separable", "Dense": f"dense, {len(placed.children)} steps"}
    settings = ", ".join(f"{k} {v:g}" for k, v in node.settings().items() if isinstance(v, int | float))
    name = words.get(type(node).__name__, type(node).__name__.lower())
    return f"{name}, {settings}" if settings else name


def _shape(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _shapes(placed: Sequence[Placed]) -> str:
    first, last = placed[0].output, placed[-1].output
    if first == last:
        return _shape(first)
    return f"{first[0]}…{_shape(last)}" if first[1:] == last[1:] else f"{_shape(first)}…{_shape(last)}"


def _range(values: Sequence[int]) -> str:
    low, high = values[0], values[-1]
    if not any(values):
        return ""
    return f"{low:,}" if low == high else f"{low:,}…{high:,}"
