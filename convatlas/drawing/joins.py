"""Where branches part and meet: places side by side, the concat bar, the comb of a dense block."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.drawing.scene import Bar, Dot, Layout, Text, Wire
from convatlas.drawing.text import text_width

SMALL = 10.0
LANE = 13.0  # from a body to the wire that runs beside it
_TOOTH = 7.0  # between the lanes of a comb


def join(out: Layout, u: float, low: float, high: float, word: str) -> None:
    """End a layout at a bar from `low` to `high` across the flow, wide enough for its word and for the axis."""
    half = text_width(word, SMALL) / 2 + 8
    middle = (low + high) / 2
    low, high = min(low, middle - half, -half), max(high, middle + half, half)
    text = Text(u + 8.0, (low + high) / 2, word, SMALL)
    out.things.append(Bar(u, low, u + 16.0, high, text))
    out.left, out.right = max(out.left, -low), max(out.right, high)
    out.length = u + 16.0


def side_by_side(parts: Sequence[Layout], gap: float) -> list[float]:
    """Axes of `parts` beside each other, centered on 0; one that nearly meets the axis is moved onto it."""
    places, v = [], 0.0
    for index, part in enumerate(parts):
        left, right = max(part.left, 6.0), max(part.right, 6.0)
        v += (gap if index else 0.0) + left
        places.append(v)
        v += right
    middle = v / 2
    places = [place - middle for place in places]
    nearest = min(places, key=abs)
    if 0 < abs(nearest) < 14:
        places = [place - nearest for place in places]
    return places


def comb(bodies: Sequence[Layout], word: str) -> Layout:
    """The steps of a dense block: each output goes down a lane of its own, each entry collects the lanes before it.

    A newer lane lies further in, so that no output crosses a lane; every crossing of an entry is a junction.
    """
    out = Layout()
    right = max(body.right for body in bodies) + LANE
    lanes = [right + (len(bodies) - index) * _TOOTH for index in range(len(bodies) + 1)]
    u, begins = 0.0, []
    for index, body in enumerate(bodies):
        entry = u + 16.0
        begins.append(entry)
        out.things.append(Wire(((u, 0.0), (u + 6.0, 0.0), (u + 6.0, lanes[index]), (entry, lanes[index]))))
        out.things.append(Wire(((entry, lanes[0]), (entry, 0.0), (entry + 12, 0.0)), arrow=body.solid))
        out.things += [Dot(entry, lanes[source]) for source in range(1, index + 1)]
        out.add(entry + 12, 0.0, body)
        u = entry + 12 + body.length
    bar = u + 26.0
    out.things.append(Wire(((u, 0.0), (u + 6.0, 0.0), (u + 6.0, lanes[-1]), (bar, lanes[-1])), arrow=True))
    for begin, lane in zip(begins, lanes, strict=False):
        out.things.append(Wire(((begin, lane), (bar, lane)), arrow=True))
    join(out, bar, -max(body.left for body in bodies), lanes[0] + 8, word)
    return out
