"""Concatenations that repeat each other's pieces, as DenseNet's do, in one piece of memory.

Step k of a dense block reads all that came before it, which torch joins anew each time, and then scales, shifts and
clamps in a copy. Here each piece is written once, behind the others; a step reads the channels that are there so far
through its scale, shift and ReLU (the affine kernel of convatlas/modules/norm_kernels.c).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx

from convatlas.inference.graph import Kind, Recording
from convatlas.modules.norm import affine

_CLAMPS = {Kind.RELU: (1, math.inf), Kind.RELU6: (2, 6.0)}


def grow(recording: Recording) -> set[str]:
    """Rewrite in place; names of the float32 constants that the new operations read."""
    names: set[str] = set()
    for chain in _chains(recording):
        _share(recording, chain, names)
    return names


def _chains(r: Recording) -> list[list[fx.Node]]:
    """Concatenations of channels, each with the pieces of the one before it first; all but the last read by AFFINE alone."""
    chains: list[list[fx.Node]] = []
    for node in r.nodes(Kind.CONCAT):
        if node.kwargs["dim"] != 1 or len(node.meta["shape"]) != 4:
            continue
        pieces = list(node.args[0])
        for chain in chains:
            before = list(chain[-1].args[0])
            if pieces[: len(before)] == before and all(_affine_of(r, u, chain[-1]) for u in chain[-1].users):
                chain.append(node)
                break
        else:
            chains.append([node])
    return [chain for chain in chains if len(chain) > 1]


def _affine_of(r: Recording, node: fx.Node, x: fx.Node) -> bool:
    """Whether a node is a scale and shift of x by constants."""
    return (
        node.meta.get("kind") is Kind.AFFINE
        and node.args[0] is x
        and all(r.constant(a) is not None for a in node.args[1:])
    )


def _share(r: Recording, chain: Sequence[fx.Node], names: set[str]) -> None:
    total = chain[-1].meta["shape"][1]
    memory: fx.Node | None = None
    done = at = 0
    for joined in chain:
        pieces = tuple(joined.args[0][done:])
        with r.graph.inserting_before(joined):
            memory = r.graph.call_function(_extend, (memory, pieces, at, total))
        memory.meta.update(chain[-1].meta, kind=Kind.OTHER)  # it shares its memory with the next
        done, at = done + len(pieces), joined.meta["shape"][1]
        for reader in list(joined.users):
            if _affine_of(r, reader, joined):
                _read_through(r, reader, memory, names)
        joined.replace_all_uses_with(memory)  # of the last alone: what is left there reads all of it
        r.graph.erase_node(joined)


def _read_through(r: Recording, reader: fx.Node, memory: fx.Node, names: set[str]) -> None:
    """Put the kernel in the place of an AFFINE, and of the clamp after it."""
    clamp, last = (0, math.inf), reader
    after = next(iter(reader.users)) if len(reader.users) == 1 else None
    if after is not None and after.meta.get("kind") in _CLAMPS:
        clamp, last = _CLAMPS[after.meta["kind"]], after
    constants = []
    with r.graph.inserting_before(reader):
        for part, argument in zip(("scale", "shift"), reader.args[1:], strict=True):
            name, value = f"grown_{part}_{reader.name}", r.constant(argument)
            assert value is not None
            r.module.register_buffer(name, value.detach().to(torch.float32).contiguous())
            names.add(name)
            constants.append(r.graph.get_attr(name))
        new = r.graph.call_function(affine, (memory, *constants, clamp))
    new.meta.update(last.meta)
    new.meta["kind"] = Kind.RELU  # as far as others ask: memory of its own
    last.replace_all_uses_with(new)
    for gone in dict.fromkeys((last, reader)):
        r.graph.erase_node(gone)


def _extend(memory: Tensor | None, pieces: Sequence[Tensor], at: int, total: int) -> Tensor:
    """Write pieces (N, c, H, W) behind channel `at` of memory (N, total, H, W), which is made where there is none."""
    if memory is None:
        n, _, h, w = pieces[0].shape
        memory = torch.empty((n, total, h, w), dtype=pieces[0].dtype, memory_format=torch.channels_last)
    for piece in pieces:
        memory[:, at : at + piece.shape[1]] = piece
        at += piece.shape[1]
    return memory
