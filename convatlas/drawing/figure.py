"""The figure of a network: title and caption, stages on bands, the trunk, auxiliary heads aside, a legend."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from convatlas.analysis.depth import depth as layers_deep
from convatlas.define import Elaborated, Network, Placed, elaborate
from convatlas.define.facts import Facts
from convatlas.drawing import markup
from convatlas.drawing.axes import show_value
from convatlas.drawing.kinds import KIND_NAMES, kind, show_shape
from convatlas.drawing.layout import GAP, SHAPE_GAP, SIZE, SMALL, Layouter, Style
from convatlas.drawing.scene import Band, Bar, Box, Circle, Frame, Layout, Text, Thing, Wire
from convatlas.drawing.svg import Paper, render
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import KINDS, Theme, resolve
from convatlas.drawing.view import Box as BoxView
from convatlas.drawing.view import Card, Closed, Item, Part, View, Viewer
from convatlas.drawing.words import say
from convatlas.errors import MisuseError

_MARGIN = 16.0
_LEAST = 500.0  # width of paper that title and legend are given at least


@dataclass(frozen=True)
class Scene:
    """A figure laid out: its things, where they lie on the paper, the paper's size."""

    things: tuple[Thing, ...]
    paper: Paper
    width: float
    height: float
    furniture: tuple[Text, ...]  # title, caption, legend: level texts in paper coordinates (u = y, v = x)
    swatches: tuple[tuple[float, float, str], ...]  # x, y, kind or symbol of the legend
    name: str
    description: str


def figure(
    network: Network,
    *,
    facts: Facts | None = None,
    depth: int | None = None,
    row: str | None = None,
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
    scene = lay_out(network, facts=facts, depth=depth, row=row, horizontal=horizontal, lang=lang)
    legend = "".join(_swatch(*swatch) for swatch in scene.swatches)
    texts = "\n".join(
        markup.text(t.v, t.u + t.size * 0.35, t.content, t.size, t.anchor, t.color, bold=t.bold)
        for t in scene.furniture
    )
    body = f"{render(scene.things, scene.paper, prefix or network.name or 'net')}\n{legend}\n{texts}"
    svg = markup.document(scene.width, scene.height, body, scene.name, scene.description)
    return svg if theme == "auto" else resolve(svg, theme)


def lay_out(
    network: Network,
    *,
    facts: Facts | None = None,
    depth: int | None = None,
    row: str | None = None,
    horizontal: bool = False,
    lang: str = "en",
) -> Scene:
    """Everything of the figure in its place, not yet ink: what the overlap test measures."""
    say("input", lang)  # an unknown language is told before the work
    if depth is not None and depth < 1:
        raise MisuseError(f"depth {depth}; expected 1 (each row a box) or more")
    whole = elaborate(network)
    tall = math.log2(max(network.input[1] if len(network.input) == 3 else 2, 2) + 1)
    style = Style(horizontal=horizontal, lang=lang, shapes=row is not None, tallest=tall)
    layouter = Layouter(style)
    breaks = frozenset(name for name, _ in network.aux)
    viewer = Viewer(depth if row is None else None, comb=row is not None, breaks=breaks)
    if row is None:
        start, items = whole.input, viewer.trunk(whole.body)
        heads = {name: viewer.inside([head], [f"aux.{name}"]) for name, head in whole.aux}
        title, caption = _title(network, facts), _caption(whole, facts, lang)
    else:
        placed = _find(whole, row)
        start = placed.input
        if depth is not None:
            viewer = Viewer(depth + row.count("."), comb=True)
        items, heads = [(row, item) for item in viewer.inside([placed], [row])], {}
        title, caption = f"{_name(network, facts)}: {row}", _row_caption(placed, lang)
    trunk = _Trunk(layouter, style, start, heads)
    things = trunk.build(items)
    return _compose(things, title, caption, style)


class _Trunk:
    """The main path with its bands, shapes and heads."""

    def __init__(
        self, layouter: Layouter, style: Style, start: tuple[int, ...], heads: dict[str, View]
    ) -> None:
        self.layouter, self.style, self.start, self.heads = layouter, style, start, heads
        self.out = Layout()
        self.bands: list[tuple[float, float, tuple[int, ...]]] = []
        self.taps: list[tuple[float, float, float, float, float, float, tuple[str, ...], Layout]] = []
        self.head_end = self.head_left = self.head_right = 0.0

    def build(self, items: Sequence[tuple[str, Item]]) -> list[Thing]:
        """All things of the trunk, in flow coordinates."""
        out, style = self.out, self.style
        boxes = [item for _, item in items if isinstance(item, BoxView | Closed)]
        width = 0.0 if style.horizontal else max((self.layouter.want(box) for box in boxes), default=84.0)
        text = Text(9.0, 0.0, f"{say('input', style.lang)} {show_shape(self.start)}", SIZE)
        half = max(text.width / 2 + 10, width / 2)
        out.things.append(Bar(0.0, -half, 18.0, half, text))
        out.left = out.right = half
        u, shape = 18.0, self.start
        band_start, band = 26.0, None
        for index, (row, item) in enumerate(items):
            after = _shape_after(item, shape)
            place = after[1:]
            part = self.layouter.item(item, None, width)
            if band is None:
                begin = u + 28.0
            elif place != band:
                begin = self._close(band_start, u, band)
                band_start = begin - 12.0
            else:
                begin = u + (SHAPE_GAP if shape != _before(items, index, self.start) else GAP)
            band = place
            out.things.append(Wire(((u, 0.0), (begin, 0.0)), arrow=part.solid))
            out.add(begin, 0.0, part)
            if isinstance(item, BoxView):
                name = Text(begin + part.length / 2, -part.left - 7, _row_name(item), SMALL, "end", "muted")
                out.things.append(name)
                out.left = max(out.left, part.left + 9 + name.width)
            u = begin + part.length
            if after != shape or index == len(items) - 1:
                text = Text(u + 11.0, 6.0, show_shape(after), SMALL, "start", "muted")
                out.things.append(text)
                out.right = max(out.right, 10 + text.width)
            shape = after
            if row in self.heads and (index == len(items) - 1 or items[index + 1][0] != row):
                tap = self._add_head(u, row)
                out.things.append(Wire(((u, 0.0), (tap, 0.0))))
                u = tap - 10.0
        out.things.append(Wire(((u, 0.0), (u + 22.0, 0.0)), arrow=True))
        self._close(band_start, u, band or ())
        return [*self._draw_bands(), *self._draw_heads(), *out.flat()]

    def _close(self, start: float, u: float, band: tuple[int, ...]) -> float:
        """End a band behind `u`; the next item's start. In the horizontal form a band is as long as its label."""
        end = u + 24.0
        if self.style.horizontal:
            end = max(end, start + text_width(_resolution(band, self.style.lang), SIZE) + 12)
        self.bands.append((start, end, band))
        return end + 12.0

    def _draw_bands(self) -> list[Thing]:
        widest = max(
            (text_width(_resolution(band, self.style.lang), SIZE) for _, _, band in self.bands), default=0
        )
        labeled = not self.style.shapes
        if self.style.horizontal:
            self.out.left += 22.0 if labeled else 8.0
        else:
            self.out.left += widest + 24 if labeled else 10.0
        self.out.right += 12.0
        things: list[Thing] = []
        for index, (start, end, band) in enumerate(self.bands):
            label = _resolution(band, self.style.lang)
            text = None
            if labeled and self.style.horizontal:
                text = Text(
                    (start + end) / 2, -self.out.left + 11, label, SIZE, "middle", "muted", across=False
                )
            elif labeled:
                text = Text(start + 15, -self.out.left + 10, label, SIZE, "start", "muted", across=False)
            things.append(Band(start, -self.out.left, end, self.out.right, text, alternate=bool(index % 2)))
        return things

    def _add_head(self, u: float, row: str) -> float:
        """Lay out the head that leaves behind `u`, below the head before it; where its wire leaves the trunk."""
        inner = self.layouter.series(self.heads[row])
        across = not self.style.horizontal
        texts = [f"aux.{row}", say("training only", self.style.lang)]
        room = max(text_width(text, SMALL) for text in texts) + 16
        tap = max(u + 22.0, self.head_end + 8.0)
        top, pad = tap + 16.0, 36.0 if across else max(12.0, (room - inner.length) / 2)
        length = inner.length + pad + (12.0 if across else pad)
        # Across, the wire comes in beside the name; in the horizontal form the name stands above.
        left = max(inner.left + 10, room if across else 0.0)
        right = inner.right + (10.0 if across else 42.0)
        self.head_end = top + length
        self.head_left, self.head_right = max(self.head_left, left), max(self.head_right, right)
        self.taps.append((tap, top, top + pad, length, left, right, tuple(texts), inner))
        return tap

    def _draw_heads(self) -> list[Thing]:
        """Heads in a column of their own beside the trunk, each in a dashed frame."""
        things: list[Thing] = []
        axis = self.out.right + 20 + self.head_left
        for tap, top, begin, length, left, right, texts, inner in self.taps:
            if self.style.horizontal:
                words = [
                    Text(top + 8, axis + right - 11 - 14 * i, t, SMALL, "start", "muted", across=False)
                    for i, t in enumerate(texts)
                ]
            else:
                words = [
                    Text(top + 11 + 14 * i, axis - left + 8, t, SMALL, "start", "muted")
                    for i, t in enumerate(texts)
                ]
            things.append(
                Frame(top, axis - left, top + length, axis + right, None, tuple(words), dashed=True)
            )
            things.append(Wire(((tap, 0.0), (tap, axis), (begin, axis)), arrow=True))
            things += inner.flat(begin, axis)
        return things


def _before(items: Sequence[tuple[str, Item]], index: int, start: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that came into the item before this one."""
    shape = start
    for _, item in items[: index - 1]:
        shape = _shape_after(item, shape)
    return shape


def _shape_after(item: Item, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape behind an item of the trunk."""
    return shape_after(item) or shape


def shape_after(item: Item) -> tuple[int, ...]:
    """Shape that an item gives."""
    match item:
        case BoxView():
            return item.parts[-1].output
        case Card():
            return item.output
        case Closed():
            return item.placed.output
    return ()


def _row_name(box: BoxView) -> str:
    """Name of the row that a box stands for: what the names of all its parts share, or its main operation's."""
    return _common(box.parts) or _common(box.parts[box.main :]) or box.parts[box.main].paths[0]


def _common(parts: Sequence[Part]) -> str:
    """The dotted name that all parts' rows begin with."""
    common = parts[0].paths[0].split(".")
    for part in parts[1:]:
        path = part.paths[0].split(".")
        common = [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(common, path, strict=False))]
    return ".".join(common)


def _resolution(place: tuple[int, ...], lang: str) -> str:
    return show_shape(place) if place else say("vector", lang)


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
    return [
        f"{show_shape(placed.input)} → {show_shape(placed.output)} · {show_value(placed.parameters)} "
        f"{say('parameters', lang)} · {show_value(placed.mult_adds)} {say('mult-adds', lang)}"
    ]


def _compose(things: list[Thing], title: str, caption: list[str], style: Style) -> Scene:
    """Put title, drawing and legend on one sheet."""
    from convatlas.drawing.extent import extent

    probe = Paper(style.horizontal, 0.0, 0.0)
    x0, y0, x1, y1 = extent(things, probe)
    width = max(x1 - x0 + 2 * _MARGIN, _LEAST)
    room = width - 2 * _MARGIN
    texts = [
        Text(24 + 21 * i, _MARGIN, line, markup.TITLE, "start", bold=True)
        for i, line in enumerate(wrap(title, room, markup.TITLE, bold=True))
    ]
    y = texts[-1].u + 20
    for entry in caption:
        for line in wrap(entry, room, SIZE):
            texts.append(Text(y, _MARGIN, line, SIZE, "start", "muted"))
            y += 16
    y += 4
    paper = Paper(style.horizontal, (width - (x1 - x0)) / 2 - x0, y - y0)
    y += y1 - y0 + 18
    entries = _legend(things, style.lang)
    swatches, x = [], _MARGIN
    for symbol, label in entries:
        short = shorten(label, room - 24, SMALL)
        wide = 20 + text_width(short, SMALL) + 16
        if x > _MARGIN and x + wide - 16 > width - _MARGIN:
            x, y = _MARGIN, y + 18
        swatches.append((x, y, symbol))
        texts.append(Text(y, x + 20, short, SMALL, "start"))
        x += wide
    height = y + 18
    return Scene(
        tuple(things), paper, width, height, tuple(texts), tuple(swatches), title, "; ".join(caption)
    )


def _legend(things: Sequence[Thing], lang: str) -> list[tuple[str, str]]:
    """(symbol, words) of just the kinds and signs that occur."""
    found = {
        kind(part.operation)
        for thing in things
        if isinstance(thing, Box) and isinstance(thing.view, BoxView)
        for part in thing.view.parts
    }
    column = 1 if lang == "zh" else 0
    entries = [(name, KIND_NAMES[name][column]) for name in KINDS if name in found]
    if any(isinstance(thing, Circle) and thing.sign == "+" for thing in things):
        entries.append(("+", say("sum", lang)))
    if any(isinstance(thing, Circle) and thing.sign == "×" for thing in things):
        entries.append(("×", say("product", lang)))
    if any(isinstance(thing, Wire) and thing.dashed for thing in things):
        entries.append(("dashed", say("projection", lang)))
    if any(isinstance(thing, Wire) and thing.bus for thing in things):
        entries.append(("bus", say("bus", lang)))
    if any(isinstance(thing, Frame) and thing.view and thing.view.count > 1 for thing in things):
        entries.append(("stack", say("repeated", lang)))
    return entries


def _swatch(x: float, y: float, symbol: str) -> str:
    """The sign of a legend entry, 14 wide, centered on `y`."""
    if symbol in KINDS:
        return markup.rect(x, y - 4.5, 14, 9, f"f-{symbol} s-{symbol}-line", 2)
    if symbol in {"dashed", "bus"}:
        return markup.line(
            x,
            y,
            x + 14,
            y,
            "s-wire",
            stroke_width=3 if symbol == "bus" else 1.3,
            stroke_dasharray="5 3" if symbol == "dashed" else None,
        )
    if symbol == "stack":
        return "".join(markup.rect(x + by, y - 5 + by, 10, 7, "f-card s-muted", 1.5) for by in (4, 2, 0))
    arm = 3.6 if symbol == "+" else 2.6
    lines = (
        f"M{x + 7 - arm:g} {y:g}h{2 * arm:g}M{x + 7:g} {y - arm:g}v{2 * arm:g}"
        if symbol == "+"
        else f"M{x + 7 - arm:g} {y - arm:g}l{2 * arm:g} {2 * arm:g}m{-2 * arm:g} 0l{2 * arm:g} {-2 * arm:g}"
    )
    return markup.element("circle", cx=x + 7, cy=y, r=6, class_="f-join s-join-line") + markup.element(
        "path", d=lines, class_="line s-join-line"
    )
