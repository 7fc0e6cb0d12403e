"""The sheet: title, caption, drawing and legend put together, everything in its place but not yet ink."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from convatlas.drawing import markup
from convatlas.drawing.extent import extent
from convatlas.drawing.joins import SMALL
from convatlas.drawing.kinds import KIND_NAMES, kind
from convatlas.drawing.layout import SIZE
from convatlas.drawing.scene import Box, Circle, Frame, Text, Thing, Wire
from convatlas.drawing.svg import Paper, render
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import KINDS, Theme, resolve
from convatlas.drawing.view import Box as BoxView
from convatlas.drawing.words import say

MARGIN = 16.0
_LEAST = 500.0  # width of paper that title and legend are given at least


@dataclass(frozen=True)
class Sheet:
    """A figure laid out: its things, where they lie on the paper, the paper's size."""

    things: tuple[Thing, ...]
    paper: Paper | None  # None where the drawing is ready-made
    width: float
    height: float
    furniture: tuple[Text, ...]  # title, caption, legend: level texts in paper coordinates (u = y, v = x)
    swatches: tuple[tuple[float, float, str], ...]  # x, y, kind or symbol of the legend
    name: str
    description: str
    drawing: str = ""

    def svg(self, prefix: str, theme: Theme = "auto") -> str:
        """The sheet as an SVG text; `prefix` stands before the ids."""
        signs = "".join(_swatch(*swatch) for swatch in self.swatches)
        texts = "\n".join(
            markup.text(t.v, t.u + t.size * 0.35, t.content, t.size, t.anchor, t.color, bold=t.bold)
            for t in self.furniture
        )
        drawing = render(self.things, self.paper, prefix) if self.paper else self.drawing
        body = f"{drawing}\n{signs}\n{texts}"
        svg = markup.document(self.width, self.height, body, self.name, self.description)
        return svg if theme == "auto" else resolve(svg, theme)


def compose(
    things: Sequence[Thing], title: str, caption: Sequence[str], *, horizontal: bool, lang: str
) -> Sheet:
    """Put title, drawing and legend on one sheet."""
    x0, y0, x1, y1 = extent(things, Paper(horizontal, 0.0, 0.0))
    width = max(x1 - x0 + 2 * MARGIN, _LEAST)
    texts, y = caption_texts(title, caption, width)
    paper = Paper(horizontal, (width - (x1 - x0)) / 2 - x0, y - y0)
    swatches, more, y = legend(_entries(things, lang), y + y1 - y0 + 18, width)
    return Sheet(
        tuple(things), paper, width, y + 18, (*texts, *more), tuple(swatches), title, "; ".join(caption)
    )


def caption_texts(title: str, caption: Sequence[str], width: float) -> tuple[list[Text], float]:
    """Title and caption on a sheet of `width`, and where the drawing may begin."""
    room = width - 2 * MARGIN
    texts = [
        Text(24 + 21 * i, MARGIN, line, markup.TITLE, "start", bold=True)
        for i, line in enumerate(wrap(title, room, markup.TITLE, bold=True))
    ]
    y = texts[-1].u + 20
    for entry in caption:
        for line in wrap(entry, room, SIZE):
            texts.append(Text(y, MARGIN, line, SIZE, "start", "muted"))
            y += 16
    return texts, y + 4


def legend(
    entries: Sequence[tuple[str, str]], y: float, width: float
) -> tuple[list[tuple[float, float, str]], list[Text], float]:
    """Swatches and texts of (symbol, words) in rows from `y` on; the last row's place."""
    swatches, texts, x = [], [], MARGIN
    for symbol, label in entries:
        short = shorten(label, width - 2 * MARGIN - 24, SMALL)
        wide = 20 + text_width(short, SMALL) + 16
        if x > MARGIN and x + wide - 16 > width - MARGIN:
            x, y = MARGIN, y + 18
        swatches.append((x, y, symbol))
        texts.append(Text(y, x + 20, short, SMALL, "start"))
        x += wide
    return swatches, texts, y


def kind_entries(found: Collection[str], lang: str) -> list[tuple[str, str]]:
    """Legend entries of the kinds found, in the palette's order."""
    column = 1 if lang == "zh" else 0
    return [(name, KIND_NAMES[name][column]) for name in KINDS if name in found]


def _entries(things: Sequence[Thing], lang: str) -> list[tuple[str, str]]:
    """(symbol, words) of just the kinds and signs that occur."""
    found = {
        kind(part.operation)
        for thing in things
        if isinstance(thing, Box) and isinstance(thing.view, BoxView)
        for part in thing.view.parts
    }
    entries = kind_entries(found, lang)
    if any(isinstance(thing, Circle) and thing.sign == "+" for thing in things):
        entries.append(("+", say("sum", lang)))
    if any(isinstance(thing, Circle) and thing.sign == "×" for thing in things):
        entries.append(("×", say("product", lang)))
    if any(isinstance(thing, Wire) and thing.dashed for thing in things):
        entries.append(("dashed", say("projection", lang)))
    notes = {thing.content[:2] for thing in things if isinstance(thing, Text)}
    entries += [
        (sign, say(word, lang)) for sign, word in (("× ", "scale"), ("p ", "survival")) if sign in notes
    ]
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
    if symbol in {"× ", "p "}:
        return markup.text(x, y + SMALL * 0.35, "× s" if symbol == "× " else "p", SMALL, "start", "muted")
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
