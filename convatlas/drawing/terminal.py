"""Tables for the terminal: the layer table of a network, and plain aligned columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from convatlas.define import (
    Combinator,
    Elaborated,
    Gate,
    Network,
    Node,
    Operation,
    Placed,
    Residual,
    Separable,
    Sequential,
    Shape,
    Towers,
)
from convatlas.drawing.columns import BOLD, DIM, RESET, aligned, cells, clip, pad, terminal_width, wants_color
from convatlas.drawing.folding import Folder, layers
from convatlas.drawing.kinds import is_main, kind
from convatlas.drawing.theme import TERMINAL

__all__ = [
    "MULT_ADDS_NOTE",
    "aligned",
    "cells",
    "clip",
    "layer_table",
    "pad",
    "terminal_width",
    "wants_color",
]

MULT_ADDS_NOTE = "mult-adds: multiply-accumulates of convolutions and linear layers, for one image"


@dataclass(frozen=True)
class _Line:
    """A row of the layer table: indented name, what it is, its shapes and costs, and how it is colored."""

    name: str
    words: str
    output: str
    field: str
    parameters: tuple[int, ...]  # of each row that the line stands for, or the total of all
    mult_adds: tuple[int, ...]
    style: str = ""
    carries: bool = (
        False  # a layer with weights, which takes the norm and the activation behind it into its line
    )


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
            _range(line.parameters),
            _range(line.mult_adds),
        ]
        for line in lines
    ]
    body.insert(0, ["input", "", _shape(network.input), *([""] if show_field else []), "", ""])
    total = ["total", "", _shape(network.output), *([""] if show_field else [])]
    body.append([*total, f"{network.parameters:,}", f"{network.mult_adds:,}"])
    right = tuple(range(2, len(header)))
    text = aligned(header, body, right=right, width=width, flexible=1).split("\n")
    if color:
        styles = ["", *(line.style for line in lines), BOLD]
        text = [
            f"{BOLD}{text[0]}{RESET}",
            *(f"{s}{t}{RESET}" if s else t for s, t in zip(styles, text[1:], strict=True)),
        ]
    rule = "─" * min(max(map(cells, text[:1])) if not color else cells(text[0]) - 8, width or 10**6)
    note = f"{DIM}{MULT_ADDS_NOTE}{RESET}" if color else MULT_ADDS_NOTE
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
        children: list[tuple[Node, list[_Line]]] = []
        for run in runs:
            count = run.count if run else 1
            names = [first.children[place + i][0] for i in range(count)]
            inside = [p.children[place + i][1] for p in placed for i in range(count)]
            found = [f"{path}.{n}" if path else n for path in paths for n in names]
            if len(paths) > 1 and count == 1:
                more = self._merged(inside, found, names[0], inner)
            else:
                more = self.rows(inside[:count], found[:count], inner)
            children.append((inside[0].node, more))
            place += count
        if self.depth is None and isinstance(first.node, Sequential | Network | Towers | Gate):
            return lines + _merge(children)
        return lines + [line for _, more in children for line in more]

    def _merged(self, placed: Sequence[Placed], paths: Sequence[str], name: str, level: int) -> list[_Line]:
        """Lines of the same child of several folded blocks, named once."""
        if isinstance(placed[0].node, Operation) or self._is_line(placed[0]):
            return [self._line(name, placed, paths, level)]
        lines = self.rows(placed, paths, level, opened=True)
        return [
            self.header(name, _block_words(placed[0]), placed, level, 1),
            *[replace(line, name=f"  {line.name}") for line in lines],
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
        return _Line(
            "  " * level + name,
            words or "identity",
            _shapes(placed),
            field,
            tuple(p.parameters for p in placed),
            tuple(p.mult_adds for p in placed),
            hue,
            layers(first.node) == 1,
        )

    def header(self, name: str, words: str, placed: Sequence[Placed], level: int, count: int = 1) -> _Line:
        """A block's line: totals of all the rows it stands for."""
        if count > 1:
            words = f"{words}, total of {count}" if words else f"total of {count}"
        if count == 1 and len(placed) > 1:
            costs = tuple(p.parameters for p in placed), tuple(p.mult_adds for p in placed)
        else:
            costs = (sum(p.parameters for p in placed),), (sum(p.mult_adds for p in placed),)
        return _Line("  " * level + name, words, _shapes(placed), "", *costs, BOLD)


def _merge(children: Sequence[tuple[Node, list[_Line]]]) -> list[_Line]:
    """Rows in series with the norm, activation and dropout of a layer on its line: those behind it, or before it.

    As in the figure, a series that begins with a norm or an activation is pre-activated.
    """
    out: list[_Line] = []
    waiting: list[_Line] = []
    ahead, open_ = False, False  # open: the last line is a layer's and may take more
    for node, lines in children:
        if (
            isinstance(node, Operation)
            and kind(node) in {"norm", "activation", "dropout"}
            and not is_main(node)
        ):
            if open_ and not ahead:
                out[-1] = _joined([out[-1], *lines], out[-1])
            else:
                waiting += lines
            continue
        if len(lines) == 1 and lines[0].carries:
            ahead = ahead or bool(waiting)
            out.append(_joined([*waiting, *lines], lines[0]))
            waiting, open_ = [], True
            continue
        out += waiting + lines
        waiting, ahead, open_ = [], False, False
    if open_ and waiting:
        out[-1] = _joined([out[-1], *waiting], out[-1])
        waiting = []
    return out + waiting


def _joined(lines: Sequence[_Line], main: _Line) -> _Line:
    """Several lines as one, under the name of the layer among them."""
    return replace(
        main,
        words=" · ".join(line.words for line in lines),
        output=lines[-1].output,
        field=lines[-1].field,
        parameters=tuple(map(sum, zip(*(line.parameters for line in lines), strict=True))),
        mult_adds=tuple(map(sum, zip(*(line.mult_adds for line in lines), strict=True))),
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
