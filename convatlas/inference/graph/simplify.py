"""Rewrites that change no value: constants into convolutions, pooling before pointwise convolutions.

Each works on a `Recording` in place and says how often it applied. Values stay equal up to rounding; the
check against the model itself is the judge.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording


def simplify(recording: Recording) -> dict[str, int]:
    """Apply all of them; the counts by name."""
    counts = {
        "scales made affine": scales_to_affine(recording),
        "batch norms folded backwards": fold_back(recording),
        "batch norms folded forwards": fold_forward(recording),
        "poolings moved before convolutions": pool_first(recording),
    }
    recording.finish()
    return {name: count for name, count in counts.items() if count}


def scales_to_affine(recording: Recording) -> int:
    """X * s and x + b with one constant a channel, or one for all, become AFFINE, so that folding sees them."""
    count = 0
    for node in recording.nodes(Kind.MUL, Kind.ADD, Kind.SUB, Kind.DIV):
        kind, (x, other) = node.meta["kind"], node.args
        if not isinstance(x, fx.Node) or recording.constant(x) is not None:
            if kind in {Kind.SUB, Kind.DIV}:
                continue
            x, other = other, x
        if not isinstance(x, fx.Node) or recording.constant(x) is not None or len(x.meta["shape"]) != 4:
            continue
        value = _per_channel(recording, other, x.meta["shape"][1])
        if value is None:
            continue
        ones, zeros = torch.ones_like(value), torch.zeros_like(value)
        scale, shift = {
            Kind.MUL: (value, zeros), Kind.DIV: (1 / value, zeros), Kind.ADD: (ones, value), Kind.SUB: (ones, -value)
        }[kind]  # fmt: skip
        _new_affine(recording, node, x, scale, shift)
        count += 1
    return count


def fold_back(recording: Recording) -> int:
    """AFFINE after a convolution (or after another AFFINE), read by nobody else: into its weights."""
    count = 0
    for node in recording.nodes(Kind.AFFINE):
        before = node.args[0]
        scale, shift = (recording.constant(a) for a in node.args[1:])
        if not isinstance(before, fx.Node) or len(before.users) != 1 or scale is None or shift is None:
            continue
        if before.meta.get("kind") is Kind.AFFINE:
            first_scale, first_shift = (recording.constant(a) for a in before.args[1:])
            assert first_scale is not None and first_shift is not None
            _new_affine(recording, node, before.args[0], first_scale * scale, first_shift * scale + shift)
        elif (
            before.meta.get("kind") is Kind.CONV
            and (weight := recording.constant(before.args[1])) is not None
        ):
            bias = recording.constant(before.args[2])
            folded = weight.double() * scale.double().view(-1, 1, 1, 1)
            moved = shift.double() + (0.0 if bias is None else bias.double() * scale.double())
            _new_conv(recording, before, node, before.args[0], folded, moved)
        else:
            continue
        count += 1
    return count


def fold_forward(recording: Recording) -> int:
    """AFFINE before a convolution without padding, read by nobody else: into its weights.

    With padding the border would see the wrong zero, so it stays.
    """
    count = 0
    for node in recording.nodes(Kind.CONV):
        before = node.args[0]
        weight = recording.constant(node.args[1])
        if (
            not isinstance(before, fx.Node)
            or before.meta.get("kind") is not Kind.AFFINE
            or len(before.users) != 1
        ):
            continue
        if weight is None or any(node.kwargs["padding"]):
            continue
        scale, shift = (recording.constant(a) for a in before.args[1:])
        assert scale is not None and shift is not None
        bias = recording.constant(node.args[2])
        groups = int(node.kwargs["groups"])
        # the input channels of output map i: group i // (width / groups)
        per_group = weight.shape[1]
        group = torch.arange(weight.shape[0]) // (weight.shape[0] // groups)
        inputs = group[:, None] * per_group + torch.arange(per_group)[None, :]
        weight = weight.double()
        moved = (weight.sum((2, 3)) * shift.double()[inputs]).sum(1) + (
            0.0 if bias is None else bias.double()
        )
        _new_conv(
            recording, node, node, before.args[0], weight * scale.double()[inputs][:, :, None, None], moved
        )
        count += 1
    return count


def pool_first(recording: Recording) -> int:
    """A pointwise convolution followed by non-overlapping mean pooling: pool first, and convolve a quarter.

    Both are linear and the pooling mixes no channels, so they commute (DenseNet's transitions).
    """
    count = 0
    for pool in recording.nodes(Kind.AVG_POOL):
        conv = pool.args[0]
        if not isinstance(conv, fx.Node) or conv.meta.get("kind") is not Kind.CONV or len(conv.users) != 1:
            continue
        weight = recording.constant(conv.args[1])
        plain = not any(pool.kwargs["padding"]) and not pool.kwargs["ceil"] and pool.kwargs["divisor"] is None
        pointwise = (
            weight is not None and tuple(weight.shape[2:]) == (1, 1) and not any(conv.kwargs["padding"])
        )
        if not plain or not pointwise or list(conv.kwargs["stride"]) != [1, 1]:
            continue
        x = conv.args[0]
        assert isinstance(x, fx.Node) and isinstance(weight, Tensor)
        shape = (*x.meta["shape"][:2], *pool.meta["shape"][2:])
        first = recording.insert(Kind.AVG_POOL, (x,), dict(pool.kwargs), pool, shape)
        second = recording.insert(
            Kind.CONV, (first, *conv.args[1:]), dict(conv.kwargs), pool, pool.meta["shape"]
        )
        second.meta["row"] = conv.meta["row"]
        recording.replace(pool, second)
        recording.graph.erase_node(conv)
        count += 1
    return count


def _per_channel(recording: Recording, value: object, channels: int) -> Tensor | None:
    """A constant as one number a channel, or None if it varies otherwise."""
    if isinstance(value, (int, float)):
        return torch.full((channels,), float(value))
    tensor = recording.constant(value)
    if tensor is None or not tensor.is_floating_point() or tensor.dim() > 4:
        return None
    shape = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
    if shape[0] != 1 or shape[2:] != (1, 1) or shape[1] not in {1, channels}:
        return None
    return tensor.reshape(-1).expand(channels).clone()


def _new_affine(recording: Recording, node: fx.Node, x: object, scale: Tensor, shift: Tensor) -> None:
    constants = [recording.add_constant(value, node) for value in (scale, shift)]
    recording.replace(node, recording.insert(Kind.AFFINE, (x, *constants), {}, node, node.meta["shape"]))


def _new_conv(
    recording: Recording, conv: fx.Node, node: fx.Node, x: object, weight: Tensor, bias: Tensor
) -> None:
    """Put a convolution with these weights in the place of `node`."""
    old = recording.constant(conv.args[1])
    assert old is not None
    constants = [recording.add_constant(value.to(old.dtype), node) for value in (weight, bias)]
    new = recording.insert(Kind.CONV, (x, *constants), dict(conv.kwargs), node, node.meta["shape"])
    new.meta["row"] = conv.meta["row"]
    recording.replace(node, new)
