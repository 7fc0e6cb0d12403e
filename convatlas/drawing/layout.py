"""From a view to places: a fold over the tree, each item laid out around its axis without knowing its surroundings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from convatlas.drawing import words
from convatlas.drawing.cards import around
from convatlas.drawing.joins import LANE, SMALL, comb, join, side_by_side
from convatlas.drawing.kinds import box_words, carries, show_shape, split_groups
from convatlas.drawing.scene import Box, Circle, Layout, Strip, Text, Wire
from convatlas.drawing.text import text_width
from convatlas.drawing.view import Box as BoxView
from convatlas.drawing.view import Bus, Closed, Item, Loop, Part, Skip, Split, View, output_of

SIZE = 11.5
GAP, SHAPE_GAP = 12.0, 24.0  # between neighbors in series, without and with the shape on the wire
STRIP, ROW, THIN = 4.5, 20.0, 17.0
BRANCH_GAP = 14.0
WIDEST_LIST = 4  # widths that a box of folded blocks lists before it says first…last


@dataclass(frozen=True)
class Style:
    """Choices that the whole figure shares."""

    horizontal: bool = False
    lang: str = "en"
    shapes: bool = False  # the shape on every wire
    tallest: float = 7.8  # log2 of the input's resolution: the funnel's mouth


@dataclass(frozen=True)
class _Here:
    """Where in the tree a layout stands."""

    lanes: int = 1
    lane: int = 0
    tower: bool = False  # a branch among others: boxes as narrow as their text


class Layouter:
    """Lays out views in one style."""

    def __init__(self, style: Style) -> None:
        self.style = style

    def item(self, item: Item, here: _Here | None = None, width: float = 0.0) -> Layout:
        """One item; `width` is the least extent of a box across the flow."""
        here = here or _Here()
        match item:
            case BoxView():
                return self._box(item, here, width)
            case Closed():
                return self._closed(item, width)
            case Split():
                return self._split(item, here)
            case Skip():
                return self._skip(item, here)
            case Loop():
                return self._loop(item, here)
            case Bus(steps=(step,), growth=growth):
                return self._bus(step, growth, here)
            case Bus():
                return comb(
                    [self.series(step, here) for step in item.steps], words.say("concat", self.style.lang)
                )
        return around(item, self.series(item.inner, here), horizontal=self.style.horizontal)

    def series(
        self,
        view: View,
        here: _Here | None = None,
        width: float = 0.0,
        *,
        tail: bool = False,
        dashed: bool = False,
    ) -> Layout:
        """Items one after another on the axis, boxes of one width; `tail` shows the shape of the last as well."""
        here = here or _Here()
        out = Layout()
        width = max([width, *(self.want(item, here) for item in view if isinstance(item, BoxView | Closed))])
        u = 0.0
        before = None
        for item in view:
            part = self.item(item, here, width)
            if before is not None:
                shape = self.style.shapes and output_of(before)
                gap = SHAPE_GAP if shape else GAP
                out.things.append(Wire(((u, 0.0), (u + gap, 0.0)), arrow=part.solid))
                if shape:
                    self._tell(out, u + gap / 2, shape)
                u += gap
            else:
                out.solid = part.solid
            out.add(u, 0.0, part)
            u += part.length
            before = item
        if tail and before is not None and self.style.shapes:
            out.things.append(Wire(((u, 0.0), (u + SHAPE_GAP - 8, 0.0)), dashed=dashed))
            self._tell(out, u + SHAPE_GAP / 2, output_of(before))
            out.length = u + SHAPE_GAP - 8
        return out

    def _tell(self, out: Layout, u: float, shape: tuple[int, ...]) -> None:
        """Write a shape beside the wire."""
        text = Text(u, 6.0, show_shape(shape), SMALL, "start", "muted")
        out.things.append(text)
        out.right = max(out.right, 8 + text.width)

    # ----------------------------------------------------------------------------------- boxes

    def want(self, item: BoxView | Closed, here: _Here | None = None) -> float:
        """Extent across the flow that an item's text asks for."""
        here = here or _Here()
        if isinstance(item, Closed):
            return max(text_width(text, SIZE) for text in self._closed_words(item)) + 24
        wide = text_width(self._box_words(item, here), SIZE) + 16
        least = 46.0 if here.tower else 84.0
        if self.style.horizontal and not here.tower and len(item.parts[item.main].output) == 3:
            # the funnel: a stage's height falls with its resolution
            share = math.log2(max(item.parts[item.main].output[1], 1) + 1) / self.style.tallest
            least = 56 + 200 * min(share, 1.0) ** 1.7
        return max(wide, least)

    def _box_words(self, box: BoxView, here: _Here) -> str:
        part = box.parts[box.main]
        if box.main < 0 and len(box.parts) > 1:
            return " · ".join(box_words(p.operation, "", self.style.lang) for p in box.parts)
        operation = split_groups(part.operation, here.lanes)
        return box_words(operation, _widths(part, here.lanes), self.style.lang)

    def _box(self, box: BoxView, here: _Here, width: float) -> Layout:
        width = max(width, self.want(box, here))
        rides = len(box.parts) > 1 and box.main >= 0
        body = THIN if box.main < 0 or not carries(box.parts[box.main].operation) else ROW
        if self.style.horizontal and body == ROW:
            channels = box.parts[box.main].output[0]
            body = 15 + 1.6 * math.log2(max(channels // here.lanes, 1))
        strips, u = [], 0.0
        if rides:
            for index in range(box.main):
                strips.append(Strip(u, u + STRIP, index))
                u += STRIP
        middle = u + body / 2
        u += body
        if rides:
            for index in range(box.main + 1, len(box.parts)):
                strips.append(Strip(u, u + STRIP, index))
                u += STRIP
        text = Text(middle, 0.0, self._box_words(box, here), SIZE)
        thing = Box(0.0, -width / 2, u, width / 2, box, (text,), tuple(strips), here.lane)
        return Layout(u, width / 2, width / 2, [thing], solid=True)

    def _closed_words(self, item: Closed) -> list[str]:
        return [item.path, words.block(item.placed, self.style.lang)]

    def _closed(self, item: Closed, width: float) -> Layout:
        width = max(width, self.want(item))
        first, second = self._closed_words(item)
        texts = (Text(14.0, 0.0, first, SIZE, bold=False), Text(29.0, 0.0, second, SMALL, color="muted"))
        return Layout(
            42.0, width / 2, width / 2, [Box(0.0, -width / 2, 42.0, width / 2, item, texts)], solid=True
        )

    # ------------------------------------------------------------------------- side by side

    def _split(self, split: Split, here: _Here) -> Layout:
        count = len(split.branches)
        inner = [
            self.series(
                view,
                _Here(here.lanes * count, lane, True) if split.lanes else replace(here, tower=True),
                tail=not split.lanes,
            )
            for lane, view in enumerate(split.branches)
        ]
        out = Layout()
        longest = max(part.length for part in inner)
        fork, start = 7.0, 20.0
        places = side_by_side(inner, BRANCH_GAP)
        bar = start + longest + 13
        word = words.say("concat", self.style.lang)
        for part, v in zip(inner, places, strict=True):
            u = start + (longest - part.length) / 2
            out.add(u, v, part)
            arrow = part.solid and part.length > 0
            out.things.append(Wire(((0.0, 0.0), (fork, 0.0), (fork, v), (u, v)), arrow=arrow))
            out.things.append(Wire(((u + part.length, v), (bar, v)), arrow=True))
        join(out, bar, min(places) - 12, max(places) + 12, word)
        return out

    # ------------------------------------------------------------------------- around and back

    def _skip(self, skip: Skip, here: _Here) -> Layout:
        body = self.series(skip.body, here, tail=True)
        side = (
            self.series(skip.shortcut, replace(here, tower=True), tail=True, dashed=True)
            if skip.shortcut
            else None
        )
        out = Layout()
        fork, start = 6.0, 18.0
        longest = max(body.length, side.length if side else 0.0)
        notes = [Text(0.0, 0.0, note, SMALL, "end", "muted") for note in skip.notes]
        out.add(start + (longest - body.length) / 2, 0.0, body)
        first, last = start + (longest - body.length) / 2, start + (longest + body.length) / 2
        circle = start + longest + max(20.0, 14.0 * len(notes) + 12)
        out.things.append(Wire(((0.0, 0.0), (first, 0.0)), arrow=body.solid))
        out.things.append(Wire(((last, 0.0), (circle - 7.5, 0.0)), arrow=True))
        for index, note in enumerate(notes):
            out.things.append(replace(note, u=start + longest + 8 + 14.0 * index, v=-6.0))
            out.left = max(out.left, note.width + 8)
        lane = body.right + LANE + (side.left if side else 0.0)
        dashed = side is not None
        if side is None:
            path = ((fork, 0.0), (fork, lane), (circle, lane), (circle, 7.5))
            out.things.append(Wire(path, arrow=True))
        else:
            u = start + (longest - side.length) / 2
            out.add(u, lane, side)
            out.things.append(Wire(((fork, 0.0), (fork, lane), (u, lane)), arrow=side.solid, dashed=dashed))
            end = ((u + side.length, lane), (circle, lane), (circle, 7.5))
            out.things.append(Wire(end, arrow=True, dashed=dashed))
        out.right = max(out.right, lane + 2)
        out.things.append(Circle(circle, 0.0, "+"))
        out.length = circle + 7.5
        return out

    def _loop(self, loop: Loop, here: _Here) -> Layout:
        side = self.series(loop.inner, replace(here, tower=True))
        out = Layout(left=8.0)
        lane = LANE + side.left
        fork, start = 5.0, 18.0
        circle = start + side.length + 16
        out.add(start, lane, side)
        out.things.append(Wire(((0.0, 0.0), (circle - 7.5, 0.0)), arrow=True))
        out.things.append(Wire(((fork, 0.0), (fork, lane), (start, lane)), arrow=True))
        out.things.append(Wire(((start + side.length, lane), (circle, lane), (circle, 7.5)), arrow=True))
        out.things.append(Circle(circle, 0.0, "×"))
        out.length = circle + 7.5
        return out

    # ------------------------------------------------------------------------- dense connections

    def _bus(self, step: View, growth: str, here: _Here) -> Layout:
        body = self.series(step, here, tail=True)
        out = Layout()
        start = 18.0
        out.add(start, 0.0, body)
        bar, lane = start + body.length + 14, body.right + LANE
        out.things.append(Wire(((0.0, 0.0), (start, 0.0)), arrow=body.solid))
        out.things.append(Wire(((start + body.length, 0.0), (bar, 0.0)), arrow=True))
        out.things.append(Wire(((6.0, 0.0), (6.0, lane), (bar, lane)), arrow=True, bus=True))
        word = words.say("concat", self.style.lang) + (f" +{growth}" if growth else "")
        join(out, bar, -body.left, lane + 8, word)
        return out


def _widths(part: Part, lanes: int) -> str:
    """The width in words: of folded blocks all widths, or the first and the last where they are many."""
    found = [placed.output[0] // lanes for placed in part.placed]
    different = list(dict.fromkeys(found))
    if len(different) == 1:
        return str(different[0])
    if len(different) <= WIDEST_LIST:
        return "·".join(map(str, different))
    return f"{found[0]}…{found[-1]}"
