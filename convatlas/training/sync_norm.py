"""Batch norm over the images of all workers, on any device; torch's own does so on GPUs alone."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


def synchronize_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """The same model, whose batch norms take mean and variance over all workers; names and values stay.

    Not before the plan is measured: one worker measures, and would wait for the others.
    """
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = JointBatchNorm2d
    return model


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of (N, C, H, W) over the joint batch of all workers while it trains; nn.BatchNorm2d otherwise."""

    def forward(self, input: Tensor) -> Tensor:
        """The same shape and type."""
        joint = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not self.training or not joint:
            return super().forward(input)
        x = input.to(torch.float32) if input.dtype in (torch.bfloat16, torch.float16) else input
        count = _Sum.apply(x.new_tensor([float(x.numel() // x.shape[1])]))
        # two sums, the second of deviations: a difference of squares would lose half of the digits
        mean = _Sum.apply(x.sum((0, 2, 3))) / count
        centered = x - mean.view(1, -1, 1, 1)
        variance = _Sum.apply(centered.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach(), float(count))
        scale = (variance + self.eps).rsqrt() * self.weight
        return torch.addcmul(self.bias.view(1, -1, 1, 1), centered, scale.view(1, -1, 1, 1)).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        part = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, part)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), part)


class _Sum(torch.autograd.Function):
    """The sum over workers; so is its gradient, since every worker's loss depends on every worker's part."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:  # noqa: ARG004  torch passes it
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:  # noqa: ARG004
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total
