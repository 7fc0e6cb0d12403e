"""Small rows merged into boxes: a convolution with the norm and the activation that belong to it."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.drawing.kinds import carries, is_main, kind
from convatlas.drawing.view import Box, Item, Part


def boxed(items: Sequence[tuple[str, Part | Item]]) -> list[tuple[str, Item]]:
    """Parts in a row merged into boxes: convolution, norm, activation, dropout; or norm, activation, convolution.

    Which of the two is told by what comes first: a row that begins with a norm or an activation is pre-activated.
    """
    out: list[tuple[str, Item]] = []
    waiting: list[tuple[str, Part]] = []  # strips that no box has taken yet
    ahead = False
    for row, item in items:
        if isinstance(item, Part) and not is_main(item.operation):
            last = out[-1][1] if out and not waiting and not ahead else None
            if last is not None and _rides(last, item):
                assert isinstance(last, Box)
                out[-1] = (row, Box((*last.parts, item), last.main))
            else:
                waiting.append((row, item))
            continue
        box = item if isinstance(item, Box) else Box((item,), 0) if isinstance(item, Part) else None
        if box is not None and carries(box.parts[box.main].operation):
            ahead = ahead or any(kind(part.operation) in {"norm", "activation"} for _, part in waiting)
            out.append((row, Box((*(part for _, part in waiting), *box.parts), len(waiting) + box.main)))
        else:
            out += _settle(out, waiting)
            out.append((row, box or item))  # type: ignore[arg-type]
            ahead = False
        waiting = []
    return out + _settle(out, waiting)


def _settle(out: list[tuple[str, Item]], waiting: Sequence[tuple[str, Part]]) -> list[tuple[str, Item]]:
    """Strips with no box behind them: they ride on the box before, or share one thin box of their own."""
    loose = list(waiting)
    while loose and out and _rides(out[-1][1], loose[0][1]):
        last = out[-1][1]
        assert isinstance(last, Box)
        row, part = loose.pop(0)
        out[-1] = (row, Box((*last.parts, part), last.main))
    return [(loose[-1][0], Box(tuple(part for _, part in loose), -1))] if loose else []


def _rides(item: Item, part: Part) -> bool:
    """Whether a strip belongs behind this item: each kind once, a norm not behind an activation, no flatten."""
    if not isinstance(item, Box) or item.main < 0 or not carries(item.parts[item.main].operation):
        return False
    behind = [kind(p.operation) for p in item.parts[item.main + 1 :]]
    own = kind(part.operation)
    return own not in behind and own != "reshape" and not (own == "norm" and bool(behind))
