"""A scene as SVG: paper coordinates, classes for colors, ids and data attributes that are the rows' names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from convatlas.define import Operation
from convatlas.drawing import markup
from convatlas.drawing.kinds import kind, tooltip
from convatlas.drawing.markup import attributes, element, number
from convatlas.drawing.scene import Band, Bar, Box, Circle, Dot, Frame, Text, Thing, Wire
from convatlas.drawing.view import Closed, Part

_TURN = 5.0  # radius of a wire's corners
_ARROW = 5.0


@dataclass(frozen=True)
class Paper:
    """Where flow coordinates lie on paper."""

    horizontal: bool
    x: float  # of u = 0 (horizontal) or v = 0
    y: float

    def point(self, u: float, v: float) -> tuple[float, float]:
        """(x, y) of a place."""
        return (self.x + u, self.y - v) if self.horizontal else (self.x + v, self.y + u)

    def rect(self, u0: float, v0: float, u1: float, v1: float) -> tuple[float, float, float, float]:
        """(x, y, width, height) of a rectangle."""
        x, y = self.point(u0, v1 if self.horizontal else v0)
        return (x, y, u1 - u0, v1 - v0) if self.horizontal else (x, y, v1 - v0, u1 - u0)

    def text_rect(self, text: Text) -> tuple[float, float, float, float]:
        """(x, y, width, height) that a text takes, by its upper bound."""
        x, y = self.point(text.u, text.v)
        shift = {"start": 0.0, "middle": text.width / 2, "end": text.width}[text.anchor]
        if self.horizontal and text.across:
            return x - text.size * 0.5, y - text.width + shift, text.size, text.width
        return x - shift, y - text.size * 0.5, text.width, text.size


def render(things: Sequence[Thing], paper: Paper, prefix: str) -> str:
    """All of a scene, from the background to the text."""
    parts: list[str] = []
    parts += [_band(thing, paper) for thing in things if isinstance(thing, Band)]
    parts += [_frame(thing, paper, prefix) for thing in things if isinstance(thing, Frame)]
    parts += _wires([thing for thing in things if isinstance(thing, Wire)], paper)
    dots = [paper.point(thing.u, thing.v) for thing in things if isinstance(thing, Dot)]
    parts += [element("circle", cx=x, cy=y, r=1.9, class_="f-wire") for x, y in dots]
    parts += [_bar(thing, paper) for thing in things if isinstance(thing, Bar)]
    parts += [_box(thing, paper, prefix) for thing in things if isinstance(thing, Box)]
    parts += [_circle(thing, paper) for thing in things if isinstance(thing, Circle)]
    parts += [text_markup(thing, paper) for thing in things if isinstance(thing, Text)]
    return "\n".join(part for part in parts if part)


def text_markup(text: Text, paper: Paper) -> str:
    """One text at its place."""
    x, y = paper.point(text.u, text.v)
    turned = paper.horizontal and text.across
    drop = text.size * 0.35
    x, y = (x + drop, y) if turned else (x, y + drop)
    return markup.text(x, y, text.content, text.size, text.anchor, text.color, bold=text.bold, turned=turned)


def _band(band: Band, paper: Paper) -> str:
    color = "f-band-alt" if band.alternate else "f-band"
    return markup.rect(*paper.rect(band.u0, band.v0, band.u1, band.v1), color) + (
        text_markup(band.text, paper) if band.text else ""
    )


def _frame(frame: Frame, paper: Paper, prefix: str) -> str:
    x, y, width, height = paper.rect(frame.u0, frame.v0, frame.u1, frame.v1)
    stack = [6.0, 3.0, 0.0] if frame.view and frame.view.count > 1 else [0.0]
    cards = "".join(
        markup.rect(
            x + by,
            y + by,
            width,
            height,
            "f-card s-faint",
            5,
            stroke_dasharray="4 3" if frame.dashed else None,
        )
        for by in stack
    )
    texts = "".join(text_markup(text, paper) for text in frame.texts)
    if not frame.view:
        return element("g", cards + texts)
    view = frame.view
    about = f"{view.name}: {sum(p.parameters for p in view.placed):,} parameters, {sum(p.mult_adds for p in view.placed):,} mult-adds"  # fmt: skip
    start = f"<g{_id(prefix, view.paths[0])}{attributes(data_rows=' '.join(view.paths) if view.count > 1 else None)}>"
    return f"{start}{markup.title(about)}{cards}{texts}</g>"


def _id(prefix: str, path: str) -> str:
    return attributes(id=f"{prefix}:{path}")


def _box(box: Box, paper: Paper, prefix: str) -> str:
    outline = paper.rect(box.u0, box.v0, box.u1, box.v1)
    texts = "".join(text_markup(text, paper) for text in box.texts)
    if isinstance(box.view, Closed):
        placed, path = box.view.placed, box.view.path
        about = f"{path}: {placed.parameters:,} parameters, {placed.mult_adds:,} mult-adds"
        shape = markup.rect(*outline, "f-card s-io-line", 4)
        return f"<g{_id(prefix, path)}{_shape_data(placed.input, placed.output)}>{markup.title(about)}{shape}{texts}</g>"
    parts = box.view.parts
    main = parts[box.view.main]
    hue = kind(main.operation)
    content = _about(main) + markup.rect(*outline, f"f-{hue} s-{hue}-line", 3)
    for strip in box.strips:
        part = parts[strip.part]
        color = kind(part.operation)
        area = markup.rect(
            *paper.rect(strip.u0, box.v0, strip.u1, box.v1), f"f-{color} s-{color}-line", stroke_width=0.6
        )
        content += f"<g{_name(part, prefix, box.lane)}>{_about(part)}{area}</g>"
    rest = "" if len(parts) == 1 or box.strips else " ".join(p.paths[0] for p in parts if p is not main)
    data = attributes(
        data_op=type(main.operation).__name__,
        data_parameters=str(main.placed[0].parameters),
        data_mult_adds=str(main.placed[0].mult_adds),
        data_with=rest or None,
    )
    shapes = _shape_data(main.placed[0].input, main.placed[0].output)
    return f"<g{_name(main, prefix, box.lane)}{data}{shapes}>{content}{texts}</g>"


def _name(part: Part, prefix: str, lane: int) -> str:
    """The row's name as an id; the second tower of a row names it without taking the id twice."""
    return _id(prefix, part.paths[0]) if not lane else attributes(data_row=part.paths[0])


def _about(part: Part) -> str:
    placed = part.placed[0]
    name = part.paths[0] if len(part.paths) == 1 else f"{part.paths[0]} to {part.paths[-1]}"
    assert isinstance(placed.node, Operation)
    return markup.title(tooltip(name, placed.node, placed.output, placed.parameters, placed.mult_adds))


def _shape_data(before: Iterable[int], after: Iterable[int]) -> str:
    return attributes(data_in="x".join(map(str, before)), data_out="x".join(map(str, after)))


def _bar(bar: Bar, paper: Paper) -> str:
    return markup.rect(*paper.rect(bar.u0, bar.v0, bar.u1, bar.v1), "f-join s-join-line", 3) + text_markup(
        bar.text, paper
    )


def _circle(circle: Circle, paper: Paper) -> str:
    x, y = paper.point(circle.u, circle.v)
    arm = circle.r * (0.62 if circle.sign == "+" else 0.45)
    arms = ((arm, 0.0), (0.0, arm)) if circle.sign == "+" else ((arm, arm), (arm, -arm))
    lines = " ".join(
        f"M{number(x - dx)} {number(y - dy)}L{number(x + dx)} {number(y + dy)}" for dx, dy in arms
    )
    ring = element("circle", cx=x, cy=y, r=circle.r, class_="f-join s-join-line")
    return ring + element("path", d=lines, class_="line s-join-line", stroke_width=1.4)


def _wires(wires: Sequence[Wire], paper: Paper) -> list[str]:
    """All wires of one look in one path each, then all arrowheads."""
    parts = []
    looks = ((False, False, 1.3, None), (True, False, 1.3, "5 3"), (False, True, 3.0, None))
    for dashed, bus, width, dashes in looks:
        lines = [_line(wire, paper) for wire in wires if (wire.dashed, wire.bus) == (dashed, bus)]
        if lines:
            path = "".join(dict.fromkeys(lines))
            parts.append(
                element("path", d=path, class_="line s-wire", stroke_width=width, stroke_dasharray=dashes)
            )
    heads = "".join(dict.fromkeys(_head(wire, paper) for wire in wires if wire.arrow))
    return [*parts, element("path", d=heads, class_="f-wire")] if heads else parts


def _corners(wire: Wire, paper: Paper) -> list[tuple[float, float]]:
    """Points on paper, without repeated ones and those on a straight line."""
    out: list[tuple[float, float]] = []
    for u, v in wire.points:
        point = paper.point(u, v)
        if out and math.dist(out[-1], point) < 0.01:
            continue
        while len(out) > 1 and _straight(out[-2], out[-1], point):
            out.pop()
        out.append(point)
    return out


def _straight(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return abs((b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])) < 0.01


def _line(wire: Wire, paper: Paper) -> str:
    points = _corners(wire, paper)
    if len(points) < 2:
        return ""
    out = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_TURN, math.dist(before, here) / 2, math.dist(here, after) / 2)
        start, end = _toward(here, before, radius), _toward(here, after, radius)
        out.append(
            f"L{number(start[0])} {number(start[1])}Q{number(here[0])} {number(here[1])} {number(end[0])} {number(end[1])}"
        )
    last = points[-1]
    if wire.arrow:
        last = _toward(last, points[-2], _ARROW * 0.8)
    out.append(f"L{number(last[0])} {number(last[1])}")
    return "".join(out)


def _toward(a: tuple[float, float], b: tuple[float, float], by: float) -> tuple[float, float]:
    share = by / (math.dist(a, b) or 1.0)
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _head(wire: Wire, paper: Paper) -> str:
    points = _corners(wire, paper)
    if len(points) < 2:
        return ""
    tip, back = points[-1], _toward(points[-1], points[-2], _ARROW)
    dx, dy = (tip[0] - back[0]) * 0.55, (tip[1] - back[1]) * 0.55
    corners = (tip, (back[0] - dy, back[1] + dx), (back[0] + dy, back[1] - dx))
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in corners) + "z"
