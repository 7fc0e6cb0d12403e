"""The filters of the first layer, which are the only ones that live in the colours of the picture itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.define import Conv, DepthwiseConv, Elaborated
from convatlas.define.operations import TableConv
from convatlas.errors import MisuseError


def first_row(elaborated: Elaborated) -> str:
    """The first convolution; MisuseError where there is none."""
    for path, placed in elaborated.operations():
        if isinstance(placed.node, (Conv, DepthwiseConv, TableConv)):
            return path
    raise MisuseError(
        f"{elaborated.network.name or 'the network'} has no convolution, so it has no filters to show"
    )


def first_filters(model: nn.Module, elaborated: Elaborated) -> Tensor:
    """(filters, channels, height, width) of the first convolution, in the network's channel order."""
    weight = model.get_submodule(first_row(elaborated)).weight
    assert isinstance(weight, Tensor)
    weight = weight.detach().float().cpu()
    return weight[:, None] if weight.dim() == 3 else torch.clone(weight)
