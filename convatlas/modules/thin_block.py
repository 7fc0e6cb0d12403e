"""Convolution, bias, activation and mean pooling by 2 as one banded matrix product; on CPUs.

A row of the product's left side is the window of input rows that `steps` output rows need; a row of its result holds
those output rows. With pooling, the columns are ordered so that the four values of a pooled one lie in four blocks:
the mean is a sum of blocks, and its gradient is one value read four times. Bias and activation are the product's own
(oneDNN's post-operations), so that nothing between windows and pooled rows is written twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from convatlas.modules.thin_kernels import rows_of

Pair = tuple[int, int]
# bytes a core that a piece of a batch may take: pieces that fit in a cache of 2 MB were not faster, and calls cost
_PIECE = 1 << 24
# above this many entries a banded matrix costs more than it saves
BAND_LIMIT = 1 << 18


@dataclass(frozen=True)
class Shape:
    """The sizes of one banded product. pool: 2 or 1; steps: output rows (before pooling) that one of its rows holds."""

    batch: int
    channels: int
    height: int
    width: int
    maps: int
    kernel: Pair
    stride: Pair
    pool: int
    steps: int

    @property
    def out(self) -> Pair:
        """Rows and columns after pooling; an odd last one is left out, as pooling does."""
        rows = (self.height - self.kernel[0]) // self.stride[0] + 1
        columns = (self.width - self.kernel[1]) // self.stride[1] + 1
        return rows // self.pool, columns // self.pool

    @property
    def products(self) -> int:
        """Rows of the product a picture."""
        return self.out[0] * self.pool // self.steps

    @property
    def reach(self) -> int:
        """Input rows in a window."""
        return (self.steps - 1) * self.stride[0] + self.kernel[0]

    @property
    def inner(self) -> int:
        """Columns of the product's left side."""
        return self.reach * self.channels * self.width

    @property
    def columns(self) -> int:
        """Columns of its result: (row of the window, column of the pool, map, column)."""
        return self.steps * self.pool * self.maps * self.out[1]

    def filters(self, band: Tensor, *, transposed: bool) -> Tensor:
        """The places of a band that hold the filters, (steps, pool, kh, channels, kw, maps, columns): a view.

        band: (columns, inner), or (inner, columns) where `transposed`.
        """
        up, left = (1, self.columns) if transposed else (self.inner, 1)
        column, feature, across = up, up * self.out[1], up * self.out[1] * self.maps
        down = across * self.pool
        pixel, channel, row = left, left * self.width, left * self.width * self.channels
        size = (self.steps, self.pool, self.kernel[0], self.channels, self.kernel[1], self.maps, self.out[1])
        jump = self.stride[1] * pixel
        strides = (
            down + self.stride[0] * row, across + jump, row, channel, pixel, feature, column + self.pool * jump,
        )  # fmt: skip
        return band.as_strided(size, strides)


def shape_of(
    x: Sequence[int], weight: Sequence[int], stride: Pair, padding: Pair, pool: int = 1
) -> Shape | None:
    """The product for an input (N, C, H, W) and filters (maps, C, kh, kw); None where its band would be too large."""
    height, width = x[2] + 2 * padding[0], x[3] + 2 * padding[1]
    kernel = (weight[2], weight[3])
    rows = (height - kernel[0]) // stride[0] + 1
    # two rows at a time fill matrix units better than one: 780 against 310 GFLOP/s for LeNet-5's first layer
    for steps in (2, 1) if rows % 2 == 0 or pool == 2 else (1,):
        shape = Shape(x[0], x[1], height, width, weight[0], kernel, stride, pool, steps)
        if steps % pool == 0 and min(shape.out) > 0 and shape.inner * shape.columns <= BAND_LIMIT:
            return shape
    return None


def banded_block(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: Shape,
    padding: Pair = (0, 0),
    activation: str = "none",
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """activation(conv2d(x)), and the mean of each 2x2 where shape.pool is 2, in `dtype`; gradients in the arguments' types.

    x: (N, C, H, W) to (N, maps, H', W'), whose memory is in the order (N, H', maps, W').
    """
    if any(padding):
        x = torch.nn.functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    return _Block.apply(x, weight, bias, shape, activation, dtype)


def _product(windows: Tensor, band: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    """activation(windows @ band.T + bias)."""
    fused = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if fused is not None and windows.dtype == torch.bfloat16 and _has_bf16():
        return fused(windows, band, bias, activation, [], "")
    y = windows @ band.t() if bias is None else torch.addmm(bias, windows, band.t())
    if activation == "relu":
        return y.relu_()
    if activation == "tanh":
        # torch's tanh is vectorized in float32 alone
        return y.float().tanh_().to(y.dtype) if y.dtype == torch.bfloat16 else y.tanh_()
    return y


def _has_bf16() -> bool:
    """Whether oneDNN has bf16 products on this processor: with AVX2 alone it has none, and raises."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and torch.backends.mkldnn.is_available() and bool(supported())


def _through(grad: Tensor, y: Tensor, activation: str) -> Tensor:
    """The gradient before the activation, from that after it and the activation's value."""
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(grad, y)
    if activation == "relu":
        return torch.ops.aten.threshold_backward(grad, y, 0)
    return grad.contiguous()


def _pieces(s: Shape, size: int) -> list[tuple[int, int]]:
    """(first, last + 1) of the pictures to do at a time: memory has a bound then, whatever the batch."""
    bytes_each = s.products * (s.inner + s.columns) * size
    count = max(1, _PIECE * torch.get_num_threads() // bytes_each)
    # equal pieces, none of them small
    parts = max(1, round(s.batch / count))
    ends = [s.batch * part // parts for part in range(parts + 1)]
    return list(itertools.pairwise(ends))


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        s: Shape,
        activation: str,
        dtype: torch.dtype,
    ) -> Tensor:
        band = torch.zeros(s.columns, s.inner, dtype=dtype)
        s.filters(band, transposed=False).copy_(weight.permute(2, 1, 3, 0).unsqueeze(-1))
        each = None
        if bias is not None:
            each = bias.to(dtype)[:, None].expand(s.steps * s.pool, s.maps, s.out[1]).reshape(-1)
        size = (s.products, s.inner)
        strides = (
            s.height * s.channels * s.width, s.steps * s.stride[0] * s.channels * s.width, 1,
        )  # fmt: skip
        out = torch.empty(s.batch, s.out[0], s.maps * s.out[1], dtype=dtype)
        kept: list[Tensor] = []
        for first, end in _pieces(s, dtype.itemsize):
            rows = rows_of(x[first:end], dtype)
            windows = rows.as_strided((end - first, *size), strides).reshape(-1, s.inner)
            y = _product(windows, band, each, activation)
            if s.pool > 1:
                # halves of each row added, twice: a mean over a dimension would convert all of y to float32 first
                halves = y.view(len(y), 2, 2, -1)
                halves = halves[:, 0] + halves[:, 1]
                torch.add(halves[:, 0], halves[:, 1], out=out[first:end].view(len(y), -1)).mul_(0.25)
            else:
                out[first:end].view(y.shape).copy_(y)
            kept += [windows, y]
        ctx.save_for_backward(band, *kept)
        ctx.shape, ctx.activation = s, activation  # type: ignore[attr-defined]
        ctx.kinds = x.dtype, weight.dtype, None if bias is None else bias.dtype  # type: ignore[attr-defined]
        return out.view(s.batch, s.out[0], s.maps, s.out[1]).permute(0, 2, 1, 3)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        band, *kept = ctx.saved_tensors  # type: ignore[attr-defined]
        s: Shape = ctx.shape  # type: ignore[attr-defined]
        kind, weight_kind, bias_kind = ctx.kinds  # type: ignore[attr-defined]
        wants = ctx.needs_input_grad  # type: ignore[attr-defined]
        exact = torch.promote_types(band.dtype, torch.float32)
        full = torch.zeros(s.inner, s.columns, dtype=exact) if wants[1] else None
        down = torch.zeros(s.columns, dtype=exact) if bias_kind is not None and wants[2] else None
        whole = torch.zeros(s.batch, s.height, s.channels * s.width, dtype=band.dtype) if wants[0] else None
        done = 0
        for windows, y in zip(kept[::2], kept[1::2], strict=True):
            count = len(y) // s.products
            g = rows_of(grad[done : done + count], band.dtype).view(len(y), -1)
            if s.pool > 1:
                g, y = (g * 0.25).unsqueeze(1).expand(-1, 4, -1), y.view(len(y), 4, -1)
            g = _through(g, y, ctx.activation).view(-1, s.columns)  # type: ignore[attr-defined]
            if full is not None:
                full += windows.t() @ g
            if down is not None:
                # without dtype: asked for another one, torch converts all of g first; it adds in float32 anyway
                down += g.sum(0)
            if whole is not None:
                _overlap(g @ band, whole[done : done + count], s)
            done += count
        to_x = to_weight = to_bias = None
        if full is not None:
            to_weight = s.filters(full, transposed=True).sum((0, 1, 6), dtype=weight_kind).permute(3, 1, 0, 2)
        if down is not None:
            to_bias = down.view(-1, s.maps, s.out[1]).sum((0, 2), dtype=bias_kind)
        if whole is not None:
            to_x = whole.view(s.batch, s.height, s.channels, s.width).permute(0, 2, 1, 3).to(kind)
        return to_x, to_weight, to_bias, None, None, None


def _overlap(windows: Tensor, whole: Tensor, s: Shape) -> None:
    """Add windows' gradients (N * products, inner) where they overlap to those of the input, (N, H, C * W)."""
    line, step = s.channels * s.width, s.steps * s.stride[0]
    windows = windows.view(len(whole), s.products, s.reach, line)
    for start in range(0, s.reach, step):  # rows of one window that no other window's part of this turn meets
        size = min(step, s.reach - start)
        part = whole.as_strided(
            (len(whole), s.products, size * line),
            (s.height * line, step * line, 1),
            whole.storage_offset() + start * line,
        )
        part += windows[:, :, start : start + size].reshape(len(whole), s.products, size * line)
