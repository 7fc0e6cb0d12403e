"""Depth as the papers count it: layers with weights on the longest path; projections and gates left out."""

from __future__ import annotations

from convatlas.define import Concat, Elaborated, Gate, Operation, Placed, Residual, Separable


def depth(elaborated: Elaborated) -> int:
    """Convolutions and linear layers on the longest path of the main network.

    A projection shortcut and a squeeze-and-excite gate count for nothing, as in the papers of ResNet and
    SENet; a `Separable` counts once, as in Xception's.
    """
    return _depth(elaborated.body, {})


def _depth(placed: Placed, known: dict[int, int]) -> int:
    count = known.get(id(placed))
    if count is None:
        count = known[id(placed)] = _count(placed, known)
    return count


def _count(placed: Placed, known: dict[int, int]) -> int:
    node = placed.node
    match node:
        case Operation():
            return int(node.counts_as_layer)
        case Separable():
            return 1
        case Gate():
            return 0
        case Concat():
            return max(_depth(child, known) for _, child in placed.children)
        case Residual():
            return sum(_depth(child, known) for name, child in placed.children if name != "shortcut")
    return sum(_depth(child, known) for _, child in placed.children)
