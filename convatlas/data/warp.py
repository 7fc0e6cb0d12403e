"""Moving pixels about: shifts, flips, and small affine distortions of a whole batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.augmentation import Augmentation

_LARGE = 1 << 16  # values from which a picture is worth a loop of its own


def flips(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Which pictures to mirror, (N,), each by its own draw."""
    return torch.rand(len(images), device=images.device, generator=generator) < probability


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror left and right where chosen (N,) is True; channels last in, channels last out."""
    rows = images.permute(0, 2, 3, 1).contiguous()
    if images.device.type == "cpu" and rows[0].numel() >= _LARGE:
        turned = rows.clone()
        for i in chosen.nonzero().flatten().tolist():  # one at a time: it stays in the cache
            turned[i] = rows[i].flip(1)
        return turned.permute(0, 3, 1, 2)
    mirrored = rows.flip(2)
    if images.dtype == torch.uint8 and rows[0].numel() % 8 == 0:
        # a choice of whole pictures needs no look at single bytes: eight at a time is five times as fast on a CPU
        wide = torch.where(chosen[:, None], _eights(mirrored), _eights(rows))
        return wide.view(torch.uint8).view_as(rows).permute(0, 3, 1, 2)
    return torch.where(chosen.view(-1, 1, 1, 1), mirrored, rows).permute(0, 3, 1, 2)


def _eights(rows: Tensor) -> Tensor:
    return rows.view(len(rows), -1).view(torch.int64)


def random_shift(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad with zeros and crop each picture's own size out of it anywhere (He et al. 2016, §4.2: 4 on CIFAR)."""
    n, _, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, n), device=images.device, generator=generator)
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    # every crop that there is, as a view; indexing copies the chosen one a picture
    crops = padded.unfold(1, height, 1).unfold(2, width, 1)
    chosen = crops[torch.arange(n, device=images.device), top, left]
    return chosen.contiguous(memory_format=torch.channels_last)


def affine(values: Tensor, matrix: Tensor, fill: float = 0.0) -> Tensor:
    """Sample floats (N, C, H, W) through matrices (N, 2, 3) that take output to input places in -1..1; bilinear.

    What lies outside of a picture becomes `fill`.
    """
    grid = F.affine_grid(matrix, list(values.shape), align_corners=False)
    moved = F.grid_sample(values - fill if fill else values, grid, mode="bilinear", align_corners=False)
    return moved + fill if fill else moved


def affine_matrix(
    angle: Tensor,
    shear_x: Tensor,
    shear_y: Tensor,
    zoom: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    aspect: float,
) -> Tensor:
    """Matrices (N, 2, 3) for `affine`, of radians, shares of the side, and width / height of the picture."""
    cosine, sine = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    a, b = cosine + shear_y * sine, shear_x * cosine + sine
    c, d = shear_y * cosine - sine, cosine - shear_x * sine
    # the grid runs -1..1 on both sides: an oblong picture needs its aspect taken out of the off-diagonal
    rows = torch.stack([a, b / aspect, -2 * shift_x, c * aspect, d, -2 * shift_y], dim=1)
    return rows.view(-1, 2, 3)


def random_affine(
    values: Tensor, augmentation: Augmentation, generator: torch.Generator, fill: float = 0.0
) -> Tensor:
    """Rotate, shear, zoom and translate each picture by its own draw (LeCun et al. 1998, III.A distorted so)."""
    a, n = augmentation, len(values)
    draws = torch.rand(6, n, device=values.device, generator=generator) * 2 - 1
    matrix = affine_matrix(
        draws[0] * math.radians(a.rotate),
        draws[1] * a.shear,
        draws[2] * a.shear,
        1 + draws[3] * a.zoom,
        draws[4] * a.translate,
        draws[5] * a.translate,
        values.shape[3] / values.shape[2],
    )
    return affine(values, matrix, fill)
