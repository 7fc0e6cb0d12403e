"""What a rectifier does to the signal on its way down: the whole difference between three methods.

gradient   passes where the input was above zero (backpropagation; Simonyan et al. 2013)
deconvnet  passes where the signal itself is above zero (Zeiler & Fergus 2013, §2.1)
guided     passes where both are (Springenberg et al. 2014, §3.4)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from convatlas.explain.subject import private

Rule = Literal["gradient", "deconvnet", "guided"]


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, rule: Rule, top: float) -> Tensor:
        ctx.rule = rule  # type: ignore[attr-defined]
        ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, signal: Tensor) -> tuple[Tensor, None, None]:
        (passed,) = ctx.saved_tensors  # type: ignore[attr-defined]
        signal = signal.clamp(min=0)
        return (signal if ctx.rule == "deconvnet" else signal * passed), None, None  # type: ignore[attr-defined]


class _Rectifier(nn.Module):
    def __init__(self, rule: Rule, top: float) -> None:
        super().__init__()
        self.rule: Rule = rule
        self.top = top

    def forward(self, x: Tensor) -> Tensor:
        return _Rectify.apply(x, self.rule, self.top)


class _PassedBy(nn.Module):
    """Computes as its module does; the signal on its way down goes by it unchanged."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.module(x) - x).detach()


def with_rule(model: nn.Module, rule: Rule) -> nn.Module:
    """A copy, sharing the weights, whose gradient is the signal of this rule.

    ReLU and ReLU6 follow the rule, other activations their derivative. The deconvnet passes local response
    normalization by: Zeiler & Fergus have no inverse of it.
    """
    own = private(model)
    if rule == "gradient":
        return own
    for parent in list(own.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.ReLU, nn.ReLU6)):
                top = 6.0 if isinstance(child, nn.ReLU6) else float("inf")
                setattr(parent, name, _Rectifier(rule, top))
            elif rule == "deconvnet" and isinstance(child, nn.LocalResponseNorm):
                setattr(parent, name, _PassedBy(child))
    return own
