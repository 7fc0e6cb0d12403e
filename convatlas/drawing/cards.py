"""The card around a block: its name, how many rows it stands for, and room for the cards stacked behind it."""

from __future__ import annotations

from convatlas.drawing.scene import Frame, Layout, Text, Wire
from convatlas.drawing.text import text_width
from convatlas.drawing.view import Card

NAME, COUNT = 10.0, 11.5  # sizes of a card's two texts
STACK = 6.0  # how far the cards behind look out
_HEAD = 20.0
_MARGIN = 10.0


def around(card: Card, inner: Layout, *, horizontal: bool) -> Layout:
    """`inner` on a card: the name above it, the count at the other end of the same line."""
    count = f"× {card.count}" if card.count > 1 else ""
    name_width, count_width = text_width(card.name, NAME), text_width(count, COUNT, bold=True)
    out = Layout()
    if horizontal:
        length = max(inner.length + 24, name_width + count_width + (30 if count else 16))
        begin = (length - inner.length) / 2
        out.add(begin, 0.0, inner)
        out.left, out.right = inner.left + _MARGIN, inner.right + _MARGIN + _HEAD
        high = out.right - 12
        texts = [
            Text(8.0, high, card.name, NAME, "start", "muted", across=False),
            Text(length - 8, high, count, COUNT, "end", bold=True, across=False),
        ]
    else:
        begin, length = _HEAD + 6, _HEAD + inner.length + 14
        out.add(begin, 0.0, inner)
        # The wire comes in through the head, between the two texts: both must leave the axis free.
        out.left = max(inner.left + _MARGIN, name_width + 14)
        out.right = max(inner.right + _MARGIN, count_width + 14 if count else 0.0)
        texts = [
            Text(11.0, -out.left + 8, card.name, NAME, "start", "muted"),
            Text(11.0, out.right - 8, count, COUNT, "end", bold=True),
        ]
    out.length = length + (STACK if count else 0.0)
    out.things.append(Wire(((0.0, 0.0), (begin, 0.0)), arrow=inner.solid))
    out.things.append(Wire(((begin + inner.length, 0.0), (out.length, 0.0))))
    frame = Frame(0.0, -out.left, length, out.right, card, tuple(t for t in texts if t.content))
    out.things.insert(0, frame)
    if count:
        out.left, out.right = (
            out.left + (STACK if horizontal else 0.0),
            out.right + (0.0 if horizontal else STACK),
        )
    return out
