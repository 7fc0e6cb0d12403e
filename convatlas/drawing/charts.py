"""Line chart and grouped bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from convatlas.drawing import markup
from convatlas.drawing.axes import Frame, Scale, fit, left_margin, legend, show_value
from convatlas.drawing.text import shorten, text_width, wrap
from convatlas.drawing.theme import SERIES, Theme

Point = tuple[float, float] | tuple[float, float, float]
# a value, or one with the lowest and the highest that were seen
Bar = float | tuple[float, float, float]

_DASHES = (None, "7 4", "2 4", "9 3 2 3")


def _heading(title: str, width: float) -> tuple[str, float]:
    """The title's lines, and the height they take."""
    lines = wrap(title, width - 24, markup.LARGE, bold=True) if title else []
    parts = [
        markup.text(12, 22 + index * 18, line, markup.LARGE, "start", bold=True)
        for index, line in enumerate(lines)
    ]
    return "\n".join(parts), 10.0 + 18 * len(lines) + (6 if lines else 0)


def line_chart(
    series: Mapping[str, Sequence[Point]],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
    width: float = 640,
    height: float = 400,
    theme: Theme = "auto",
) -> str:
    """Curves of named series of points (x, y) or (x, y, spread), as an SVG.

    A spread is drawn as a band of y - spread to y + spread. A point that is not finite (or not positive on a
    log axis) breaks its curve. No points at all gives an empty frame that says so.
    """
    shown = {
        name: [_kept(point, log_x=log_x, log_y=log_y) for point in points] for name, points in series.items()
    }
    known = [point for points in shown.values() for point in points if point is not None]
    head, top = _heading(title, width)
    entries = [
        (shorten(name, width - 60, markup.NORMAL), SERIES[i % len(SERIES)]) for i, name in enumerate(shown)
    ]
    keys, used = legend(entries if len(entries) > 1 else [], 12, top, width - 24)
    top += used + 8
    bottom = height - (46 if x_label else 28)
    y_low, y_high = y_range or fit(
        [edge for x, y, spread in known for edge in (y - spread, y + spread)] or [], log=log_y
    )
    y = Scale(y_low, y_high, bottom, top, log_y)
    left = left_margin(y, y_label, bottom - top) + 4
    x_low, x_high = fit([point[0] for point in known], log=log_x, margin=0)
    frame = Frame(Scale(x_low, x_high, left, width - 20, log_x), y)
    parts = [head, keys, frame.draw(x_label, y_label)]
    for index, (name, points) in enumerate(shown.items()):
        color, dash = SERIES[index % len(SERIES)], _DASHES[index // len(SERIES) % len(_DASHES)]
        curves = "".join(_curve(run, frame, color, dash) for run in _runs(points))
        parts.append(markup.element("g", markup.title(name) + curves))
    if not known:
        parts.append(markup.text((left + width - 20) / 2, (top + bottom) / 2, "no data", color="muted"))
    description = "; ".join(f"{name}: {_summary(points)}" for name, points in shown.items())
    return markup.document(
        width, height, "\n".join(part for part in parts if part), title or y_label, description, theme
    )


def _kept(point: Point, *, log_x: bool, log_y: bool) -> tuple[float, float, float] | None:
    x, y, spread = (*point, 0.0)[:3]
    good = math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    return (
        (x, y, spread if math.isfinite(spread) and (y - spread > 0 or not log_y) else 0.0) if good else None
    )


def _runs(points: Sequence[tuple[float, float, float] | None]) -> list[list[tuple[float, float, float]]]:
    """`points` cut where one is missing."""
    runs: list[list[tuple[float, float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _curve(run: Sequence[tuple[float, float, float]], frame: Frame, color: str, dash: str | None) -> str:
    places = [(frame.x(x), frame.y(y)) for x, y, _ in run]
    band = ""
    if any(spread for _, _, spread in run):
        upper = [(frame.x(x), frame.y(y + spread)) for x, y, spread in run]
        lower = [(frame.x(x), frame.y(y - spread)) for x, y, spread in reversed(run)]
        band = markup.element(
            "polygon", points=_points(upper + lower), class_=f"f-{color}", fill_opacity="0.18"
        )
    if len(places) == 1:
        return band + markup.element("circle", cx=places[0][0], cy=places[0][1], r=3, class_=f"f-{color}")
    return band + markup.element(
        "polyline", points=_points(places), class_=f"line s-{color}", stroke_width=1.8, stroke_dasharray=dash
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{markup.number(x)},{markup.number(y)}" for x, y in places)


def _summary(points: Sequence[tuple[float, float, float] | None]) -> str:
    known = [point for point in points if point is not None]
    return f"{len(known)} points, last {show_value(known[-1][1], 4)}" if known else "no points"


def bars(
    groups: Mapping[str, Mapping[str, Bar]],
    *,
    title: str = "",
    x_label: str = "",
    log_x: bool = False,
    width: float = 640,
    theme: Theme = "auto",
) -> str:
    """Horizontal bars: for each group its named values, a value alone or (value, low, high) with a whisker.

    The same name has the same color in every group; each bar carries its value. Values that are not finite
    are left out and say "n/a".
    """
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    head, top = _heading(title, width)
    several = len(names) > 1
    entries = [(shorten(n, width - 60, markup.NORMAL), SERIES[i % len(SERIES)]) for i, n in enumerate(names)]
    keys, used = legend(entries if several else [], 12, top, width - 24)
    top += used + 6
    thick, gap = (13.0, 12.0) if several else (17.0, 9.0)
    labels = [shorten(group, width * 0.35, markup.NORMAL) for group in groups]
    left = 24 + max((text_width(label, markup.NORMAL) for label in labels), default=0)
    flat = [_bar(value) for values in groups.values() for value in values.values()]
    low, high = fit(
        [most for _, _, most in flat] + ([v for v, _, _ in flat] if log_x else [0.0]), log=log_x, margin=0.02
    )
    room = max((text_width(_bar_label(*bar), markup.SMALL) for bar in flat), default=0) + 14
    rows = sum(len(values) for values in groups.values())
    bottom = top + rows * thick + len(groups) * gap
    height = bottom + (46 if x_label else 28)
    frame = Frame(Scale(low, high, left, width - room - 8, log_x), Scale(0, 1, bottom, top))
    parts = [head, keys]
    for value in frame.x.ticks(5):
        place = frame.x(value)
        parts.append(markup.line(place, top, place, bottom, "s-faint"))
        parts.append(markup.text(place, bottom + 16, show_value(value), markup.SMALL, color="muted"))
    place = top + gap / 2
    zero = frame.x(low if log_x else max(0.0, low))
    for (group, values), label in zip(groups.items(), labels, strict=True):
        middle = place + len(values) * thick / 2 + markup.NORMAL * 0.35
        parts.append(markup.text(left - 10, middle, label, markup.NORMAL, "end"))
        for name, bar in values.items():
            color = SERIES[names.index(name) % len(SERIES)]
            parts.append(_draw_bar(frame.x, zero, place, thick, color, _bar(bar), f"{group}, {name}"))
            place += thick
        place += gap
    parts.append(markup.line(zero, top, zero, bottom, "s-muted"))
    if x_label:
        parts.append(markup.text((left + width - room) / 2, bottom + 36, x_label, markup.NORMAL))
    return markup.document(
        width, height, "\n".join(part for part in parts if part), title or x_label, theme=theme
    )


def _bar(value: Bar) -> tuple[float, float, float]:
    return value if isinstance(value, tuple) else (float(value), float(value), float(value))


def _bar_label(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "n/a"
    return show_value(value, 4) + (f" [{show_value(low, 3)} – {show_value(high, 3)}]" if low < high else "")


def _draw_bar(
    x: Scale, zero: float, top: float, thick: float, color: str, bar: tuple[float, float, float], about: str
) -> str:
    value, least, most = bar
    label = _bar_label(*bar)
    middle = top + thick / 2
    if not math.isfinite(value):
        return markup.text(zero + 6, middle + 3.5, label, markup.SMALL, "start", "muted")
    end = x(value)
    parts = [
        markup.title(f"{about}: {label}"),
        markup.rect(min(zero, end), top + 1, max(abs(end - zero), 0.5), thick - 2, f"f-{color}", 1.5),
    ]
    tip = max(end, zero)
    if least < most:
        low, high = x(max(least, x.low) if x.log else least), x(most)
        tip = max(tip, high)
        parts.append(markup.line(low, middle, high, middle, "s-ink"))
        parts += [markup.line(edge, middle - 3, edge, middle + 3, "s-ink") for edge in (low, high)]
    parts.append(markup.text(tip + 6, middle + 3.5, label, markup.SMALL, "start"))
    return markup.element("g", "".join(parts))
