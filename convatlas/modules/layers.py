"""The few layers that torch.nn does not have: uneven padding, LeNet-5's of 1998, shortcuts without parameters.

Shapes are (N, C, H, W) unless a class says otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.define.window import Window, fixed_padding, tf_padding, window


def pads_at(
    size: tuple[int, int], span: tuple[int, int], stride: tuple[int, int], rules: tuple[int | str, ...]
) -> list[int]:
    """Padding for `F.pad` (left, right, top, bottom) by the rules of `define.window`, for maps of this size."""
    rows, columns = (
        fixed_padding(rule, s) or tf_padding(n, s, t)
        for n, s, t, rule in zip(size, span, stride, rules, strict=True)
    )
    return [*columns, *rows]


class PaddedConv2d(nn.Conv2d):
    """Convolution with padding that differs between its sides, or (same_tf) follows from the input's size."""

    def __init__(self, *args: int, rules: tuple[int | str, ...], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.rules = rules

    def forward(self, input: Tensor) -> Tensor:
        span = tuple((k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True))
        pads = pads_at(tuple(input.shape[2:]), span, self.stride, self.rules)  # type: ignore[arg-type]
        return super().forward(F.pad(input, pads) if any(pads) else input)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rules={self.rules}"


class PaddedPool2d(nn.Module):
    """Max or average pooling with padding that torch's own cannot have: uneven, by rule, or beyond half the kernel."""

    def __init__(
        self,
        kind: str,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        rules: tuple[int | str, ...],
        *,
        ceil: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kind, self.kernel, self.stride, self.rules = kind, kernel, stride, rules
        self.ceil, self.count_include_pad = ceil, count_include_pad

    def _windows(self, x: Tensor) -> tuple[Window, Window]:
        rows, columns = (
            window(n, k, s, rule, ceil=self.ceil)
            for n, k, s, rule in zip(x.shape[2:], self.kernel, self.stride, self.rules, strict=True)
        )
        return rows, columns

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self._windows(x)
        # what no window reads is cropped by a negative pad, so that torch's floor mode gives just the outputs
        pads = [side for w, n in ((columns, x.shape[3]), (rows, x.shape[2])) for side in _sides(w, n)]
        if self.kind == "max":
            return F.max_pool2d(F.pad(x, pads, value=float("-inf")), self.kernel, self.stride)
        mean = F.avg_pool2d(F.pad(x, pads), self.kernel, self.stride)
        if self.count_include_pad:
            return mean
        inside = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), pads), self.kernel, self.stride)
        return mean / inside

    def extra_repr(self) -> str:
        return f"{self.kind}, kernel={self.kernel}, stride={self.stride}, rules={self.rules}"


def _sides(w: Window, n: int) -> tuple[int, int]:
    return w.before, (w.output - 1) * w.stride + w.span - w.before - n


class GlobalAvgPool(nn.Module):
    """Mean of each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class GlobalMaxPool(nn.Module):
    """Maximum of each map: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


class Tanh(nn.Module):
    """scale * tanh(slope * x)."""

    def __init__(self, scale: float, slope: float) -> None:
        super().__init__()
        self.scale, self.slope = scale, slope

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.tanh(self.slope * x)

    def extra_repr(self) -> str:
        return f"scale={self.scale}, slope={self.slope}"


class TableConv2d(nn.Module):
    """Convolution whose map i reads only the input maps table[i]; one kernel a connection (LeCun et al. 1998, C3)."""

    index: Tensor

    def __init__(
        self,
        in_channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        rules: tuple[int | str, ...],
        table: tuple[tuple[int, ...], ...],
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.kernel, self.stride, self.rules = in_channels, kernel, stride, rules
        self.fan_in = torch.tensor([len(maps) * kernel[0] * kernel[1] for maps in table for _ in maps])
        self.width = len(table)
        self.weight = nn.Parameter(torch.empty(sum(map(len, table)), *kernel))
        self.bias = nn.Parameter(torch.empty(self.width)) if bias else None
        index = [i * in_channels + j for i, maps in enumerate(table) for j in maps]
        self.register_buffer("index", torch.tensor(index), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        dense = self.weight.new_zeros(self.width * self.in_channels, *self.kernel)
        dense = dense.index_copy(0, self.index, self.weight).view(self.width, self.in_channels, *self.kernel)
        pads = pads_at((x.shape[2], x.shape[3]), self.kernel, self.stride, self.rules)
        return F.conv2d(F.pad(x, pads) if any(pads) else x, dense, self.bias, self.stride)


class Subsampling(nn.Module):
    """Sum of each window, times a trained coefficient a map, plus a trained bias (LeCun et al. 1998, S2 and S4)."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, self.kernel, self.stride) * self.kernel**2
        return total * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class RBF(nn.Module):
    """Negated squared distance of (N, F) to a fixed code a class: (N, classes), the largest is the best."""

    codes: Tensor

    def __init__(self, codes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        return -(x.unsqueeze(1) - self.codes).square().sum(2)


class PadShortcut(nn.Module):
    """Every stride-th row and column, zero channels up to `width` (He et al. 2015, option A)."""

    def __init__(self, in_channels: int, width: int, stride: int, where: str) -> None:
        super().__init__()
        added = width - in_channels
        self.stride = stride
        self.before = added // 2 if where == "both" else 0
        self.after = added - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], [0, 0, 0, 0, self.before, self.after])


class Slice(nn.Module):
    """Channels of part `part` of `parts` equal ones."""

    def __init__(self, part: int, parts: int) -> None:
        super().__init__()
        self.part, self.parts = part, parts

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[1] // self.parts
        return x.narrow(1, self.part * size, size)


class ChannelShuffle(nn.Module):
    """Transpose (groups, C / groups) to (C / groups, groups) along channels."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
