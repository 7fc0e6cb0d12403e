"""Fast CPU arithmetic for layers of few channels, where the usual kernels waste most of a vector.

A convolution of 1 or 6 input channels leaves the lanes of a kernel that is blocked by 16 channels empty. One row of
its output is also one row of a matrix product: the window of `kernel` input rows, C * W values each, times a banded
matrix that holds the filters at every horizontal place. That is W / kernel times more multiply-adds, and still
faster where the product runs on matrix units (AMX bf16). Max pooling by 2 is a maximum of halves, vectorized, where
torch's kernel also writes the index of each maximum, one by one.

`thin` rewrites a built model: the same parameters under the same names, the same function, other kernels. Tensors
stay (N, C, H, W) by name and lie as (N, H, C, W) in memory, so that the steps between need no copies.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

# above this many entries the banded matrix costs more than it saves
BAND_LIMIT = 1 << 18
_THIN_CHANNELS = 16
_MONOTONE = (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.Hardsigmoid)
M = TypeVar("M", bound=nn.Module)


def thin_layers(model: nn.Module) -> list[str]:
    """Names of the layers that `thin` would replace."""
    return [name for name, module in model.named_modules() if _is_thin(module) or _is_pair_pool(module)]


def share(model: M, *, parameters: bool = True) -> M:
    """A copy of the modules over the same weights; `parameters=False` gives it gradients and buffers of its own.

    The values are shared either way: what an optimizer does to one is done to both.
    """
    memo: dict[int, object] = {}
    for p in model.parameters():
        memo[id(p)] = p if parameters else nn.Parameter(p.detach(), requires_grad=p.requires_grad)
    if parameters:
        memo |= {id(b): b for b in model.buffers()}
    return copy.deepcopy(model, memo)


def thin(model: M) -> M:
    """The same model, over the same weights and buffers, with fast kernels where it has thin layers."""
    lowered = share(model)
    for parent in list(lowered.modules()):
        for name, child in list(parent.named_children()):
            if _is_thin(child):
                setattr(parent, name, ThinConv2d(child))  # type: ignore[arg-type]
            elif _is_pair_pool(child):
                setattr(parent, name, PairMaxPool2d())
    for parent in lowered.modules():
        _pool_first(parent)
    return lowered


def _pool_first(parent: nn.Module) -> None:
    """Swap activation and pooling where they follow each other: the maximum commutes with what never falls.

    The activation then works on a quarter of the values. Only in containers that run their children in order.
    """
    rows = getattr(parent, "_rows", None)
    names = list(rows) if rows else list(parent._modules) if type(parent) is nn.Sequential else []  # noqa: SLF001
    if rows and set(getattr(parent, "_heads", ())) & set(names):
        return  # an auxiliary head looks at what a row gives out
    modules: OrderedDict[str, nn.Module] = parent._modules  # type: ignore[assignment]  # noqa: SLF001
    for first, second in zip(names, names[1:], strict=False):
        if isinstance(modules[first], _MONOTONE) and isinstance(modules[second], PairMaxPool2d):
            modules[first], modules[second] = modules[second], modules[first]


def _is_thin(module: nn.Module) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.in_channels < _THIN_CHANNELS
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.kernel_size[1] > 1
    )


def _is_pair_pool(module: nn.Module) -> bool:
    return (
        type(module) is nn.MaxPool2d
        and module.kernel_size in (2, (2, 2))
        and module.stride in (2, (2, 2))
        and module.padding in (0, (0, 0))
        and module.dilation in (1, (1, 1))
        and not module.return_indices
    )


class ThinConv2d(nn.Module):
    """A convolution as a product with a banded matrix, in bf16 under autocast; as usual otherwise."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride: tuple[int, int] = conv.stride  # type: ignore[assignment]
        self.padding: tuple[int, int] = conv.padding  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, H', W')."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            o, c, kh, kw = self.weight.shape
            width = x.shape[3] + 2 * self.padding[1]
            columns = o * ((width - kw) // self.stride[1] + 1)
            if kh * c * width * columns <= BAND_LIMIT:
                kind = torch.get_autocast_dtype("cpu")
                return banded_conv2d(x, self.weight, self.bias, self.stride, self.padding, kind)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)


def banded_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """conv2d by one matrix product in `dtype`; the result in `dtype`, gradients in the arguments' own types."""
    if any(padding):
        x = nn.functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    return _Banded.apply(x, weight, bias, stride, dtype)  # type: ignore[no-any-return]


def _diagonals(band: Tensor, kw: int, stride: int) -> Tensor:
    """The places of a band (KH, I, W, O, OW) that hold the filters, as (KH, I, KW, O, OW): a view."""
    kh, i, _, o, ow = band.shape
    s = band.stride()
    return band.as_strided((kh, i, kw, o, ow), (s[0], s[1], s[2], s[3], s[4] + stride * s[2]))


class _Banded(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        dtype: torch.dtype,
    ) -> Tensor:
        n, c, h, w = x.shape
        o, _, kh, kw = weight.shape
        oh, ow = (h - kh) // stride[0] + 1, (w - kw) // stride[1] + 1
        rows = x.permute(0, 2, 1, 3).to(dtype).contiguous()
        windows = rows.as_strided((n, oh, kh * c * w), (h * c * w, stride[0] * c * w, 1)).reshape(
            n * oh, kh * c * w
        )
        band = torch.zeros(kh, c, w, o, ow, dtype=dtype)
        _diagonals(band, kw, stride[1]).copy_(weight.permute(2, 1, 3, 0).unsqueeze(-1))
        matrix = band.view(kh * c * w, o * ow)
        if bias is None:
            y = windows @ matrix
        else:  # one value a column: the product's own bias, since a broadcast over (o, 1) is not vectorized
            y = torch.addmm(bias.to(dtype).repeat_interleave(ow), windows, matrix)
        ctx.save_for_backward(windows, matrix)
        ctx.sizes = (n, c, h, w, o, kh, kw, oh, ow)  # type: ignore[attr-defined]
        ctx.stride, ctx.kinds = stride, (x.dtype, weight.dtype, None if bias is None else bias.dtype)  # type: ignore[attr-defined]
        return y.view(n, oh, o, ow).permute(0, 2, 1, 3)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        windows, matrix = ctx.saved_tensors  # type: ignore[attr-defined]
        n, c, h, w, o, kh, kw, oh, ow = ctx.sizes  # type: ignore[attr-defined]
        down, across = ctx.stride  # type: ignore[attr-defined]
        kind, weight_kind, bias_kind = ctx.kinds  # type: ignore[attr-defined]
        g = grad.permute(0, 2, 1, 3).to(matrix.dtype).contiguous().view(n * oh, o * ow)
        to_x = to_weight = to_bias = None
        if ctx.needs_input_grad[1]:  # type: ignore[attr-defined]
            full = (windows.t() @ g).view(kh, c, w, o, ow)
            to_weight = _diagonals(full, kw, across).sum(-1, dtype=weight_kind).permute(3, 1, 0, 2)
        if bias_kind is not None and ctx.needs_input_grad[2]:  # type: ignore[attr-defined]
            # a product with ones: a sum down the columns of a bf16 matrix is not vectorized
            to_bias = (g.new_ones(1, n * oh) @ g).view(o, ow).sum(1, dtype=bias_kind)
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            parts = (g @ matrix.t()).view(n, oh, kh, c * w)
            rows = g.new_zeros(n, h, c * w)
            for k in range(kh):
                rows[:, k : k + down * (oh - 1) + 1 : down] += parts[:, :, k]
            to_x = rows.view(n, h, c, w).permute(0, 2, 1, 3).to(kind)
        return to_x, to_weight, to_bias, None, None


class PairMaxPool2d(nn.Module):
    """Max pooling, 2x2 with stride 2; an odd last row or column is left out, as torch does."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H // 2, W // 2)."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return nn.functional.max_pool2d(x, 2)
        return _PairMax.apply(x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2])  # type: ignore[no-any-return]


class _PairMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        top, bottom = x[:, :, 0::2], x[:, :, 1::2]
        rows = torch.maximum(top, bottom)
        left, right = rows[..., 0::2], rows[..., 1::2]
        ctx.save_for_backward(top >= bottom, left >= right)
        ctx.layout = x.shape, x.dtype, sorted(range(4), key=lambda d: (-x.stride(d), d))  # type: ignore[attr-defined]
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
