"""Activations moved back to the convolutions that can take them along."""

from __future__ import annotations

from collections.abc import Collection

from torch import fx

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording

# the larger of two stays the larger: the activation of the largest is the largest of the activations
RISING = frozenset({Kind.RELU, Kind.RELU6, Kind.HARDSIGMOID, Kind.SIGMOID, Kind.TANH})


def towards_convolutions(recording: Recording, kinds: Collection[Kind]) -> None:
    """Move activations in front of the concatenation or the max-pool that they stand behind, where convolutions wait.

    For engines whose convolutions compute an activation for nothing. Where it is a pass of its own, it has less to do
    behind a pool.
    """
    for node in recording.nodes(*kinds):
        below = node.args[0]
        if not isinstance(below, fx.Node) or len(below.users) != 1:
            continue
        several = below.meta.get("kind") is Kind.CONCAT
        if not several and not (below.meta.get("kind") is Kind.MAX_POOL and node.meta["kind"] in RISING):
            continue
        parts = list(below.args[0]) if several else [below.args[0]]
        if any(n.meta.get("kind") is not Kind.CONV or len(n.users) != 1 for n in parts):
            continue
        kind = node.meta["kind"]
        recording.replace(node, below)
        moved = [recording.insert(kind, (n,), {}, below, n.meta["shape"]) for n in parts]
        below.args = (moved if several else moved[0], *below.args[1:])
