"""Two pictures in one: mixup, cutmix, and the hole of cut-out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cutout(values: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Zero a square of `side` around a point anywhere, clipped at the edges (DeVries & Taylor 2017, §3.2)."""
    n, _, height, width = values.shape
    y, x = _points(n, height, width, values.device, generator)
    return values.masked_fill_(_box(y - side // 2, x - side // 2, side, side, height, width), 0.0)


def mixup(values: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend each picture with the one mirrored in the batch's order (Zhang et al. 2018); targets (N, classes)."""
    share = beta(alpha, values.device, generator)
    return values.flip(0).mul_(1 - share).add_(values * share), targets * share + targets.flip(0) * (
        1 - share
    )


def cutmix(
    values: Tensor, targets: Tensor, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Paste a box of another picture (Yun et al. 2019); the targets' share is that of the pixels really pasted."""
    _, _, height, width = values.shape
    cut = torch.sqrt(1 - beta(alpha, values.device, generator))
    y, x = _points(1, height, width, values.device, generator)
    rows, columns = (cut * height).long(), (cut * width).long()
    box = _box(y - rows // 2, x - columns // 2, rows, columns, height, width)
    share = 1 - box.to(torch.float32).mean()
    return torch.where(box, values.flip(0), values), targets * share + targets.flip(0) * (1 - share)


def beta(alpha: float, device: torch.device, generator: torch.Generator) -> Tensor:
    """One number of Beta(alpha, alpha), on the device: the share of a first of two Gamma draws."""
    draws = torch._standard_gamma(torch.full((2,), alpha, device=device), generator)  # noqa: SLF001  the public one takes no generator
    return draws[0] / draws.sum().clamp(min=1e-30)


def soft(labels: Tensor, classes: int) -> Tensor:
    """Labels int64 (N,) to float32 (N, classes)."""
    return F.one_hot(labels, classes).to(torch.float32)


def _points(
    n: int, height: int, width: int, device: torch.device, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    draws = torch.rand(2, n, device=device, generator=generator)
    return (draws[0] * height).long(), (draws[1] * width).long()


def _box(
    top: Tensor, left: Tensor, rows: Tensor | int, columns: Tensor | int, height: int, width: int
) -> Tensor:
    """True inside of a box a picture: (N, 1, H, W)."""
    y = torch.arange(height, device=top.device).view(1, 1, height, 1)
    x = torch.arange(width, device=top.device).view(1, 1, 1, width)
    top, left = top.view(-1, 1, 1, 1), left.view(-1, 1, 1, 1)
    return (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)
