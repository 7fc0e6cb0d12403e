"""ResNet's shortcut without weights (option A), its gradient in one pass over memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

from convatlas.modules.layers import PadShortcut


class FusedPadShortcut(PadShortcut):
    """The same, its gradient written once: torch's goes over the whole input for each axis that is sliced."""

    def forward(self, x: Tensor) -> Tensor:
        return _Pad.apply(x, self.stride, self.before, self.after)


class _Pad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, stride: int, before: int, after: int) -> Tensor:
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else None
        ctx.like = x.shape, x.dtype, x.device, layout or torch.contiguous_format  # type: ignore[attr-defined]
        ctx.step, ctx.before = stride, before  # type: ignore[attr-defined]
        return F.pad(x[:, :, ::stride, ::stride], [0, 0, 0, 0, before, after])

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        shape, dtype, device, layout = ctx.like  # type: ignore[attr-defined]
        stride, before = ctx.step, ctx.before  # type: ignore[attr-defined]
        result = torch.empty(shape, dtype=dtype, device=device, memory_format=layout).zero_()
        result[:, :, ::stride, ::stride] = grad[:, before : before + shape[1]]
        return result, None, None, None
