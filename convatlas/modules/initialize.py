"""Initial weights by the papers' own rules, named in the definitions (`Network.init`)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from convatlas.modules.layers import Subsampling, TableConv2d

Weighted = nn.Conv2d | nn.Linear


def initialize(model: nn.Module, rule: str) -> None:
    """Set every parameter of `model` by `rule`, one of `define.network.INITS`.

    lecun_1998: uniform within +-2.4 / fan-in (LeCun et al. 1998, App. A). lecun: uniform of deviation
    1 / sqrt(fan-in) (LeCun, Bottou, Orr, Müller 1998, Efficient BackProp, §4.6). gaussian: N(0, 0.01), biases 0 (VGG, NiN).
    alexnet: gaussian, biases 1 in the second, fourth and fifth convolution and the hidden linear layers
    (Krizhevsky et al. 2012, §5). xavier: Glorot & Bengio 2010, uniform. he: N(0, 2 / fan-out) for convolutions,
    N(0, 0.01) for linear layers (He et al. 2015, arXiv 1502.01852); he_fan_in: N(0, 2 / fan-in).
    truncated_normal: deviation 0.1, cut at two deviations (TF-slim's Inception).
    Batch norms start at scale 1, shift 0 under every rule.
    """
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for module in weighted:
            _RULES[rule](module)
            if module.bias is not None:
                module.bias.zero_()
        if rule == "alexnet":
            _alexnet_biases(weighted)
        for other in model.modules():
            _special(other)


def _special(module: nn.Module) -> None:
    if isinstance(module, TableConv2d):
        module.weight.uniform_(-1, 1).mul_(2.4 / module.fan_in.view(-1, 1, 1))
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, Subsampling):
        bound = 2.4 / module.kernel**2
        module.weight.uniform_(-bound, bound)
        module.bias.zero_()


def _fans(module: Weighted) -> tuple[int, int]:
    """(fan-in, fan-out) of a layer: connections to one output, from one input."""
    taps = module.weight[0][0].numel()
    groups = module.groups if isinstance(module, nn.Conv2d) else 1
    return module.weight.shape[1] * taps, module.weight.shape[0] // groups * taps


def _lecun(module: Weighted) -> None:
    bound = math.sqrt(3 / _fans(module)[0])
    module.weight.uniform_(-bound, bound)


def _lecun_1998(module: Weighted) -> None:
    bound = 2.4 / _fans(module)[0]
    module.weight.uniform_(-bound, bound)


def _gaussian(module: Weighted) -> None:
    module.weight.normal_(0, 0.01)


def _xavier(module: Weighted) -> None:
    nn.init.xavier_uniform_(module.weight)


def _he(module: Weighted) -> None:
    module.weight.normal_(0, 0.01 if isinstance(module, nn.Linear) else math.sqrt(2 / _fans(module)[1]))


def _he_fan_in(module: Weighted) -> None:
    module.weight.normal_(0, math.sqrt(2 / _fans(module)[0]))


def _truncated_normal(module: Weighted) -> None:
    nn.init.trunc_normal_(module.weight, 0.0, 0.1, -0.2, 0.2)


def _alexnet_biases(weighted: list[Weighted]) -> None:
    convs = [m for m in weighted if isinstance(m, nn.Conv2d)]
    linears = [m for m in weighted if isinstance(m, nn.Linear)]
    ones: list[Weighted] = [*(convs[i] for i in (1, 3, 4) if i < len(convs)), *linears[:-1]]
    for module in ones:
        if module.bias is not None:
            module.bias.fill_(1)


_RULES: dict[str, Callable[[Weighted], None]] = {
    "lecun_1998": _lecun_1998,
    "lecun": _lecun,
    "gaussian": _gaussian,
    "alexnet": _gaussian,
    "xavier": _xavier,
    "he": _he,
    "he_fan_in": _he_fan_in,
    "truncated_normal": _truncated_normal,
}
