"""Weights for comparisons: random, of sane size, and quick even for VGG, whose own rule draws 138 million normals."""

from __future__ import annotations

import math

import torch
from torch import nn

_DRAWS = 1 << 18


def fill(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter and running statistic random values; the same for two models of equal names."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(_DRAWS, generator=generator)
    with torch.no_grad():
        for name, tensor in sorted(model.state_dict().items()):
            if not tensor.is_floating_point() or name.endswith("codes"):
                continue
            count = tensor.numel()
            offset = int(torch.randint(_DRAWS, (), generator=generator))
            values = draws.roll(offset).repeat(-(-count // _DRAWS))[:count].view(tensor.shape)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + values.abs())
            elif tensor.dim() > 1:
                tensor.copy_(values / math.sqrt(max(1, tensor[0].numel())))
            else:
                tensor.copy_(0.1 * values + (1.0 if name.endswith("weight") else 0.0))
    return model.eval()
