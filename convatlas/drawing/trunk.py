"""The trunk of a figure: the main path from the input to the output, its stages on bands, its heads aside."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from convatlas.drawing.joins import SMALL
from convatlas.drawing.kinds import show_shape
from convatlas.drawing.layout import GAP, SHAPE_GAP, SIZE, Layouter, Style
from convatlas.drawing.scene import Band, Bar, Frame, Layout, Text, Thing, Wire
from convatlas.drawing.text import text_width
from convatlas.drawing.view import Box as BoxView
from convatlas.drawing.view import Closed, Item, Part, View, output_of
from convatlas.drawing.words import say


class Trunk:
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
        u, shape, told = 18.0, self.start, False
        band_start, band = 26.0, None
        for index, (row, item) in enumerate(items):
            after = output_of(item)
            place = after[1:]
            part = self.layouter.item(item, None, width)
            if band is None:
                begin = u + 28.0
            elif place != band:
                begin = self._close(band_start, u, band)
                band_start = begin - 12.0
            else:
                begin = u + (SHAPE_GAP if told else GAP)
            band = place
            out.things.append(Wire(((u, 0.0), (begin, 0.0)), arrow=part.solid))
            out.add(begin, 0.0, part)
            if isinstance(item, BoxView):
                name = Text(begin + part.length / 2, -part.left - 7, row_name(item), SMALL, "end", "muted")
                out.things.append(name)
                out.left = max(out.left, part.left + 9 + name.width)
            u = begin + part.length
            last = index == len(items) - 1
            told = after != shape or last or output_of(items[index + 1][1])[1:] != place
            if told:
                text = Text(u + 11.0, 6.0, show_shape(after), SMALL, "start", "muted")
                out.things.append(text)
                out.right = max(out.right, 10 + text.width)
            shape = after
            if row in self.heads and (last or items[index + 1][0] != row):
                tap = self._add_head(u, row)
                out.things.append(Wire(((u, 0.0), (tap, 0.0))))
                u = tap - 10.0
        out.things.append(Wire(((u, 0.0), (u + 22.0, 0.0)), arrow=True))
        self._close(band_start, u, band or ())
        bands = [] if style.shapes else self._draw_bands()
        return [*bands, *self._draw_heads(), *out.flat()]

    def _close(self, start: float, u: float, band: tuple[int, ...]) -> float:
        """End a band behind `u`; the next item's start. In the horizontal form a band is as long as its label."""
        end = u + 24.0
        if self.style.horizontal:
            end = max(end, start + text_width(_resolution(band, self.style.lang), SIZE) + 12)
        self.bands.append((start, end, band))
        return end + 12.0

    def _draw_bands(self) -> list[Thing]:
        """Bands one behind the other, all as wide as the trunk, labeled with their resolution."""
        labels = [_resolution(band, self.style.lang) for _, _, band in self.bands]
        wide = max((text_width(label, SIZE) for label in labels), default=0)
        self.out.left += 26.0 if self.style.horizontal else wide + 24
        self.out.right += 12.0
        things: list[Thing] = []
        left, right = self.out.left, self.out.right
        for index, ((start, end, _), label) in enumerate(zip(self.bands, labels, strict=True)):
            if self.style.horizontal:
                text = Text((start + end) / 2, -left + 11, label, SIZE, "middle", "muted", across=False)
            else:
                text = Text(start + 15, -left + 10, label, SIZE, "start", "muted", across=False)
            things.append(Band(start, -left, end, right, text, alternate=bool(index % 2)))
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


def row_name(box: BoxView) -> str:
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
