"""Copies of a model that share its weights."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


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
