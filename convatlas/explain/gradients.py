"""The gradient of a class's score with respect to the pixels, and what guided backpropagation makes of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.explain.rules import Rule, with_rule


def input_gradient(model: nn.Module, x: Tensor, index: int, rule: Rule = "gradient") -> Tensor:
    """Gradient of score[index] by x, (1, C, H, W), rectifiers by `rule`; the score is the logit, before softmax."""
    own = with_rule(model, rule)
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = own(x)[0, index]
        (gradient,) = torch.autograd.grad(score, x)
    return gradient


def saliency(model: nn.Module, x: Tensor, index: int) -> Tensor:
    """(H, W), the largest absolute gradient over the channels (Simonyan et al. 2013, §3.1)."""
    return input_gradient(model, x, index)[0].abs().amax(0)


def guided_backpropagation(model: nn.Module, x: Tensor, index: int) -> Tensor:
    """(C, H, W), signed (Springenberg et al. 2014)."""
    return input_gradient(model, x, index, "guided")[0]
