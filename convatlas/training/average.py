"""An exponential moving average of the weights: a smoother end point than the last step (Polyak & Juditsky 1992)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """Holds the averaged model; the average covers batch norm's statistics as well."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model as it is after a step."""
        self.steps += 1
        # the first steps weigh less, or the average would remember the random start for 1 / (1 - decay) steps
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        mine, theirs = _floats(self.model), _floats(model)
        torch._foreach_lerp_(mine, theirs, 1 - decay)  # the same call as torch.optim.swa_utils
        own, other = _counts(self.model), _counts(model)
        if own:
            torch._foreach_copy_(own, other)


def _floats(model: nn.Module) -> list[Tensor]:
    return [t.detach() for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]


def _counts(model: nn.Module) -> list[Tensor]:
    return [b for b in model.buffers() if not b.is_floating_point()]
