"""The small arithmetic of `convatlas.modules.thin`: pooling by 2, tanh; on CPUs.

All take and give (N, C, H, W) tensors and keep the order that their memory is in.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# above this many entries a matrix that pools costs more than it saves
_LIMIT = 1 << 18


def pair_max(x: Tensor) -> Tensor:
    """Max pooling, 2x2 with stride 2; an odd last row or column is left out."""
    return _PairMax.apply(_even(x))


def pair_mean(x: Tensor) -> Tensor:
    """Average pooling, 2x2 with stride 2; an odd last row or column is left out."""
    return _PairMean.apply(_even(x))


def tanh(x: Tensor) -> Tensor:
    """Tanh in float32: torch's vectorized float32 tanh and two conversions take half the time of its bf16 one."""
    return _Tanh.apply(x)


def _even(x: Tensor) -> Tensor:
    h, w = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    return x if (h, w) == tuple(x.shape[2:]) else x[:, :, :h, :w]


def rows_of(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, C, H, W) to (N, H, C, W) in memory of that order; no copy where it lies so."""
    return x.permute(0, 2, 1, 3).to(dtype).contiguous()


class _PairMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        top, bottom = x[:, :, 0::2], x[:, :, 1::2]
        rows = torch.maximum(top, bottom)
        left, right = rows[..., 0::2], rows[..., 1::2]
        ctx.save_for_backward(top >= bottom, left >= right)
        ctx.layout = x.shape, x.dtype, _order(x)  # type: ignore[attr-defined]
        return torch.maximum(left, right)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        upper, lefts = ctx.saved_tensors  # type: ignore[attr-defined]
        shape, dtype, order = ctx.layout  # type: ignore[attr-defined]
        # what the left one does not get is the right one's: one product and one difference
        across = torch.empty_like(upper, dtype=dtype)
        torch.mul(grad, lefts, out=across[..., 0::2])
        torch.sub(grad, across[..., 0::2], out=across[..., 1::2])
        whole = torch.empty_permuted(shape, order, dtype=dtype)
        torch.mul(across, upper, out=whole[:, :, 0::2])
        torch.sub(across, whole[:, :, 0::2], out=whole[:, :, 1::2])
        return whole


class _PairMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        rows = x[:, :, 0::2] + x[:, :, 1::2]
        ctx.layout = x.shape, x.dtype, _order(x)  # type: ignore[attr-defined]
        n, c, h, w = rows.shape
        halves = _halves(c, w, x.dtype)
        if halves is not None:
            flat = rows_of(rows, x.dtype).view(n * h, c * w)
            return (flat @ halves).view(n, h, c, w // 2).permute(0, 2, 1, 3)
        return (rows[..., 0::2] + rows[..., 1::2]).mul_(0.25)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        shape, dtype, order = ctx.layout  # type: ignore[attr-defined]
        n, c, h, w = shape
        halves = _halves(c, w, dtype)
        if halves is not None:
            flat = rows_of(grad, dtype).view(n * h // 2, c * w // 2)
            wide = (flat @ halves.t()).view(n, h // 2, c, w).permute(0, 2, 1, 3)
        else:
            wide = torch.empty_permuted((n, c, h // 2, w), order, dtype=dtype)
            torch.mul(grad, 0.25, out=wide[..., 0::2])
            wide[..., 1::2] = wide[..., 0::2]
        whole = torch.empty_permuted(shape, order, dtype=dtype)
        whole[:, :, 0::2] = wide
        whole[:, :, 1::2] = wide
        return whole


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        y = x.float().tanh_().to(x.dtype) if x.dtype == torch.bfloat16 else x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.ops.aten.tanh_backward(grad, y)


def _order(x: Tensor) -> list[int]:
    """Dimensions from the outermost in memory to the innermost."""
    strides = x.stride()
    return sorted(range(x.ndim), key=lambda d: (-strides[d], d))


@lru_cache(maxsize=32)
def _halves(channels: int, width: int, dtype: torch.dtype) -> Tensor | None:
    """The matrix (C * W, C * W/2) that takes the mean of neighbours: a product beats strided sums on matrix units.

    None where that does not pay: in float32, and above the limit. A quarter is exact in bf16, the sum is float32's.
    """
    if dtype != torch.bfloat16 or (channels * width) ** 2 // 2 > _LIMIT:
        return None
    pairs = torch.eye(channels * width // 2).repeat_interleave(2, 0) * 0.25
    return pairs.to(dtype)
