"""The deconvnet: one activation carried back to the pixels that caused it (Zeiler & Fergus 2013, §2.1).

On a network whose layers stand in series it is built as the paper says: unpooling by the switches of the pooling,
a rectifier, a convolution transposed; layer by layer. Where layers branch (Inception, ResNet, DenseNet) the paper
says nothing; there the same signal is had as a gradient whose rectifiers pass what is positive (`rules`), and
signals that meet are added. Both ways agree on a series, which a test holds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.define import Elaborated
from convatlas.explain.rows import unbranched
from convatlas.explain.rules import with_rule
from convatlas.explain.subject import private, run
from convatlas.modules.layers import PaddedConv2d, pads_at


def deconvnet(model: nn.Module, elaborated: Elaborated, x: Tensor, row: str, channels: list[int]) -> Tensor:
    """(channels, C, H, W): what the strongest activation of each of these channels of `row` looks back on.

    x: (1, C, H, W). As in the paper all other activations of the row are set to zero first.
    """
    series = unbranched(elaborated, row)
    if series is None:
        return by_rule(model, x, row, channels)
    return by_layers([private(model).get_submodule(path) for path in series], x, channels)


def by_layers(layers: list[nn.Module], x: Tensor, channels: list[int]) -> Tensor:
    """Up through `layers` in series, and down again through their transposes."""
    inputs: list[Tensor] = []
    switches: list[Tensor | None] = []
    with torch.no_grad():
        for layer in layers:
            inputs.append(x)
            if type(layer) is nn.MaxPool2d:
                x, where = F.max_pool2d(
                    x,
                    layer.kernel_size,
                    layer.stride,
                    layer.padding,
                    ceil_mode=layer.ceil_mode,
                    return_indices=True,
                )
                switches.append(where)
            else:
                x = layer(x)
                switches.append(None)
        signal = strongest(x, channels)
        for layer, seen, switch in zip(reversed(layers), reversed(inputs), reversed(switches), strict=True):
            signal = _down(layer, seen, switch, signal)
    return signal


def by_rule(model: nn.Module, x: Tensor, row: str, channels: list[int]) -> Tensor:
    """The same as a gradient under the deconvnet's rule, for any network."""
    own = with_rule(model, "deconvnet")
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        _, caught = run(own, x, [row])
        maps = caught[row]
        signals = strongest(maps.detach(), channels)
        found = [torch.autograd.grad(maps, x, s[None], retain_graph=True)[0] for s in signals]
    return torch.cat(found)


def strongest(maps: Tensor, channels: list[int]) -> Tensor:
    """(channels, C, H, W), of each named channel of (1, C, H, W) its largest value where it stands, and zeros."""
    signal = maps.new_zeros(len(channels), *maps.shape[1:])
    width = maps.shape[3]
    for i, channel in enumerate(channels):
        place = int(maps[0, channel].argmax())
        signal[i, channel, place // width, place % width] = maps[0, channel].amax()
    return signal


def _down(layer: nn.Module, seen: Tensor, switches: Tensor | None, signal: Tensor) -> Tensor:
    """The signal below a layer; `seen` (1, C, H, W) is what the layer saw on the way up."""
    if switches is not None:
        return _unpool(seen, switches, signal)
    if isinstance(layer, (nn.ReLU, nn.ReLU6)):
        return signal.clamp(min=0)
    if isinstance(layer, PaddedConv2d):
        span = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        stride = (layer.stride[0], layer.stride[1])
        pads = pads_at((seen.shape[2], seen.shape[3]), (span[0], span[1]), stride, layer.rules)
        below = _convolve_back(layer, F.pad(seen, pads), signal, padding=(0, 0))
        return F.pad(below, [-p for p in pads])
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        return _convolve_back(layer, seen, signal, padding=layer.padding)
    if isinstance(layer, (nn.LocalResponseNorm, nn.Dropout, nn.Identity)):
        return signal
    return _transposed(layer, seen, signal)


def _unpool(seen: Tensor, switches: Tensor, signal: Tensor) -> Tensor:
    """Each value to the place that its maximum came from; where windows overlap and meet, they add up."""
    empty = signal.new_zeros(len(signal), *seen.shape[1:]).flatten(2)
    places = switches.flatten(2).expand(len(signal), -1, -1)
    return empty.scatter_add(2, places, signal.flatten(2)).view(len(signal), *seen.shape[1:])


def _convolve_back(layer: nn.Conv2d, seen: Tensor, signal: Tensor, padding: tuple[int, ...]) -> Tensor:
    # where a stride does not divide the size, several sizes give the same output: the one that was seen is meant
    beyond = [
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, s, p, d, k in zip(
            seen.shape[2:],
            signal.shape[2:],
            layer.stride,
            padding,
            layer.dilation,
            layer.kernel_size,
            strict=True,
        )
    ]
    return F.conv_transpose2d(
        signal, layer.weight, None, layer.stride, padding, beyond, layer.groups, layer.dilation
    )


def _transposed(layer: nn.Module, seen: Tensor, signal: Tensor) -> Tensor:
    """Batch norm, average pooling, LeNet-5's layers: linear, so that the gradient is the transpose."""
    with torch.enable_grad():
        x = seen.detach().requires_grad_()
        y = layer(x)
        found = [torch.autograd.grad(y, x, s[None], retain_graph=True)[0] for s in signal]
    return torch.cat(found)
