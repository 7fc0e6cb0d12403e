"""Grad-CAM: which places of the last maps speak for a class (Selvaraju et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.explain.subject import private, run


def grad_cam(model: nn.Module, x: Tensor, index: int, row: str) -> Tensor:
    """(H, W) of the row's maps: ReLU of their sum, each weighted by its mean gradient (eq. 1 and 2)."""
    with torch.enable_grad():
        # the input takes part in the graph, so that networks whose weights are frozen have one too
        logits, caught = run(private(model), x.detach().clone().requires_grad_(), [row])
        maps = caught[row]
        (gradient,) = torch.autograd.grad(logits[0, index], maps)
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * maps.detach()).sum(1)[0].clamp(min=0)
