"""Axes of the plots: scales, round ticks, a frame with a quiet grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from convatlas.drawing import markup
from convatlas.drawing.text import text_width

_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Scale:
    """A map from values to places on the paper, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Place of `value`; it may lie outside [start, end]."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 6) -> list[float]:
        """Round values within the scale, about `count` of them."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, count)


def fit(values: Iterable[float], *, log: bool = False, margin: float = 0.05) -> tuple[float, float]:
    """Low and high end of an axis that holds all finite `values`, with a margin on each side."""
    known = [value for value in values if math.isfinite(value) and (not log or value > 0)]
    low, high = (min(known), max(known)) if known else (1.0, 10.0) if log else (0.0, 1.0)
    if log:
        low, high = (low / 2, high * 2) if low == high else (low, high)
        room = (high / low) ** margin
        return low / room, high * room
    if low == high:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    room = (high - low) * margin
    # An axis of counts or errors should not dip below zero only because of its margin.
    return (0.0 if 0 <= low < (high - low) * 0.25 else low - room), high + room


def _ticks(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / max(count, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [factor * 10.0**power for power in decades for factor in factors]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) >= 4:
            return found
    return found or [low, high]


def show_value(value: float, digits: int = 3) -> str:
    """A value for people, with k, M, G or T from ten thousand on: 1500, 11.7M, 0.25, 1e-05."""
    size = abs(value)
    for unit, letter in _THOUSANDS:
        if size >= unit and size >= 1e4:
            text = f"{value / unit:.{max(digits, len(str(round(size / unit))))}g}{letter}"
            break
    else:
        text = f"{value:.{max(digits, len(str(round(size))))}g}"
    return text.replace("-", "−", 1) if value < 0 else text


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels of a row of ticks, with as many digits as keep neighbors apart."""
    for digits in range(3, 9):
        labels = [show_value(value, digits) for value in values]
        if len(set(labels)) == len(labels):
            break
    return labels


@dataclass(frozen=True)
class Frame:
    """The plot's inner rectangle and its two scales."""

    x: Scale
    y: Scale

    def draw(self, x_label: str = "", y_label: str = "", size: float = markup.SMALL) -> str:
        """Grid, ticks, tick labels and axis labels."""
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        parts = []
        x_ticks = self.x.ticks(max(2, int((right - left) / 90)))
        y_ticks = self.y.ticks(max(2, int((bottom - top) / 50)))
        y_labels = tick_labels(y_ticks)
        for value, label in zip(y_ticks, y_labels, strict=True):
            place = self.y(value)
            parts.append(markup.line(left, place, right, place, "s-faint"))
            parts.append(markup.text(left - 7, place + size * 0.35, label, size, "end", "muted"))
        end = -math.inf
        for value, label in zip(x_ticks, tick_labels(x_ticks), strict=True):
            place, half = self.x(value), text_width(label, size) / 2
            parts.append(markup.line(place, bottom, place, bottom + 4, "s-muted"))
            if place - half > end + 4:  # a log axis may crowd its labels: the tick stays, the label goes
                parts.append(markup.text(place, bottom + 6 + size, label, size, color="muted"))
                end = place + half
        parts.append(markup.line(left, bottom, right, bottom, "s-muted"))
        if x_label:
            parts.append(markup.text((left + right) / 2, bottom + 12 + size * 2.1, x_label, markup.NORMAL))
        if y_label:
            room = max((text_width(label, size) for label in y_labels), default=0)
            parts.append(
                markup.text(left - 16 - room, (top + bottom) / 2, y_label, markup.NORMAL, turned=True)
            )
        return "\n".join(parts)


def left_margin(scale: Scale, y_label: str, height: float, size: float = markup.SMALL) -> float:
    """Room to the left of the frame for the tick labels of a vertical `scale` and its label."""
    labels = tick_labels(scale.ticks(max(2, int(height / 50))))
    widest = max((text_width(label, size) for label in labels), default=0)
    return widest + 16 + (markup.NORMAL + 6 if y_label else 0)


def legend(
    entries: Sequence[tuple[str, str] | tuple[str, str, bool]],
    x: float,
    y: float,
    width: float,
    size: float = markup.NORMAL,
) -> tuple[str, float]:
    """A legend of (label, color name[, hollow]) in rows no wider than `width`: markup and height used."""
    parts, place, row = [], x, 0
    step = size + 7
    for label, color, *hollow in entries:
        wide = 18 + text_width(label, size) + 16
        if place > x and place + wide > x + width:
            place, row = x, row + 1
        top = y + row * step
        parts.append(
            markup.rect(
                place, top + 2, 12, 8, f"f-{color} s-{color}", 2, fill_opacity="0.15" if any(hollow) else None
            )
        )
        parts.append(markup.text(place + 18, top + 10, label, size, "start"))
        place += wide
    return "\n".join(parts), (row + 1) * step if entries else 0.0
