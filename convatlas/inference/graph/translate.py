"""One call into torch, translated to the vocabulary of a recording.

Torch reaches the same operation by many names (`x + y`, `x.add_(y)`, `torch.add`); only the bare name counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.rules import RULES, Translation
from convatlas.inference.graph.seen import NotRecordable, Seen


def translate(seen: Seen, outputs: list[Tensor]) -> Iterator[Translation]:
    """One translation an output; kind None means that the output has the values of its first argument."""
    handler = RULES.get(seen.name)
    found = handler(seen, outputs) if handler else None
    if found is None:
        if len(outputs) > 1:
            raise NotRecordable(f"{seen.name}() gives {len(outputs)} tensors")
        if seen.name in {"get", "set", "setitem"} or "out" in seen.kwargs:
            raise NotRecordable(f"a tensor is changed or reached through {seen.name}()")
        found = [(Kind.OTHER, seen.name, seen.args, seen.kwargs)]
    yield from found
