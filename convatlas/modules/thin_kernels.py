"""The arithmetic of `convatlas.modules.thin`: banded convolution, pooling by 2, tanh; on CPUs.

All take and give (N, C, H, W) tensors. The convolution gives out memory in the order (N, H, C, W), which the others
keep: the rows of that memory are the rows of its matrix product.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

# above this many entries a banded matrix costs more than it saves
BAND_LIMIT = 1 << 18
Pair = tuple[int, int]


def banded_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """conv2d by one matrix product in `dtype`; the result in `dtype`, gradients in the arguments' own types."""
    if any(padding):
        x = torch.nn.functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    return _Banded.apply(x, weight, bias, stride, dtype)


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


def _rows(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, C, H, W) to (N, H, C, W) in memory of that order; no copy where it lies so."""
    return x.permute(0, 2, 1, 3).to(dtype).contiguous()


def _diagonals(band: Tensor, kw: int, stride: int) -> Tensor:
    """The places of a band (KH, I, W, O, OW) that hold the filters, as (KH, I, KW, O, OW): a view."""
    kh, i, _, o, ow = band.shape
    s = band.stride()
    return band.as_strided((kh, i, kw, o, ow), (s[0], s[1], s[2], s[3], s[4] + stride * s[2]))


class _Banded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, dtype: torch.dtype
    ) -> Tensor:
        n, c, h, w = x.shape
        o, _, kh, kw = weight.shape
        oh, ow = (h - kh) // stride[0] + 1, (w - kw) // stride[1] + 1
        rows = _rows(x, dtype)
        windows = rows.as_strided((n, oh, kh * c * w), (h * c * w, stride[0] * c * w, 1))
        windows = windows.reshape(n * oh, kh * c * w)
        band = torch.zeros(kh, c, w, o, ow, dtype=dtype)
        _diagonals(band, kw, stride[1]).copy_(weight.permute(2, 1, 3, 0).unsqueeze(-1))
        matrix = band.view(kh * c * w, o * ow)
        if bias is None:
            y = windows @ matrix
        else:  # one value a column: the product's own bias, since a broadcast over (o, 1) is not vectorized
            y = torch.addmm(bias.to(dtype).repeat_interleave(ow), windows, matrix)
        ctx.save_for_backward(windows, matrix)
        ctx.sizes = (n, c, h, w, o, kh, kw, oh, ow)  # type: ignore[attr-defined]
        ctx.kinds = stride, x.dtype, weight.dtype, None if bias is None else bias.dtype  # type: ignore[attr-defined]
        return y.view(n, oh, o, ow).permute(0, 2, 1, 3)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        windows, matrix = ctx.saved_tensors  # type: ignore[attr-defined]
        n, c, h, w, o, kh, kw, oh, ow = ctx.sizes  # type: ignore[attr-defined]
        (down, across), kind, weight_kind, bias_kind = ctx.kinds  # type: ignore[attr-defined]
        wants = ctx.needs_input_grad  # type: ignore[attr-defined]
        g = _rows(grad, matrix.dtype).view(n * oh, o * ow)
        to_x = to_weight = to_bias = None
        if wants[1]:
            full = (windows.t() @ g).view(kh, c, w, o, ow)
            to_weight = _diagonals(full, kw, across).sum(-1, dtype=weight_kind).permute(3, 1, 0, 2)
        if bias_kind is not None and wants[2]:
            # a product with ones sums in float32; a sum down the columns of a bf16 matrix is slower or rounds
            to_bias = (g.new_ones(1, n * oh) @ g).view(o, ow).sum(1, dtype=bias_kind)
        if wants[0]:
            rows = g.new_zeros(n, h, c * w)
            for k in range(kh):  # a product a kernel row: each adds to rows that lie together
                part = (g @ matrix[k * c * w : (k + 1) * c * w].t()).view(n, oh, c * w)
                rows[:, k : k + down * (oh - 1) + 1 : down] += part
            to_x = rows.view(n, h, c, w).permute(0, 2, 1, 3).to(kind)
        return to_x, to_weight, to_bias, None, None


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
            flat = _rows(rows, x.dtype).view(n * h, c * w)
            return (flat @ halves).view(n, h, c, w // 2).permute(0, 2, 1, 3)
        return (rows[..., 0::2] + rows[..., 1::2]).mul_(0.25)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        shape, dtype, order = ctx.layout  # type: ignore[attr-defined]
        n, c, h, w = shape
        halves = _halves(c, w, dtype)
        if halves is not None:
            flat = _rows(grad, dtype).view(n * h // 2, c * w // 2)
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
    if dtype != torch.bfloat16 or (channels * width) ** 2 // 2 > BAND_LIMIT:
        return None
    pairs = torch.eye(channels * width // 2).repeat_interleave(2, 0) * 0.25
    return pairs.to(dtype)
