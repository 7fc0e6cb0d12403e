"""Convolution, bias, activation and mean pooling by 2 as one banded matrix product; on CPUs.

A row of the product's left side is the window of input rows that `steps` output rows need; a row of its result holds
those output rows. With pooling, the columns are ordered so that the four values of a pooled one lie in four blocks:
the mean is a sum of blocks, and its gradient is one value read four times. Bias and activation are the product's own
(oneDNN's post-operations), so that nothing between windows and pooled rows is written twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from convatlas.modules.thin_kernels import rows_of

Pair = tuple[int, int]
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
    if fused is not None and windows.dtype == torch.bfloat16 and torch.backends.mkldnn.is_available():
        return fused(windows, band, bias, activation, [], "")
    y = windows @ band.t() if bias is None else torch.addmm(bias, windows, band.t())
    if activation == "relu":
        return y.relu_()
    if activation == "tanh":
        # torch's tanh is vectorized in float32 alone
        return y.float().tanh_().to(y.dtype) if y.dtype == torch.bfloat16 else y.tanh_()
    return y


def _through(grad: Tensor, y: Tensor, activation: str) -> Tensor:
    """The gradient before the activation, from that after it and the activation's value."""
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(grad, y)
    if activation == "relu":
        return torch.ops.aten.threshold_backward(grad, y, 0)
    return grad.contiguous()


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
        rows = rows_of(x, dtype)
        step = s.steps * s.stride[0] * s.channels * s.width
        image = s.height * s.channels * s.width
        windows = rows.as_strided((s.batch, s.products, s.inner), (image, step, 1))
        windows = windows.reshape(s.batch * s.products, s.inner)
        band = torch.zeros(s.columns, s.inner, dtype=dtype)
        s.filters(band, transposed=False).copy_(weight.permute(2, 1, 3, 0).unsqueeze(-1))
        each = None
        if bias is not None:
            each = bias.to(dtype)[:, None].expand(s.steps * s.pool, s.maps, s.out[1]).reshape(-1)
        y = _product(windows, band, each, activation)
        ctx.save_for_backward(windows, band, y if activation != "none" else None)  # type: ignore[arg-type]
        ctx.shape, ctx.activation = s, activation  # type: ignore[attr-defined]
        ctx.kinds = x.dtype, weight.dtype, None if bias is None else bias.dtype  # type: ignore[attr-defined]
        size = (s.batch, s.out[0], s.maps, s.out[1])
        if s.pool > 1:
            # halves of each row added, twice: a mean over a dimension would convert all of y to float32 first
            y = y.view(s.batch * s.products, 2, 2, -1)
            y = y[:, 0] + y[:, 1]
            y = (y[:, 0] + y[:, 1]).mul_(0.25)
        return y.view(size).permute(0, 2, 1, 3)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        windows, band, y = ctx.saved_tensors  # type: ignore[attr-defined]
        s: Shape = ctx.shape  # type: ignore[attr-defined]
        kind, weight_kind, bias_kind = ctx.kinds  # type: ignore[attr-defined]
        wants = ctx.needs_input_grad  # type: ignore[attr-defined]
        g = rows_of(grad, band.dtype).view(s.batch * s.products, -1)
        if s.pool > 1:
            blocks = s.pool**2
            g = (g / blocks).unsqueeze(1).expand(-1, blocks, -1)
            y = None if y is None else y.view(g.shape)
        g = _through(g, y, ctx.activation).view(-1, s.columns)  # type: ignore[attr-defined]
        to_x = to_weight = to_bias = None
        if wants[1]:
            full = windows.t() @ g
            to_weight = s.filters(full, transposed=True).sum((0, 1, 6), dtype=weight_kind).permute(3, 1, 0, 2)
        if bias_kind is not None and wants[2]:
            # without dtype: asked for another one, torch converts all of g first; it adds bf16 in float32 anyway
            to_bias = g.sum(0).view(-1, s.maps, s.out[1]).sum((0, 2), dtype=bias_kind)
        if wants[0]:
            to_x = _overlap(g @ band, s).permute(0, 2, 1, 3).to(kind)
        return to_x, to_weight, to_bias, None, None, None


def _overlap(windows: Tensor, s: Shape) -> Tensor:
    """Add the windows' gradients (N * products, inner) up where they overlap: (N, H, C, W)."""
    line, step = s.channels * s.width, s.steps * s.stride[0]
    windows = windows.view(s.batch, s.products, s.reach, line)
    whole = windows.new_zeros(s.batch, s.height, line)
    for start in range(0, s.reach, step):  # rows of one window that no other window's part of this turn meets
        size = min(step, s.reach - start)
        part = whole.as_strided(
            (s.batch, s.products, size * line), (s.height * line, step * line, 1), start * line
        )
        part += windows[:, :, start : start + size].reshape(s.batch, s.products, size * line)
    return whole.view(s.batch, s.height, s.channels, s.width)
