"""What overlaps on a sheet: texts, boxes and wires as rectangles, swept from the left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from convatlas.drawing.extent import Rect, rect_of, texts_of
from convatlas.drawing.scene import Bar, Box, Circle, Dot, Frame, Text, Wire
from convatlas.drawing.sheet import Sheet
from convatlas.drawing.svg import Paper

_SLACK = 0.3  # of a pixel: neighbors may touch


@dataclass(frozen=True)
class Mark:
    """Something on paper: its rectangle, its kind, what it says, the thing that it belongs to."""

    rect: Rect
    kind: str  # text, solid, wire
    label: str
    owner: int


def marks(sheet: Sheet) -> list[Mark]:
    """Everything that may not overlap."""
    found = []
    level = Paper(horizontal=False, x=0, y=0)
    found += [
        Mark(level.text_rect(text), "text", text.content, -1 - i) for i, text in enumerate(sheet.furniture)
    ]
    if sheet.paper is None:
        return found
    for index, thing in enumerate(sheet.things):
        found += [Mark(sheet.paper.text_rect(t), "text", t.content, index) for t in texts_of(thing)]
        if isinstance(thing, Box | Bar | Circle):
            found.append(Mark(rect_of(thing, sheet.paper), "solid", type(thing).__name__, index))
        if isinstance(thing, Wire):
            found += [Mark(rect, "wire", str(thing.points), index) for rect in segments(thing, sheet.paper)]
    return found


def segments(wire: Wire, paper: Paper) -> Iterator[Rect]:
    """A wire's straight pieces as rectangles as thick as its ink."""
    half = 1.5 if wire.bus else 0.65
    points = [paper.point(u, v) for u, v in wire.points]
    for (x1, y1), (x2, y2) in pairwise(points):
        horizontal = abs(x2 - x1) > abs(y2 - y1)
        dx, dy = (0.0, half) if horizontal else (half, 0.0)
        yield (min(x1, x2) - dx, min(y1, y2) - dy, abs(x2 - x1) + 2 * dx, abs(y2 - y1) + 2 * dy)


def meet(a: Rect, b: Rect) -> bool:
    """Whether two rectangles share more than an edge."""
    return (
        a[0] + _SLACK < b[0] + b[2]
        and b[0] + _SLACK < a[0] + a[2]
        and a[1] + _SLACK < b[1] + b[3]
        and b[1] + _SLACK < a[1] + a[3]
    )


def holds(outer: Rect, inner: Rect) -> bool:
    """Whether a rectangle lies within another."""
    return (
        inner[0] >= outer[0] - _SLACK
        and inner[1] >= outer[1] - _SLACK
        and inner[0] + inner[2] <= outer[0] + outer[2] + _SLACK
        and inner[1] + inner[3] <= outer[1] + outer[3] + _SLACK
    )


def overlaps(sheet: Sheet) -> list[str]:
    """Each pair that overlaps and should not, in words."""
    found = []
    active: list[Mark] = []
    for mark in sorted(marks(sheet), key=lambda m: m.rect[1]):
        active = [other for other in active if other.rect[1] + other.rect[3] > mark.rect[1]]
        for other in active:
            kinds = {mark.kind, other.kind}
            if mark.owner == other.owner and kinds != {"text"}:
                continue
            if kinds == {"wire"}:
                continue
            if meet(mark.rect, other.rect):
                found.append(f"{mark.kind} {mark.label!r} on {other.kind} {other.label!r}")
        active.append(mark)
    return found


def outside(sheet: Sheet) -> list[str]:
    """Texts that leave their box, card or band, and texts that leave the paper."""
    found = []
    paper = (0.0, 0.0, sheet.width, sheet.height)
    found += [
        f"{m.label!r} off the paper" for m in marks(sheet) if m.kind == "text" and not holds(paper, m.rect)
    ]
    if sheet.paper is None:
        return found
    for thing in sheet.things:
        if not isinstance(thing, Text | Wire | Circle):
            rect = rect_of(thing, sheet.paper)
            found += [
                f"{text.content!r} leaves its {type(thing).__name__}"
                for text in texts_of(thing)
                if not holds(rect, sheet.paper.text_rect(text))
            ]
    return found


def crossings(sheet: Sheet) -> list[str]:
    """Places where two wires cross in the middle of both, and no junction is drawn."""
    assert sheet.paper is not None
    dots = {(round(thing.u, 1), round(thing.v, 1)) for thing in sheet.things if isinstance(thing, Dot)}
    along, across = [], []
    for thing in sheet.things:
        if isinstance(thing, Wire):
            for (u1, v1), (u2, v2) in pairwise(thing.points):
                if abs(v1 - v2) < 0.01:
                    along.append((v1, min(u1, u2), max(u1, u2)))
                else:
                    across.append((u1, min(v1, v2), max(v1, v2)))
    return [
        f"wires cross at {u}, {v}"
        for v, u1, u2 in along
        for u, v1, v2 in across
        if u1 + 0.5 < u < u2 - 0.5 and v1 + 0.5 < v < v2 - 0.5 and (round(u, 1), round(v, 1)) not in dots
    ]


def frames_nest(sheet: Sheet) -> list[str]:
    """Cards that overlap without one holding the other."""
    assert sheet.paper is not None
    rects = [rect_of(thing, sheet.paper) for thing in sheet.things if isinstance(thing, Frame)]
    return [
        f"cards {a} and {b}"
        for i, a in enumerate(rects)
        for b in rects[i + 1 :]
        if meet(a, b) and not holds(a, b) and not holds(b, a)
    ]
