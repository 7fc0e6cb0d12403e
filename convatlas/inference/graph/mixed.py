"""A recording in bf16 but for some of its layers, with the casts between written out."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import fx

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording
from convatlas.inference.graph.tail import logit_layers

_LAYERS = frozenset({Kind.CONV, Kind.LINEAR})
# what keeps the type that it is given; anything else between layers is computed in float32
_EITHER = frozenset(
    {Kind.RELU, Kind.RELU6, Kind.MAX_POOL, Kind.CONCAT, Kind.RESHAPE, Kind.PERMUTE, Kind.SLICE, Kind.PAD, Kind.SHUFFLE}
)  # fmt: skip


def mix(recording: Recording, exact: Collection[str], original: Recording) -> Recording:
    """A copy whose layers compute in bf16, but for those named, which have the original's weights and float32.

    What a float32 layer reads is computed in float32, too: rounding it would be the error that it is spared.
    So is a linear layer that gives the logits, in whose 8 bits classes would tie. Takes and answers float32.
    """
    mixed = recording.copy()
    exact = set(exact) | logit_layers(recording)
    _take_back(mixed, exact, original)
    low: dict[fx.Node, bool] = {}
    wants = _wanted(mixed, exact)
    for node in list(mixed.graph.nodes):
        kind = node.meta.get("kind")
        if node.op == "output":
            _cast(mixed, node, node.args[0], False, low)
        elif kind in _LAYERS and mixed.constant(node.args[1]) is not None:
            small = node.name not in exact
            for i, a in enumerate(node.args if small else ()):
                value = mixed.constant(a)
                if value is not None:
                    node.update_arg(i, mixed.add_constant(value.bfloat16(), node))
            _cast(mixed, node, node.args[0], small, low)
            low[node] = small
        elif kind is not None:
            inputs = [a for a in node.all_input_nodes if a.op != "get_attr"]
            small = kind in _EITHER and node not in wants and all(low.get(a, False) for a in inputs)
            for a in inputs:
                _cast(mixed, node, a, small, low)
            low[node] = small
    mixed.finish()
    return mixed


def restored(recording: Recording, exact: Collection[str], original: Recording) -> Recording:
    """A copy whose layers of these names have the original's weights and biases."""
    result = recording.copy()
    _take_back(result, exact, original)
    result.finish()
    return result


def _take_back(result: Recording, exact: Collection[str], original: Recording) -> None:
    plain = {n.name: n for n in original.graph.nodes if n.name in exact}
    for node in result.nodes(*_LAYERS):
        if node.name in plain:
            values = [original.constant(a) for a in plain[node.name].args[1:]]
            constants = [v if v is None else result.add_constant(v, node) for v in values]
            node.args = (node.args[0], *constants)


def layer_inputs(recording: Recording, names: Collection[str]) -> set[str]:
    """The layers named, and those whose results they read with nothing but light operations between."""
    wants = _wanted(recording, set(names))
    return set(names) | {n.name for n in wants if n.meta.get("kind") in _LAYERS}


def _wanted(recording: Recording, exact: set[str]) -> set[fx.Node]:
    """Nodes whose results exact layers read: back to the next layers, these included."""
    found: set[fx.Node] = set()
    todo = [n.args[0] for n in recording.graph.nodes if n.name in exact]
    while todo:
        node = todo.pop()
        if not isinstance(node, fx.Node) or node in found:
            continue
        found.add(node)
        if node.meta.get("kind") not in _LAYERS:
            todo += node.all_input_nodes
    return found


def _cast(r: Recording, reader: fx.Node, value: object, small: bool, low: dict[fx.Node, bool]) -> None:
    """Let `reader` read `value` in bf16 (small) or in float32; one cast serves all readers."""
    if not isinstance(value, fx.Node) or low.get(value, False) == small:
        return
    name = "bfloat16" if small else "float"
    after = [u for u in value.users if u.op == "call_method" and u.target == name and u.meta.get("cast")]
    if not after:
        with r.graph.inserting_after(value):
            cast = r.graph.call_method(name, (value,))
        cast.meta.update(
            value.meta,
            kind=Kind.OTHER,
            name=name,
            cast=True,
            dtype=torch.bfloat16 if small else torch.float32,
        )
        low[cast] = small
        after = [cast]
    reader.replace_input_with(value, after[0])
