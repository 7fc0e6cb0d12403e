"""A scatter of named points whose areas tell a third number: the field's well-known picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convatlas.drawing import markup
from convatlas.drawing.axes import Frame, Scale, fit, left_margin, legend, show_value
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import SERIES, Theme

_LARGEST = 26.0  # radius of the largest disc
_RINGS = 34  # of places tried around a disc, eight pixels apart
Rect = tuple[float, float, float, float]  # left, top, right, bottom
Segment = tuple[float, float, float, float]  # x, y of both ends


@dataclass(frozen=True)
class Dot:
    """One point: its place, its area (any unit; None draws a small disc) and the group that colors it."""

    label: str
    x: float
    y: float
    area: float | None = None
    group: str = ""


def scatter(
    dots: Sequence[Dot],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    area_label: str = "",
    log_x: bool = True,
    log_y: bool = False,
    width: float = 900,
    height: float = 600,
    theme: Theme = "auto",
) -> str:
    """Discs of `dots` with labels that never cover each other or a disc's middle; far labels get a leader line.

    A dot whose place is not finite (or not positive on a log axis) is left out and named under the plot.
    """
    good: list[Dot] = []
    bad: list[Dot] = []
    for dot in dots:
        fits = (
            math.isfinite(dot.x)
            and math.isfinite(dot.y)
            and (dot.x > 0 or not log_x)
            and (dot.y > 0 or not log_y)
        )
        (good if fits else bad).append(dot)
    heading = wrap(title, width - 24, markup.LARGE, bold=True) if title else []
    parts = [
        markup.text(12, 22 + 18 * i, part, markup.LARGE, "start", bold=True) for i, part in enumerate(heading)
    ]
    top = 12.0 + 18 * len(heading)
    groups = list(dict.fromkeys(dot.group for dot in dots))
    # The ninth group and those after it take the colors again, hollow.
    hues = {group: (SERIES[i % len(SERIES)], i >= len(SERIES)) for i, group in enumerate(groups)}
    entries = [(group, *hues[group]) for group in groups] if len(groups) > 1 else []
    keys, used = legend(entries, 12, top, width - 24)
    parts.append(keys)
    top += used + 10
    missing = (
        wrap("not placed: " + ", ".join(dot.label for dot in bad), width - 24, markup.SMALL) if bad else []
    )
    bottom = height - 50 - 14 * len(missing)
    y = Scale(*fit([dot.y for dot in good], log=log_y, margin=0.08), bottom, top, log_y)
    left = left_margin(y, y_label, bottom - top) + 4
    frame = Frame(Scale(*fit([dot.x for dot in good], log=log_x, margin=0.08), left, width - 16, log_x), y)
    parts.append(frame.draw(x_label, y_label))
    most = max((dot.area or 0 for dot in good), default=0)
    radii = [_LARGEST * math.sqrt(dot.area / most) if dot.area and most else 0.0 for dot in good]
    radii = [max(radius, 2.5) for radius in radii]
    order = sorted(range(len(good)), key=lambda index: (-radii[index], good[index].label))
    places = [(frame.x(dot.x), frame.y(dot.y)) for dot in good]
    for index in order:
        dot, (cx, cy) = good[index], places[index]
        about = f"{dot.label}: {x_label} {show_value(dot.x, 4)}, {y_label} {show_value(dot.y, 4)}"
        about += f", {area_label} {show_value(dot.area, 4)}" if dot.area else ""
        hue, hollow = hues[dot.group]
        look = f"f-{hue} s-{hue}" if hollow else f"f-{hue} s-paper"
        disc = markup.title(about)
        opacity = "0.15" if hollow else "0.62"
        parts.append(
            markup.element("circle", disc, cx=cx, cy=cy, r=radii[index], class_=look, fill_opacity=opacity)
        )
    box = (left + 2, top, width - 16.0, bottom - 2)
    labels = _Labels(places, radii, box)
    order = sorted(range(len(good)), key=lambda i: (radii[i], places[i]))
    put = [labels.put(i, shorten(good[i].label, 150, markup.SMALL), markup.SMALL) for i in order]
    parts += [leader for _, leader in put] + [text for text, _ in put]
    if most:
        note = f"area: {area_label}, largest {show_value(most)}" if area_label else ""
        parts.append(markup.text(width - 16, bottom + 36, note, markup.SMALL, "end", "muted"))
    for index, part in enumerate(missing):
        parts.append(markup.text(12, bottom + 52 + 14 * index, part, markup.SMALL, "start", "muted"))
    body = "\n".join(part for part in parts if part)
    about = f"{len(good)} points: {', '.join(dot.label for dot in good)}"
    return markup.document(width, height, body, title or f"{y_label} over {x_label}", about, theme)


class _Labels:
    """Labels put one by one where they cost least: near their disc, off other discs, never on another label."""

    def __init__(self, places: Sequence[tuple[float, float]], radii: Sequence[float], box: Rect) -> None:
        self.places, self.radii, self.box = places, radii, box
        self.taken: list[Rect] = []
        self.leaders: list[Segment] = []

    def put(self, index: int, label: str, size: float) -> tuple[str, str]:
        """Markup of one label and of its leader; nothing where no place is left (the tooltip still tells)."""
        wide, (cx, cy), radius = text_width(label, size), self.places[index], self.radii[index]
        best, least = None, math.inf
        for ring in range(_RINGS):
            reach = radius + 4 + ring * 8
            if reach - radius >= least:
                break  # no farther place can cost less than its distance
            for spot in _around(cx, cy, reach, wide, size, 8 if ring == 0 else 20):
                cost = reach - radius + self._cost(index, spot, ring)
                if cost < least:
                    best, least = spot, cost
        if best is None:
            return "", ""
        self.taken.append(best)
        ex, ey = _nearest(cx, cy, best)
        far = math.hypot(ex - cx, ey - cy)
        text = markup.text(best[0], best[3] - size * 0.28, label, size, "start", halo=True)
        if far <= radius + 8:
            return text, ""
        sx, sy = cx + (ex - cx) * radius / far, cy + (ey - cy) * radius / far
        self.leaders.append((sx, sy, ex, ey))
        return text, markup.line(sx, sy, ex, ey, "s-muted", stroke_width=0.7)

    def _cost(self, index: int, spot: Rect, ring: int) -> float:
        """What a place costs besides its distance; infinite where a label may not be."""
        if not (
            spot[0] >= self.box[0]
            and spot[1] >= self.box[1]
            and spot[2] <= self.box[2]
            and spot[3] <= self.box[3]
        ):
            return math.inf
        if any(_meet(spot, other) for other in self.taken) or any(
            _crosses(line, spot) for line in self.leaders
        ):
            return math.inf
        cx, cy = self.places[index]
        leader = (cx, cy, *_nearest(cx, cy, spot))
        # Leaders run below labels, whose halo keeps them legible: allowed where nothing else is left.
        cost = 60.0 * sum(_crosses(line, spot) for line in self.leaders)
        cost += 60.0 * sum(_crosses(leader, other) for other in self.taken) if ring else 0.0
        for other, (x, y) in enumerate(self.places):
            if other == index:
                continue
            near = math.dist(_nearest(x, y, spot), (x, y))
            if near < 3.5:
                return math.inf  # the middle of another disc
            cost += 25.0 if near < self.radii[other] else 0.0
        return cost + sum(40.0 for line in self.leaders if _segments_cross(leader, line))


def _around(cx: float, cy: float, reach: float, wide: float, size: float, turns: int) -> Iterator[Rect]:
    """Places for a label at a distance from a point, its nearest edge toward the point."""
    for turn in range(turns):
        angle = turn * math.tau / turns
        dx, dy = math.cos(angle), math.sin(angle)
        x = cx + dx * reach - (wide if dx < -0.3 else wide / 2 if abs(dx) <= 0.3 else 0)
        y = cy + dy * reach - size * (0.5 - dy * 0.5)
        yield (x, y, x + wide, y + size * 1.1)


def _nearest(x: float, y: float, box: Rect) -> tuple[float, float]:
    """The point of a rectangle that is nearest to a point."""
    return min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])


def _segments_cross(one: Segment, other: Segment) -> bool:
    def side(line: Segment, x: float, y: float) -> float:
        return (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0])

    return (
        side(one, other[0], other[1]) * side(one, other[2], other[3]) < 0
        and side(other, one[0], one[1]) * side(other, one[2], one[3]) < 0
    )


def _meet(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] + 1 and b[0] < a[2] + 1 and a[1] < b[3] + 1 and b[1] < a[3] + 1


def _crosses(segment: Segment, box: Rect) -> bool:
    """Whether a segment passes through a rectangle (Liang and Barsky's clipping)."""
    x1, y1, x2, y2 = segment
    low, high = 0.0, 1.0
    for delta, start, least, most in ((x2 - x1, x1, box[0], box[2]), (y2 - y1, y1, box[1], box[3])):
        if not delta:
            if start < least or start > most:
                return False
            continue
        near, far = sorted(((least - start) / delta, (most - start) / delta))
        low, high = max(low, near), min(high, far)
    return low < high
