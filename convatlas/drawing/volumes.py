"""The second kind of figure: feature maps as volumes, as in Fig. 2 of the AlexNet paper.

Height and oblique depth of a volume are its map's height and width, its thickness the log of its channels; a
vector is a bar. Faces shrink with the square root of the resolution: to scale, 7 × 7 beside 224 × 224 is a dot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.define import Placed, Shape
from convatlas.drawing import markup
from convatlas.drawing.kinds import box_words, carries, kind, show_shape, split_groups
from convatlas.drawing.markup import attributes, element, number
from convatlas.drawing.scene import Text
from convatlas.drawing.sheet import MARGIN, Sheet, caption_texts, kind_entries, legend
from convatlas.drawing.text import text_width
from convatlas.drawing.trunk import row_name
from convatlas.drawing.view import Box, Card, Closed, Item, Split
from convatlas.drawing.words import say

_FACE = 150.0  # side of the input's face
_OBLIQUE = (0.42, -0.3)  # what one unit of the map's width is on paper
_SIZE = 10.0
_GAP = 22.0


@dataclass(frozen=True)
class _Volume:
    """One volume to draw: the row that makes it, its shape, its color, the window that it looks through."""

    path: str
    name: str
    words: str
    shape: Shape
    hue: str
    lanes: int = 1
    window: tuple[int, int] | None = None
    placed: Placed | None = None

    @property
    def thickness(self) -> float:
        """Extent along the page, by the log of a lane's channels."""
        if len(self.shape) == 1:
            return 10.0
        return 5.0 + 5.0 * math.log2(max(self.shape[0] // self.lanes, 1))


def volumes(
    trunk: Sequence[tuple[str, Item]], start: Shape, title: str, caption: Sequence[str], lang: str = "en"
) -> Sheet:
    """The sheet of the volumes along a trunk, from the input on; heads are left out."""
    first = _Volume("input", say("input", lang), "", start, "io")
    found = [first]
    for _, item in trunk:
        for volume in _of(item, lang):
            last = found[-1]
            if volume.shape == last.shape and volume.hue not in {"conv", "depthwise", "linear"}:
                continue  # a normalization between two volumes is the same volume
            found.append(volume)
    full = start[1] if len(start) == 3 else 1
    sides = [_side(volume.shape, full) for volume in found]
    deep = [side * _OBLIQUE[0] if len(v.shape) == 3 else 0.0 for v, side in zip(found, sides, strict=True)]
    tall = max(_height(v, side) for v, side in zip(found, sides, strict=True))
    texts, y = caption_texts(title, caption, 760.0)
    middle = y + 12 + tall / 2
    base = middle + tall / 2 + 16
    parts, x, before = [], MARGIN, None
    for volume, side, depth in zip(found, sides, deep, strict=True):
        lines = [_show(volume), volume.words, volume.name]
        wide = max(volume.thickness + depth, *(text_width(line, _SIZE) for line in lines)) + _GAP
        left = x + (wide - volume.thickness - depth) / 2
        place = (left, middle)
        if before is not None:
            parts.append(_link(before, (volume, side, place)))
        before = (volume, side, place)
        parts.append(_draw(volume, side, place))
        colors = ("ink", "ink", "muted")
        for index, (line, color) in enumerate(zip(lines, colors, strict=True)):
            if line:
                texts.append(Text(base + 14 * index, x + wide / 2, line, _SIZE, "middle", color))
        x += wide
    width = max(x + MARGIN, 500.0)
    kinds = {volume.hue for volume in found} - {"io"}
    swatches, more, bottom = legend(kind_entries(kinds, lang), base + 58, width)
    return Sheet(
        (),
        None,
        width,
        bottom + 18,
        (*texts, *more),
        tuple(swatches),
        title,
        "; ".join(caption),
        "\n".join(parts),
    )


def _of(item: Item, lang: str, lanes: int = 1) -> list[_Volume]:
    """The volumes that an item of the trunk makes; a plain card is opened, a block with joins is one volume."""
    match item:
        case Box():
            part = item.parts[item.main]
            operation = part.operation
            if not carries(operation) and kind(operation) != "pool":
                return []
            kernel = getattr(operation, "kernel", None)
            window = kernel if isinstance(kernel, tuple) or kernel is None else (kernel, kernel)
            words = box_words(split_groups(operation, lanes), str(part.output[0] // lanes), lang)
            return [
                _Volume(
                    part.paths[0],
                    row_name(item),
                    words,
                    item.parts[-1].output,
                    kind(operation),
                    1,
                    window,
                    part.placed[0],
                )
            ]
        case Card(count=1, inner=inner) if all(isinstance(inside, Box) for inside in inner):
            return [volume for inside in inner for volume in _of(inside, lang)]
        case Card():
            lanes = next(
                (len(inside.branches) for inside in item.inner if isinstance(inside, Split) and inside.lanes),
                1,
            )
            if lanes > 1:
                return _lanes(item, lanes, lang)
            words = f"× {item.count}" if item.count > 1 else ""
            return [_Volume(item.paths[0], item.name, words, item.output, "conv", 1, None, item.placed[-1])]
        case Closed():
            return [_Volume(item.path, item.path, "", item.placed.output, "conv", 1, None, item.placed)]
    return []


def _lanes(card: Card, lanes: int, lang: str) -> list[_Volume]:
    split = card.inner[0]
    assert isinstance(split, Split)
    found = [volume for item in split.branches[0] for volume in _of(item, lang, lanes)]
    return [_Volume(v.path, v.name, v.words, v.shape, v.hue, lanes, v.window, v.placed) for v in found]


def _show(volume: _Volume) -> str:
    if volume.lanes == 1:
        return show_shape(volume.shape)
    return f"{volume.lanes} × ({show_shape((volume.shape[0] // volume.lanes, *volume.shape[1:]))})"


def _side(shape: Shape, full: int) -> float:
    """Height of a face, or of a vector's bar."""
    if len(shape) == 1:
        return 20 + 9 * math.log2(max(shape[0], 1))
    return max(10.0, _FACE * math.sqrt(shape[1] / max(full, 1)))


def _height(volume: _Volume, side: float) -> float:
    """Height on paper, of all lanes."""
    rise = -side * _OBLIQUE[1] if len(volume.shape) == 3 else 0.0
    return volume.lanes * (side + rise) + (volume.lanes - 1) * 10


def _corners(volume: _Volume, side: float, place: tuple[float, float]) -> list[tuple[float, float]]:
    """Upper left corner of each lane's front face."""
    rise = -side * _OBLIQUE[1] if len(volume.shape) == 3 else 0.0
    step = side + rise + 10
    top = place[1] - _height(volume, side) / 2 + rise
    return [(place[0], top + step * lane) for lane in range(volume.lanes)]


def _draw(volume: _Volume, side: float, place: tuple[float, float]) -> str:
    """Front, top and right face of each lane."""
    t = volume.thickness
    ox, oy = (side * _OBLIQUE[0], side * _OBLIQUE[1]) if len(volume.shape) == 3 else (0.0, 0.0)
    classes = f"f-{volume.hue} s-{volume.hue}-line"
    faces = []
    for x, y in _corners(volume, side, place):
        if ox:
            faces.append(_polygon([(x, y), (x + ox, y + oy), (x + t + ox, y + oy), (x + t, y)], classes))
            faces.append(
                _polygon(
                    [(x + t, y), (x + t + ox, y + oy), (x + t + ox, y + oy + side), (x + t, y + side)],
                    classes,
                )
            )
        faces.append(markup.rect(x, y, t, side, classes))
    about = f"{volume.name}: {show_shape(volume.shape)}"
    if volume.placed and volume.placed.parameters:
        about += f"; {volume.placed.parameters:,} parameters"
    data = attributes(data_row=volume.path, data_out="x".join(map(str, volume.shape)))
    return f"<g{data}>{markup.title(about)}{''.join(faces)}</g>"


def _polygon(points: Sequence[tuple[float, float]], classes: str) -> str:
    return element(
        "polygon",
        points=" ".join(f"{number(x)},{number(y)}" for x, y in points),
        class_=classes,
        stroke_linejoin="round",
    )


def _link(
    one: tuple[_Volume, float, tuple[float, float]], other: tuple[_Volume, float, tuple[float, float]]
) -> str:
    """The window on the volume before, and lines from its corners to one unit of the next; else an arrow."""
    (volume, side, place), (after, after_side, after_place) = one, other
    starts, ends = _corners(volume, side, place), _corners(after, after_side, after_place)
    tips = [(x, y + after_side * 0.5) for x, y in ends]
    if after.window is None or len(volume.shape) == 1:
        x = place[0] + volume.thickness + (side * _OBLIQUE[0] if len(volume.shape) == 3 else 0.0)
        reach = after_place[0] - 3
        y = place[1]
        head = f"M{number(reach)} {number(y)}l-5 -2.7v5.4z"
        return markup.line(x + 3, y, reach - 4, y, "s-wire") + element("path", d=head, class_="f-wire")
    parts = []
    high, wide = (min(1.0, k / n) for k, n in zip(after.window, volume.shape[1:], strict=True))
    for index in range(max(len(starts), len(tips))):
        x, y = starts[index % len(starts)]
        tx, ty = tips[index % len(tips)]
        x += volume.thickness
        ox, oy = side * _OBLIQUE[0], side * _OBLIQUE[1]
        a, b = 0.5 - wide / 2, 0.5 - high / 2
        corners = [
            (x + ox * p, y + oy * p + side * q)
            for p, q in ((a, b), (a + wide, b), (a + wide, b + high), (a, b + high))
        ]
        parts.append(_polygon(corners, "line s-ink"))
        parts += [
            markup.line(cx, cy, tx, ty, "s-muted", stroke_width=0.7, stroke_dasharray="3 2")
            for cx, cy in (corners[1], corners[2])
        ]
    return "".join(parts)
