"""The figure of a network as a good textbook would print it."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Literal

from convatlas.analysis.depth import depth as layers_deep
from convatlas.define import Elaborated, Network, Placed, Sequential, elaborate
from convatlas.define.facts import Facts
from convatlas.drawing.axes import show_value
from convatlas.drawing.files import check_format, write
from convatlas.drawing.kinds import show_shape
from convatlas.drawing.layout import Layouter, Style
from convatlas.drawing.sheet import Sheet, compose
from convatlas.drawing.theme import THEMES, Theme
from convatlas.drawing.trunk import Trunk
from convatlas.drawing.view import View
from convatlas.drawing.viewer import Viewer, level
from convatlas.drawing.volumes import volumes
from convatlas.drawing.words import say
from convatlas.errors import MisuseError

Kind = Literal["blocks", "volumes"]
KINDS_OF_FIGURE: tuple[Kind, ...] = ("blocks", "volumes")


def figure(
    network: Network,
    *,
    facts: Facts | None = None,
    depth: int | None = None,
    row: str | None = None,
    kind: Kind = "blocks",
    horizontal: bool = False,
    theme: Theme = "auto",
    lang: str = "en",
    prefix: str | None = None,
) -> str:
    """The figure of `network` as an SVG text, the same bytes each time.

    `depth` None folds equal blocks and opens all; a number opens that many levels of rows and folds nothing.
    `row` draws that row alone, with the shapes on every wire. `prefix` stands before the ids ("resnet50:conv1"),
    for two figures of one network on a page. MisuseError for a row that is not there.
    """
    if theme not in THEMES:
        raise MisuseError(f"theme {theme!r}; there are {', '.join(THEMES)}")
    sheet = lay_out(network, facts=facts, depth=depth, row=row, kind=kind, horizontal=horizontal, lang=lang)
    return sheet.svg(prefix or network.name or "net", theme)


def lay_out(
    network: Network,
    *,
    facts: Facts | None = None,
    depth: int | None = None,
    row: str | None = None,
    kind: Kind = "blocks",
    horizontal: bool = False,
    lang: str = "en",
) -> Sheet:
    """Everything of the figure in its place, not yet ink: what the overlap test measures."""
    say("input", lang)  # an unknown language is told before the work
    if kind not in KINDS_OF_FIGURE:
        raise MisuseError(f"kind {kind!r}; there are {' and '.join(KINDS_OF_FIGURE)}")
    if depth is not None and depth < 1:
        raise MisuseError(f"depth {depth}; expected 1 (each row a box) or more")
    whole = elaborate(network)
    heads: dict[str, View] = {}
    if row is None:
        viewer = Viewer(depth, breaks=frozenset(name for name, _ in network.aux))
        start, items = whole.input, viewer.trunk(whole.body)
        heads = {name: viewer.inside([head], [f"aux.{name}"]) for name, head in whole.aux}
        title, caption = _title(network, facts), _caption(whole, facts, lang)
    else:
        placed = _find(whole, row)
        viewer = Viewer(None if depth is None else depth + level(row), comb=True)
        start = placed.input
        if isinstance(placed.node, Sequential):
            items = viewer.trunk(placed, row)
        else:
            items = [(row, item) for item in viewer.inside([placed], [row])]
        title, caption = f"{_name(network, facts)}: {row}", _row_caption(placed, lang)
    if kind == "volumes":
        return volumes(items, start, title, caption, lang)
    tall = math.log2(max(start[1] if len(start) == 3 else 2, 2) + 1)
    style = Style(horizontal=horizontal, lang=lang, shapes=row is not None, tallest=tall)
    things = Trunk(Layouter(style), style, start, heads).build(items)
    return compose(things, title, caption, horizontal=horizontal, lang=lang)


def draw(
    network: Network,
    path: Path,
    *,
    facts: Facts | None = None,
    depth: int | None = None,
    row: str | None = None,
    kind: Kind = "blocks",
    horizontal: bool = False,
    theme: Theme = "auto",
    lang: str = "en",
) -> Path:
    """Write the `figure` of `network` to a file that ends in .svg, .png or .pdf, and return its path.

    An unknown ending is told (MisuseError) before the work is done; a missing converter by MissingExtra.
    """
    check_format(path)
    if theme not in THEMES:
        raise MisuseError(f"theme {theme!r}; there are {', '.join(THEMES)}")
    svg = figure(network, facts=facts, depth=depth, row=row, kind=kind, horizontal=horizontal, lang=lang)
    return write(svg, path, theme=theme)


def _find(whole: Elaborated, row: str) -> Placed:
    try:
        return whole[row]
    except (KeyError, AttributeError):
        known = [path for path, _ in whole.operations(aux=True)]
        groups = dict.fromkeys(path[:i] for path in known for i, c in enumerate(path) if c == ".")
        near = difflib.get_close_matches(row, [*groups, *known], n=3, cutoff=0.4)
        top = ", ".join(name for name, _ in whole.rows)
        hint = f"nearest: {', '.join(near)}" if near else f"its top rows: {top}"
        raise MisuseError(f"{whole.network.name or 'the network'} has no row {row!r}; {hint}") from None


def _name(network: Network, facts: Facts | None) -> str:
    return facts.title if facts else network.name or "network"


def _title(network: Network, facts: Facts | None) -> str:
    year = f" ({facts.paper.year})" if facts else ""
    return f"{_name(network, facts)}{year}"


def _caption(whole: Elaborated, facts: Facts | None, lang: str) -> list[str]:
    first = (
        f"{say('input', lang)} {show_shape(whole.input)} · {show_value(whole.parameters)} {say('parameters', lang)} · "
        f"{show_value(whole.mult_adds)} {say('mult-adds', lang)} · {layers_deep(whole)} {say('layers', lang)}"
    )
    lines = [first]
    for result in facts.accuracies if facts else ():
        if result.top1 is not None:
            kind_ = say("error" if result.kind == "error" else "accuracy", lang)
            lines.append(
                f"{say('top-1', lang)} {kind_} {result.top1:g} % ({result.dataset}; {result.protocol}; {result.source})"
            )
            break
    return lines


def _row_caption(placed: Placed, lang: str) -> list[str]:
    shapes = f"{show_shape(placed.input)} → {show_shape(placed.output)}"
    costs = f"{show_value(placed.parameters)} {say('parameters', lang)} · {show_value(placed.mult_adds)} {say('mult-adds', lang)}"
    return [f"{shapes} · {costs}"]
