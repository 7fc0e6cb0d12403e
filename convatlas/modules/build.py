"""Definition to module: one case an operation, one a combinator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import torch
from torch import nn

from convatlas.define import Elaborated, Network, Placed, elaborate
from convatlas.define import combinators as c
from convatlas.define import operations as o
from convatlas.define.window import Padding, fixed_padding
from convatlas.modules import blocks, layers
from convatlas.modules.initialize import initialize


def build(network: Network, *, init: bool = True, checkpoint: tuple[str, ...] = ()) -> blocks.ConvNet:
    """Build the module of a definition; rows are submodules of the same names.

    init: False leaves the weights as memory has them, for models that are about to receive some: building
    VGG-16 then takes milliseconds. checkpoint: ("dense",) recomputes dense blocks in the backward pass.
    """
    unknown = set(checkpoint) - {"dense"}
    if unknown:
        raise ValueError(f"checkpoint: unknown {sorted(unknown)}; known: dense")
    elaborated = elaborate(network)
    builder = _Builder(recompute_dense="dense" in checkpoint)
    model = blocks.ConvNet(builder.series(elaborated.rows), builder.heads(elaborated), network)
    if init:
        initialize(model, network.init)
    return model


class _NoInitConv2d(nn.Conv2d):
    def reset_parameters(self) -> None:
        """Leave the memory as it is: `initialize` follows the paper's rule, or weights are loaded."""


class _NoInitPaddedConv2d(layers.PaddedConv2d):
    reset_parameters = _NoInitConv2d.reset_parameters


class _NoInitLinear(nn.Linear):
    def reset_parameters(self) -> None:
        """As above."""


def _plain(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    # tools that look at `type(module)` must meet torch's own classes: the subclass existed to skip the default init
    module.__class__ = kind
    return module


# after these, nobody else reads the value that a ReLU overwrites, and their backward does not need it
_OWN_OUTPUT = (o.Conv, o.DepthwiseConv, o.TableConv, o.Linear, o.BatchNorm)


class _Builder:
    def __init__(self, *, recompute_dense: bool) -> None:
        self._recompute_dense = recompute_dense

    def series(self, rows: Iterable[tuple[str, Placed]]) -> list[tuple[str, nn.Module]]:
        built, before = [], None
        for name, placed in rows:
            built.append((name, self.node(placed, inplace=isinstance(before, _OWN_OUTPUT))))
            before = placed.node
        return built

    def heads(self, elaborated: Elaborated) -> list[tuple[str, nn.Module]]:
        return [(row, self.node(head)) for row, head in elaborated.aux]

    def node(self, placed: Placed, *, inplace: bool = False) -> nn.Module:
        node = placed.node
        match node:
            case o.Operation():
                return _operation(node, placed.input[0], inplace=inplace)
            case c.Sequential() | c.Towers():
                return nn.Sequential(OrderedDict(self.series(placed.children)))
            case c.Gate():
                return blocks.Gate(OrderedDict(self.series(placed.children)))
            case c.Concat():
                return blocks.Concat((name, self.node(child)) for name, child in placed.children)
            case c.Dense():
                children = ((name, self.node(child)) for name, child in placed.children)
                return blocks.Dense(children, recompute=self._recompute_dense)
            case c.Residual():
                # a dropped body leaves the input itself to `then`, and that belongs to the row before
                own_sum = node.survival == 1
                children = (
                    (name, self.node(child, inplace=name == "then" and own_sum))
                    for name, child in placed.children
                )
                return blocks.Residual(children, node.scale, node.survival)
        raise TypeError(f"{type(node).__name__}: no module for it")


def _rules(padding: Padding) -> tuple[int | str, int | str]:
    return padding if isinstance(padding, tuple) else (padding, padding)


def _even(
    rules: tuple[int | str, int | str], kernel: tuple[int, int], dilation: int = 1
) -> tuple[int, int] | None:
    """Padding as torch has it, the same on both sides, or None where the rules need more."""
    fixed = [fixed_padding(rule, (k - 1) * dilation + 1) for rule, k in zip(rules, kernel, strict=True)]
    if all(sides is not None and sides[0] == sides[1] for sides in fixed):
        return fixed[0][0], fixed[1][0]  # type: ignore[index]
    return None


def _conv(op: o.Conv | o.DepthwiseConv, channels: int) -> nn.Module:
    depthwise = isinstance(op, o.DepthwiseConv)
    width = channels * op.multiplier if isinstance(op, o.DepthwiseConv) else op.width
    groups = channels if isinstance(op, o.DepthwiseConv) else op.groups
    dilation = 1 if depthwise else op.dilation  # type: ignore[union-attr]
    kernel, rules = o.pair(op.kernel), _rules(op.padding)
    shared = {"stride": o.pair(op.stride), "groups": groups, "bias": op.bias, "dilation": dilation}
    even = _even(rules, kernel, dilation)
    if even is not None:
        return _plain(_NoInitConv2d(channels, width, kernel, padding=even, **shared), nn.Conv2d)  # type: ignore[arg-type]
    return _plain(_NoInitPaddedConv2d(channels, width, kernel, rules=rules, **shared), layers.PaddedConv2d)  # type: ignore[arg-type]


def _pool(op: o.MaxPool | o.AvgPool) -> nn.Module:
    kernel, rules = o.pair(op.kernel), _rules(op.padding)
    stride = o.pair(op.kernel if op.stride is None else op.stride)
    even = _even(rules, kernel)
    native = even is not None and all(2 * p <= k for p, k in zip(even, kernel, strict=True))
    if isinstance(op, o.MaxPool):
        if native:
            return nn.MaxPool2d(kernel, stride, even, ceil_mode=op.ceil)  # type: ignore[arg-type]
        return layers.PaddedPool2d("max", kernel, stride, rules, ceil=op.ceil)
    if native:
        return nn.AvgPool2d(kernel, stride, even, ceil_mode=op.ceil, count_include_pad=op.count_include_pad)  # type: ignore[arg-type]
    return layers.PaddedPool2d(
        "average", kernel, stride, rules, ceil=op.ceil, count_include_pad=op.count_include_pad
    )


def _operation(op: o.Operation, channels: int, *, inplace: bool) -> nn.Module:
    match op:
        case o.Conv() | o.DepthwiseConv():
            return _conv(op, channels)
        case o.Linear():
            return _plain(_NoInitLinear(channels, op.width, bias=op.bias), nn.Linear)
        case o.MaxPool() | o.AvgPool():
            return _pool(op)
        case o.BatchNorm():
            norm = nn.BatchNorm2d(channels, op.eps, op.momentum)
            if not op.scale:
                del norm.weight
                norm.register_buffer("weight", torch.ones(channels), persistent=False)
            return norm
        case o.ReLU():
            return nn.ReLU(inplace)
        case o.ReLU6():
            return nn.ReLU6(inplace)
        case o.HardSwish():
            return nn.Hardswish(inplace=False)  # its backward needs the input
        case o.HardSigmoid():
            return nn.Hardsigmoid()
        case o.Sigmoid():
            return nn.Sigmoid()
        case o.Tanh():
            return nn.Tanh() if (op.scale, op.slope) == (1, 1) else layers.Tanh(op.scale, op.slope)
        case o.Softmax():
            return nn.Softmax(1)
        case o.Dropout():
            return nn.Dropout(op.p)
        case o.Flatten():
            return nn.Flatten()
        case o.AdaptiveAvgPool():
            return nn.AdaptiveAvgPool2d(o.pair(op.size))
        case o.GlobalAvgPool():
            return layers.GlobalAvgPool()
        case o.GlobalMaxPool():
            return layers.GlobalMaxPool()
        case o.LRN():
            return nn.LocalResponseNorm(
                op.size, op.alpha * op.size, op.beta, op.k
            )  # torch divides alpha by the size
        case o.ChannelShuffle():
            return layers.ChannelShuffle(op.groups)
        case o.Slice():
            return layers.Slice(op.part, op.parts)
        case o.PadShortcut():
            return layers.PadShortcut(channels, op.width, op.stride, op.where)
        case o.TableConv():
            return layers.TableConv2d(
                channels, o.pair(op.kernel), o.pair(op.stride), _rules(op.padding), op.table, bias=op.bias
            )
        case o.Subsampling():
            return layers.Subsampling(channels, op.kernel, op.stride or op.kernel)
        case o.RBF():
            return layers.RBF(op.codes)
    raise TypeError(f"{type(op).__name__}: no module for it")
