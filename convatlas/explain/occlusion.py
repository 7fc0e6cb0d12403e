"""Occlusion: cover a part of the picture, see how sure the network still is (Zeiler & Fergus 2013, §4.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

PATCH = 50 / 224  # of the side; the squares in the paper's Fig. 7 are about as large


def occlusion(
    model: nn.Module,
    x: Tensor,
    index: int,
    *,
    patch: int | None = None,
    stride: int | None = None,
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """(rows, columns): the probability of class `index` with a grey square centred at each place of a grid.

    x: (1, C, H, W), normalized, where grey (the mean of the training pictures) is 0. patch, stride: pixels; by
    default the paper's share of the shorter side, and a sixteenth of it. The grid reaches from edge to edge, so
    that squares at the border are cut off.
    """
    height, width = x.shape[2:]
    side = min(height, width)
    patch = patch or max(1, round(side * PATCH))
    stride = stride or max(1, side // 16)
    centers = [(y, z) for y in _centers(height, stride) for z in _centers(width, stride)]
    found = []
    with torch.inference_mode():
        for start in range(0, len(centers), batch):
            part = centers[start : start + batch]
            covered = x.repeat(len(part), 1, 1, 1)
            for picture, (y, z) in zip(covered, part, strict=True):
                top, left = y - patch // 2, z - patch // 2
                picture[:, max(top, 0) : top + patch, max(left, 0) : left + patch] = 0
            found.append(model(covered).float().softmax(1)[:, index])
            if progress is not None:
                progress(min(start + batch, len(centers)), len(centers))
    return torch.cat(found).view(len(_centers(height, stride)), -1).clone()


def _centers(size: int, stride: int) -> list[int]:
    """Places `stride` apart, as far from one edge as from the other."""
    count = max(1, size // stride)
    first = (size - 1 - (count - 1) * stride) // 2
    return [first + i * stride for i in range(count)]
