"""Weights rounded to bf16 so that the errors of a filter cancel, instead of each to its nearest.

bf16 keeps 8 bits; rounding each weight by itself leaves a filter with an error that is the same at every place of
the picture, and that no averaging removes. Here what one weight loses is given to the next of the same filter
(error feedback), so the sum of the filter stays exact to one rounding. Published SqueezeNet 1.1 on 250 photos:
top-1 as float32 on 249 with it, on 245 without (benchmarks/agreement.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from convatlas.inference.graph.operations import Kind
from convatlas.inference.graph.record import Recording


def round_weights(recording: Recording) -> None:
    """Replace the weights of convolutions and linear layers by bf16 values, still held as float32."""
    for node in recording.nodes(Kind.CONV, Kind.LINEAR):
        weight = recording.constant(node.args[1])
        if weight is not None and weight.dtype is torch.float32:
            setattr(recording.module, str(node.args[1].target), with_feedback(weight))


def with_feedback(weight: Tensor) -> Tensor:
    """Weights (width, ...) rounded to bf16 along each filter, places first and channels within a place."""
    order = (1, *range(2, weight.dim())) if weight.dim() == 2 else (*range(2, weight.dim()), 1)
    steps = weight.permute(*order, 0).reshape(-1, weight.shape[0])
    rounded = torch.empty_like(steps)
    error = torch.zeros_like(steps[0])
    for source, target in zip(steps, rounded, strict=True):
        wanted = source + error
        target.copy_(wanted.bfloat16())
        torch.sub(wanted, target, out=error)
    shape = [weight.shape[axis] for axis in order]
    back = rounded.reshape(*shape, weight.shape[0])
    position = {axis: i for i, axis in enumerate((*order, 0))}
    return back.permute(*(position[axis] for axis in range(weight.dim()))).contiguous()
