"""The end of a network in float32, whatever comes before: bf16 has 8 bits, and logits of 20 to 30 would tie.

The mean over a map and the last linear layer cost next to nothing; rounding their results to bf16 is what makes two
classes equal. Everything before keeps its precision.
"""

from __future__ import annotations

from torch import fx

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording

_LIGHT = frozenset({Kind.RESHAPE, Kind.SOFTMAX, Kind.GLOBAL_AVG, Kind.AFFINE})


def logit_layers(recording: Recording) -> set[str]:
    """The name of the linear layer that gives the logits; empty where it is something else."""
    [output] = [node for node in recording.graph.nodes if node.op == "output"]
    node = output.args[0]
    while isinstance(node, fx.Node) and node.meta.get("kind") in _LIGHT:
        node = node.args[0]
    last = isinstance(node, fx.Node) and node.meta.get("kind") is Kind.LINEAR
    return {node.name} if isinstance(node, fx.Node) and last else set()


def end_in_float32(recording: Recording) -> set[str]:
    """Cast to float32 before the light end of the network; the names of the constants that stay float32."""
    [output] = [node for node in recording.graph.nodes if node.op == "output"]
    node, end = output.args[0], None
    kept: set[str] = set()
    linear = False
    while isinstance(node, fx.Node) and len(node.users) == 1:
        kind = node.meta.get("kind")
        if kind not in _LIGHT and (kind is not Kind.LINEAR or linear):
            break
        linear = linear or kind is Kind.LINEAR
        kept |= {str(a.target) for a in node.args[1:] if isinstance(a, fx.Node) and a.op == "get_attr"}
        end, node = node, node.args[0]
    if end is None or not isinstance(node, fx.Node):
        return set()
    with recording.graph.inserting_before(end):
        cast = recording.graph.call_method("float", (node,))
    cast.meta.update(node.meta, kind=Kind.OTHER, name="float")
    end.update_arg(0, cast)
    return kept
