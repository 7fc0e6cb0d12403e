"""A scatter of named points whose areas tell a third number: the field's well-known picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convatlas.drawing import markup
from convatlas.drawing.axes import Frame, Scale, fit, left_margin, legend, show_value
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import SERIES, Theme

_LARGEST = 26.0  # radius of the largest disc
Rect = tuple[float, float, float, float]  # left, top, right, bottom


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
    hues = {group: SERIES[index % len(SERIES)] for index, group in enumerate(groups)}
    entries = [(group, hues[group]) for group in groups] if len(groups) > 1 else []
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
        disc = markup.element("circle", markup.title(about), cx=cx, cy=cy, r=radii[index], class_=f"f-{hues[dot.group]} s-paper", fill_opacity="0.62")  # fmt: skip
        parts.append(disc)
    box = (left + 2, top, width - 16.0, bottom - 2)
    parts += _labels([dot.label for dot in good], places, radii, box)
    if most:
        note = f"area: {area_label}, largest {show_value(most)}" if area_label else ""
        parts.append(markup.text(width - 16, bottom + 36, note, markup.SMALL, "end", "muted"))
    for index, part in enumerate(missing):
        parts.append(markup.text(12, bottom + 52 + 14 * index, part, markup.SMALL, "start", "muted"))
    body = "\n".join(part for part in parts if part)
    about = f"{len(good)} points: {', '.join(dot.label for dot in good)}"
    return markup.document(width, height, body, title or f"{y_label} over {x_label}", about, theme)


def _labels(
    labels: Sequence[str], places: Sequence[tuple[float, float]], radii: Sequence[float], box: Rect
) -> list[str]:
    """Each label at the nearest free place around its disc, on rings of growing radius; none free: left to the tooltip."""
    size = markup.SMALL
    cores = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    taken: list[Rect] = []
    leaders: list[tuple[float, float, float, float]] = []
    parts = []
    for index in sorted(range(len(labels)), key=lambda i: (radii[i], places[i])):
        label = shorten(labels[index], 150, size)
        wide, (cx, cy), radius = text_width(label, size), places[index], radii[index]
        for ring in range(14):
            reach = radius + 4 + ring * 9
            spot = _free_spot(cx, cy, reach, wide, size, box, taken, [c for i, c in enumerate(cores) if i != index], leaders, ring)  # fmt: skip
            if spot is None:
                continue
            taken.append(spot)
            ex, ey = min(max(cx, spot[0]), spot[2]), min(max(cy, spot[1]), spot[3])
            far = math.hypot(ex - cx, ey - cy)
            if far > radius + 8:
                sx, sy = cx + (ex - cx) * radius / far, cy + (ey - cy) * radius / far
                leaders.append((sx, sy, ex, ey))
                parts.append(markup.line(sx, sy, ex, ey, "s-muted", stroke_width=0.7))
            parts.append(markup.text(spot[0], spot[3] - size * 0.28, label, size, "start"))
            break
    return parts


def _free_spot(
    cx: float,
    cy: float,
    reach: float,
    wide: float,
    size: float,
    box: Rect,
    taken: Sequence[Rect],
    cores: Sequence[Rect],
    leaders: Sequence[tuple[float, float, float, float]],
    ring: int,
) -> Rect | None:
    for turn in range(8 if ring == 0 else 16):
        angle = turn * math.tau / (8 if ring == 0 else 16)
        dx, dy = math.cos(angle), math.sin(angle)
        x = cx + dx * reach - (wide if dx < -0.3 else wide / 2 if abs(dx) <= 0.3 else 0)
        y = cy + dy * reach - size * (0.5 - dy * 0.5)
        spot = (x, y, x + wide, y + size * 1.1)
        inside = spot[0] >= box[0] and spot[1] >= box[1] and spot[2] <= box[2] and spot[3] <= box[3]
        if not inside or any(_meet(spot, other) for other in (*taken, *cores)):
            continue
        if any(_crosses(leader, spot) for leader in leaders):
            continue
        end = (min(max(cx, spot[0]), spot[2]), min(max(cy, spot[1]), spot[3]))
        if ring > 1 and any(_crosses((cx, cy, *end), other) for other in taken):
            continue
        return spot
    return None


def _meet(a: Rect, b: Rect) -> bool:
    return a[0] < b[2] + 1 and b[0] < a[2] + 1 and a[1] < b[3] + 1 and b[1] < a[3] + 1


def _crosses(segment: tuple[float, float, float, float], box: Rect) -> bool:
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
