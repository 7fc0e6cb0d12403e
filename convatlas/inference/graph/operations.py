"""The vocabulary of a recording: what each operation is called and how torch computes it.

Every function takes tensors first and settings by keyword; none works in place, none names the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor
from torch.nn import functional as F


class Kind(StrEnum):
    """What a node of a recording does; `OTHER` is any torch function that no rewrite knows."""

    AFFINE = "affine"
    CONV = "conv"
    LINEAR = "linear"
    RELU = "relu"
    RELU6 = "relu6"
    HARDSWISH = "hardswish"
    HARDSIGMOID = "hardsigmoid"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    SILU = "silu"
    MAX_POOL = "max_pool"
    AVG_POOL = "avg_pool"
    GLOBAL_AVG = "global_avg"
    GLOBAL_MAX = "global_max"
    CONCAT = "concat"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    RESHAPE = "reshape"
    PERMUTE = "permute"
    SLICE = "slice"
    PAD = "pad"
    LRN = "lrn"
    SOFTMAX = "softmax"
    SHUFFLE = "shuffle"
    OTHER = "other"


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """X * scale + shift, one value a channel; x (N, C, H, W), scale and shift (C,)."""
    return torch.addcmul(shift.view(-1, 1, 1), x, scale.view(-1, 1, 1))


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """Convolution, (N, C, H, W) to (N, width, H', W')."""
    return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)


def max_pool(
    x: Tensor, *, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], ceil: bool
) -> Tensor:
    """Largest of each window."""
    return torch.max_pool2d(x, kernel, stride, padding, dilation, ceil)


def avg_pool(
    x: Tensor,
    *,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    ceil: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> Tensor:
    """Mean of each window."""
    return F.avg_pool2d(x, kernel, stride, padding, ceil, count_include_pad, divisor)


def global_avg(x: Tensor, *, keep: bool) -> Tensor:
    """Mean of each map: (N, C), or (N, C, 1, 1) with keep."""
    return x.mean((2, 3), keepdim=keep)


def global_max(x: Tensor, *, keep: bool) -> Tensor:
    """Largest of each map: (N, C), or (N, C, 1, 1) with keep."""
    return x.amax((2, 3), keepdim=keep)


def concat(tensors: list[Tensor], *, dim: int) -> Tensor:
    """Join along `dim`."""
    return torch.cat(tensors, dim)


def reshape(x: Tensor, *, rest: tuple[int, ...]) -> Tensor:
    """(N, ...) to (N, *rest): the batch stays."""
    return x.reshape(x.shape[0], *rest)


def permute(x: Tensor, *, dims: tuple[int, ...]) -> Tensor:
    """Reorder the axes."""
    return x.permute(dims)


def take(x: Tensor, *, cuts: tuple[tuple[int, int, int, int], ...]) -> Tensor:
    """x[..., start:stop:step, ...] for each (axis, start, stop, step)."""
    index = [slice(None)] * x.dim()
    for axis, start, stop, step in cuts:
        index[axis] = slice(start, stop, step)
    return x[tuple(index)]


def pad(x: Tensor, *, pads: list[int], value: float) -> Tensor:
    """Constant padding; pads in torch's order, last axis first, negative ones crop."""
    return F.pad(x, pads, value=value)


def lrn(x: Tensor, *, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """Local response normalization as torch has it: alpha is divided by the size."""
    return F.local_response_norm(x, size, alpha, beta, k)


def softmax(x: Tensor, *, dim: int) -> Tensor:
    """Exponentials that sum to one along `dim`."""
    return torch.softmax(x, dim)


def shuffle(x: Tensor, *, groups: int) -> Tensor:
    """Transpose (groups, C / groups) along the channels."""
    return torch.channel_shuffle(x, groups)


FUNCTIONS: dict[Kind, Callable[..., Tensor]] = {
    Kind.AFFINE: affine,
    Kind.CONV: conv,
    Kind.LINEAR: F.linear,
    Kind.RELU: torch.relu,
    Kind.RELU6: F.relu6,
    Kind.HARDSWISH: F.hardswish,
    Kind.HARDSIGMOID: F.hardsigmoid,
    Kind.SIGMOID: torch.sigmoid,
    Kind.TANH: torch.tanh,
    Kind.SILU: F.silu,
    Kind.MAX_POOL: max_pool,
    Kind.AVG_POOL: avg_pool,
    Kind.GLOBAL_AVG: global_avg,
    Kind.GLOBAL_MAX: global_max,
    Kind.CONCAT: concat,
    Kind.ADD: torch.add,
    Kind.SUB: torch.sub,
    Kind.MUL: torch.mul,
    Kind.DIV: torch.div,
    Kind.RESHAPE: reshape,
    Kind.PERMUTE: permute,
    Kind.SLICE: take,
    Kind.PAD: pad,
    Kind.LRN: lrn,
    Kind.SOFTMAX: softmax,
    Kind.SHUFFLE: shuffle,
}
ACTIVATIONS = frozenset(
    {Kind.RELU, Kind.RELU6, Kind.HARDSWISH, Kind.HARDSIGMOID, Kind.SIGMOID, Kind.TANH, Kind.SILU}
)
