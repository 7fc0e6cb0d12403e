"""Where a crop is taken from: one sample's box, from its size, its augmentation and its own random numbers."""

from __future__ import annotations

import math

from convatlas.data.augmentation import Augmentation
from convatlas.data.decode import Box
from convatlas.data.randomness import Draws


def training_box(
    width: int, height: int, size: tuple[int, int], augmentation: Augmentation, draws: Draws
) -> Box:
    """(left, top, width, height) in the picture of what becomes the input of `size` (height, width)."""
    if augmentation.crop == "resized":
        return resized_box(width, height, augmentation.area, augmentation.ratio, draws)
    if augmentation.crop == "jitter" and augmentation.short_side is not None:
        low, high = augmentation.short_side
        return random_box(width, height, size, low + draws.integer(high - low), draws)
    if augmentation.crop == "random":
        return random_box(width, height, size, max(size) * 8 // 7, draws)
    return center_box(width, height, size, max(size) * 8 // 7)


def resized_box(
    width: int, height: int, area: tuple[float, float], ratio: tuple[float, float], draws: Draws
) -> Box:
    """Szegedy et al. 2015, §6: a part of the area, of an aspect ratio, anywhere; log-uniform in the ratio.

    Ten tries, then the largest centre crop of an allowed ratio, as torchvision's RandomResizedCrop has it.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        pixels = width * height * draws.uniform(*area)
        aspect = math.exp(draws.uniform(low, high))
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            return (draws.integer(width - w), draws.integer(height - h), w, h)
    if width / height < ratio[0]:
        w, h = width, max(1, min(height, round(width / ratio[0])))
    elif width / height > ratio[1]:
        w, h = max(1, min(width, round(height * ratio[1]))), height
    else:
        w, h = width, height
    return ((width - w) // 2, (height - h) // 2, w, h)


def random_box(width: int, height: int, size: tuple[int, int], short_side: int, draws: Draws) -> Box:
    """A crop of `size` anywhere in the picture as it would be with this short side, in source pixels."""
    w, h = _source_size(width, height, size, short_side)
    return (draws.integer(width - w), draws.integer(height - h), w, h)


def center_box(width: int, height: int, size: tuple[int, int], short_side: int) -> Box:
    """The middle crop of `size` in the picture as it would be with this short side, in source pixels."""
    w, h = _source_size(width, height, size, short_side)
    return ((width - w) // 2, (height - h) // 2, w, h)


def _source_size(width: int, height: int, size: tuple[int, int], short_side: int) -> tuple[int, int]:
    scale = min(width, height) / max(short_side, *size)
    return max(1, min(width, round(size[1] * scale))), max(1, min(height, round(size[0] * scale)))
