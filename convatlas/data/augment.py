"""The whole-batch arithmetic of an `Augmentation`, on the device that trains."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.augmentation import Augmentation
from convatlas.data.pixels import normalize
from convatlas.define.preprocessing import Preprocessing


def augment(
    images: Tensor,
    labels: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
    preprocessing: Preprocessing | None = None,
    classes: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Augment a batch and make it floats: bytes (N, C, H, W) to float32 of the same shape, and its labels.

    preprocessing: normalizes; None leaves 0..1. Labels stay int64 (N,), or become float (N, classes) where mixup or
    cutmix mixes them. All random numbers come from `generator`, which is on the images' device.
    """
    if augmentation.padding:
        images = random_shift(images, augmentation.padding, generator)
    if augmentation.flip:
        images = random_flip(images, augmentation.flip, generator)
    values = images.to(torch.float32).div_(255) if preprocessing is None else normalize(images, preprocessing)
    return values, labels


def random_flip(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Mirror left and right, each picture by its own draw."""
    chosen = torch.rand(len(images), device=images.device, generator=generator) < probability
    return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


def random_shift(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad with zeros and crop each picture's own size out of it anywhere (He et al. 2016, §4.2: 4 on CIFAR)."""
    n, _, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, n), device=images.device, generator=generator)
    rows = (top[:, None] + torch.arange(height, device=images.device)).view(n, height, 1)
    columns = (left[:, None] + torch.arange(width, device=images.device)).view(n, 1, width)
    first = torch.arange(n, device=images.device).view(n, 1, 1)
    return padded.permute(0, 2, 3, 1)[first, rows, columns].permute(0, 3, 1, 2)
