"""Fast CPU arithmetic for layers of few channels, where the usual kernels waste most of a vector.

A convolution of 1 or 6 input channels leaves the lanes of a kernel that is blocked by 16 channels empty. One row of
its output is also one row of a matrix product: the window of `kernel` input rows, C * W values each, times a banded
matrix that holds the filters at every horizontal place. That is W / kernel times more multiply-adds, and still
faster where the product runs on matrix units (AMX bf16). Pooling by 2 is a maximum or a mean of halves, vectorized;
torch's kernels go value by value, and write the index of each maximum.

`thin` rewrites a built model: the same parameters under the same names, the same function, other kernels.
"""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.modules import thin_kernels as kernels

_THIN_CHANNELS = 16
_MONOTONE = (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.Hardsigmoid)
M = TypeVar("M", bound=nn.Module)


def thin_layers(model: nn.Module) -> list[str]:
    """Names of the layers that `thin` would replace for their own sake."""
    return [name for name, m in model.named_modules() if _is_thin(m) or _pooling(m) is not None]


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
            pooling = _pooling(child)
            if _is_thin(child):
                setattr(parent, name, ThinConv2d(child))  # type: ignore[arg-type]
            elif pooling is not None:
                setattr(parent, name, pooling)
            elif type(child) is nn.Tanh:
                setattr(parent, name, OnCpu(kernels.tanh, torch.tanh))
    for parent in lowered.modules():
        _pool_first(parent)
    return lowered


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
            if kh * c * width * columns <= kernels.BAND_LIMIT:
                kind = torch.get_autocast_dtype("cpu")
                return kernels.banded_conv2d(x, self.weight, self.bias, self.stride, self.padding, kind)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class OnCpu(nn.Module):
    """A function of one tensor that has a kernel of its own on CPUs."""

    def __init__(self, own: Callable[[Tensor], Tensor], usual: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.own, self.usual = own, usual

    def forward(self, x: Tensor) -> Tensor:
        """The same values either way."""
        return self.own(x) if x.device.type == "cpu" and not torch.compiler.is_compiling() else self.usual(x)


class PairMaxPool2d(OnCpu):
    """Max pooling, 2x2 with stride 2."""

    def __init__(self) -> None:
        super().__init__(kernels.pair_max, lambda x: F.max_pool2d(x, 2))


class PairAvgPool2d(OnCpu):
    """Average pooling, 2x2 with stride 2."""

    def __init__(self) -> None:
        super().__init__(kernels.pair_mean, lambda x: F.avg_pool2d(x, 2))


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


def _pooling(module: nn.Module) -> nn.Module | None:
    """The fast module for a pooling by 2, None for all else."""
    if type(module) not in (nn.MaxPool2d, nn.AvgPool2d):
        return None
    two = module.kernel_size in (2, (2, 2)) and module.stride in (2, (2, 2)) and module.padding in (0, (0, 0))
    if not two or module.ceil_mode:
        return None
    if isinstance(module, nn.AvgPool2d):
        return None if module.divisor_override else PairAvgPool2d()
    return PairMaxPool2d() if module.dilation in (1, (1, 1)) and not module.return_indices else None


def _pool_first(parent: nn.Module) -> None:
    """Swap activation and max pooling where they follow each other: the maximum commutes with what never falls.

    The activation then works on a quarter of the values. Only in containers that run their children in order.
    """
    rows = getattr(parent, "_rows", None)
    names = list(rows) if rows else list(parent._modules) if type(parent) is nn.Sequential else []
    if rows and getattr(parent, "_heads", ()):
        return  # an auxiliary head looks at what a row gives out
    modules: OrderedDict[str, nn.Module] = parent._modules  # type: ignore[assignment]
    for first, second in itertools.pairwise(names):
        if isinstance(modules[first], _MONOTONE) and isinstance(modules[second], PairMaxPool2d):
            modules[first], modules[second] = modules[second], modules[first]
