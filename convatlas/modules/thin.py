"""Fast CPU arithmetic for layers of few channels, where the usual kernels waste most of a vector.

A convolution of 1 or 6 input channels leaves the lanes of a kernel that is blocked by 16 channels empty. One row of
its output is also one row of a matrix product: the window of `kernel` input rows, C * W values each, times a banded
matrix that holds the filters at every horizontal place. That is W / kernel times more multiply-adds, and still
faster where the product runs on matrix units (AMX bf16). Pooling by 2 is a maximum or a mean of halves, vectorized;
torch's kernels go value by value, and write the index of each maximum.

`thin` rewrites a built model: the same parameters under the same names, the same function, other kernels.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convatlas.modules import thin_kernels as kernels
from convatlas.modules.blocks import in_order
from convatlas.modules.share import share
from convatlas.modules.thin_block import banded_block, shape_of

_THIN_CHANNELS = 16
_ACTIVATIONS = {nn.Tanh: "tanh", nn.ReLU: "relu"}
_MONOTONE = (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.Hardsigmoid)
M = TypeVar("M", bound=nn.Module)


def thin_layers(model: nn.Module) -> list[str]:
    """Names of the layers that `thin` would replace for their own sake."""
    return [name for name, m in model.named_modules() if _is_thin(m) or _pooling(m) is not None]


def thin(model: M) -> M:
    """The same model, over the same weights and buffers, with fast kernels where it has thin layers."""
    lowered = share(model)
    for chain in _chains(lowered):
        for at, (parent, name) in enumerate(chain):
            child = parent.get_submodule(name)
            pooling = _pooling(child)
            if _is_thin(child):
                taken = _fuse(chain[at:])
                _flatten_as_it_lies(chain[at + taken :])
            elif pooling is not None:
                setattr(parent, name, pooling)
            elif type(child) is nn.Tanh:
                setattr(parent, name, OnCpu(kernels.tanh, torch.tanh))
    for parent in lowered.modules():
        _pool_first(parent)
    return lowered


class ThinBlock(nn.Module):
    """A convolution, its activation and mean pooling by 2 as one banded product, in bf16 under autocast.

    Elsewhere, and where the band would be too large, one after the other. activation: none, tanh or relu.
    """

    def __init__(self, conv: nn.Conv2d, activation: str = "none", pool: int = 1) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride: tuple[int, int] = conv.stride  # type: ignore[assignment]
        self.padding: tuple[int, int] = conv.padding  # type: ignore[assignment]
        self.activation, self.pool = activation, pool

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, width, H', W')."""
        own = x.device.type == "cpu" and not torch.compiler.is_compiling()
        low = torch.is_autocast_enabled("cpu")
        # in float32 a band pays for itself forward alone
        if own and (low or not torch.is_grad_enabled()):
            shape = shape_of(x.shape, self.weight.shape, self.stride, self.padding, self.pool)
            if shape is not None:
                kind = torch.get_autocast_dtype("cpu") if low else x.dtype
                return banded_block(x, self.weight, self.bias, shape, self.padding, self.activation, kind)
        x = F.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        if self.activation == "tanh":
            x = kernels.tanh(x) if own else x.tanh()
        elif self.activation == "relu":
            x = x.relu()
        if self.pool == 2:
            x = kernels.pair_mean(x) if own else F.avg_pool2d(x, 2)
        return x


class RowsLinear(nn.Module):
    """A linear layer on (N, C, H, W) that a block gave out: its weight is turned to the memory's order, not the input."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(N, features) of (N, C, H, W), or of (N, C * H * W)."""
        rows = x.permute(0, 2, 1, 3) if x.ndim == 4 else x
        if x.ndim != 4 or not rows.is_contiguous() or x.is_contiguous():
            return F.linear(x.flatten(1), self.weight, self.bias)
        weight = self.weight.view(-1, *x.shape[1:]).permute(0, 2, 1, 3).flatten(1)
        return F.linear(rows.flatten(1), weight, self.bias)


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


def _chains(model: nn.Module) -> list[list[tuple[nn.Module, str]]]:
    """Layers that run one after the other and whose values nobody else reads, each as (parent, name)."""
    found: list[list[tuple[nn.Module, str]]] = [[]]

    def walk(parent: nn.Module) -> None:
        # an auxiliary head looks at what a row gives out
        whole = not getattr(parent, "_heads", ())
        for name in in_order(parent) or list(parent._modules):
            child = parent.get_submodule(name)
            if in_order(child):
                walk(child)
            elif child._modules:
                found.append([])
                walk(child)
                found.append([])
            else:
                found[-1].append((parent, name))
            if not (whole and in_order(parent)):
                found.append([])

    walk(model)
    return [chain for chain in found if chain]


def _flatten_as_it_lies(chain: Sequence[tuple[nn.Module, str]]) -> None:
    """Let a linear layer right after a block and a flattening read the block's memory as it is."""
    if len(chain) < 2:
        return
    flatten, linear = (parent.get_submodule(name) for parent, name in chain[:2])
    if type(flatten) is not nn.Flatten or type(linear) is not nn.Linear:
        return
    if (flatten.start_dim, flatten.end_dim) != (1, -1):
        return
    (parent, name), (other, called) = chain[:2]
    setattr(parent, name, nn.Identity())
    setattr(other, called, RowsLinear(linear))


def _fuse(chain: Sequence[tuple[nn.Module, str]]) -> int:
    """Make a block of the thin convolution that a chain begins with and of what it takes in after it; how many layers."""
    follows = [parent.get_submodule(name) for parent, name in chain[:3]]
    activation, taken, pool = "none", 1, 1
    if len(follows) > 1 and type(follows[1]) in _ACTIVATIONS:
        activation, taken = _ACTIVATIONS[type(follows[1])], 2
    if len(follows) > taken and isinstance(_pooling(follows[taken]), PairAvgPool2d):
        pool, taken = 2, taken + 1
    elif len(follows) > taken and isinstance(_pooling(follows[taken]), PairMaxPool2d):
        activation, taken = "none", 1  # the activation has less to do after the maximum
    for parent, name in chain[1:taken]:
        setattr(parent, name, nn.Identity())
    parent, name = chain[0]
    setattr(parent, name, ThinBlock(follows[0], activation, pool))  # type: ignore[arg-type]
    return taken


def _pool_first(parent: nn.Module) -> None:
    """Swap activation and max pooling where they follow each other: the maximum commutes with what never falls.

    The activation then works on a quarter of the values. Only in containers that run their children in order.
    """
    names = in_order(parent)
    if getattr(parent, "_heads", ()):
        return  # an auxiliary head looks at what a row gives out
    modules: OrderedDict[str, nn.Module] = parent._modules  # type: ignore[assignment]
    for first, second in itertools.pairwise(names):
        if isinstance(modules[first], _MONOTONE) and isinstance(modules[second], PairMaxPool2d):
            modules[first], modules[second] = modules[second], modules[first]
