"""The fast way from JPEG bytes to a resized crop, for training and for predicting in bulk.

libjpeg-turbo through simplejpeg, decoded at a half, a quarter or an eighth where the crop is that much larger than
what is asked for; then one antialiased resize on bytes, channels last. What it cannot do exactly (CMYK, formats
other than JPEG, damaged files) goes through `read_image`. Pixels differ from Pillow's by a few grey levels where
the scaled decoding or the fast DCT is used, so evaluation by a paper's protocol goes through `convatlas.data.pixels`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torch.nn import functional as F

from convatlas.data.images import MAX_PIXELS, ImageError, read_image, to_rgb

# left, top, width, height in the upright picture, chosen for its width and height
Box = tuple[int, int, int, int]
Plan = Callable[[int, int], Box]


def decode_crop(
    data: bytes, plan: Plan, size: tuple[int, int], name: str, channels: int = 3, *, fast: bool = True
) -> Tensor:
    """The part of a picture that `plan` chooses, resized to `size` (height, width): uint8 (1, C, H, W).

    The memory is channels last. Raises ImageError.
    """
    pixels, (left, top, width, height) = _decode(data, plan, size, name, channels, fast=fast)
    part = torch.from_numpy(pixels)[top : top + height, left : left + width]
    image = part.permute(2, 0, 1)[None]
    if (height, width) == size:
        return image
    if channels == 3:
        image = image.contiguous(memory_format=torch.channels_last)
    return F.interpolate(image, size=size, mode="bilinear", antialias=True)


def _decode(
    data: bytes, plan: Plan, size: tuple[int, int], name: str, channels: int, *, fast: bool
) -> tuple[np.ndarray, Box]:
    """Pixels (H, W, C) of the whole picture, perhaps scaled down, and the box in them."""
    if data[:2] == b"\xff\xd8":
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        except ValueError:
            height, width, space = 0, 0, ""
        turn = orientation(data)
        if turn == 1 and space in ("YCbCr", "Gray", "RGB") and 0 < height * width <= MAX_PIXELS:
            box = plan(width, height)
            # a whole factor of 2, 4 or 8: the others have no SIMD code and cost more than they save
            factor = _factor(box, size)
            try:
                pixels = simplejpeg.decode_jpeg(
                    data,
                    "RGB" if channels == 3 else "GRAY",
                    fastdct=fast,
                    fastupsample=fast,
                    min_height=-(-height // factor) if factor > 1 else 0,
                    min_width=-(-width // factor) if factor > 1 else 0,
                )
            except ValueError:
                pass  # Pillow below reads it or says why not
            else:
                return pixels, _scaled(box, (width, height), (pixels.shape[1], pixels.shape[0]))
    image = read_image(data, name)
    if channels == 1:
        image = image.convert("L")
    array = np.array(image)
    return (array[:, :, None] if array.ndim == 2 else array), plan(image.width, image.height)


def _factor(box: Box, size: tuple[int, int]) -> int:
    room = min(box[2] / size[1], box[3] / size[0])
    return 8 if room >= 8 else 4 if room >= 4 else 2 if room >= 2 else 1


def _scaled(box: Box, old: tuple[int, int], new: tuple[int, int]) -> Box:
    if old == new:
        return box
    x, y = new[0] / old[0], new[1] / old[1]
    left, top = min(int(box[0] * x), new[0] - 1), min(int(box[1] * y), new[1] - 1)
    width = max(1, min(round(box[2] * x), new[0] - left))
    height = max(1, min(round(box[3] * y), new[1] - top))
    return (left, top, width, height)


def orientation(data: bytes) -> int:
    """EXIF orientation 1..8 of a JPEG, from its first APP1 segment; 1 where it says nothing sensible."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA or length < 2:
            return 1
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return _tiff_orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 1
    start = int.from_bytes(tiff[4:8], order)  # type: ignore[arg-type]
    count = int.from_bytes(tiff[start : start + 2], order)  # type: ignore[arg-type]
    for i in range(min(count, 512)):
        entry = tiff[start + 2 + 12 * i : start + 14 + 12 * i]
        if len(entry) == 12 and int.from_bytes(entry[:2], order) == 0x0112:  # type: ignore[arg-type]
            value = int.from_bytes(entry[8:10], order)  # type: ignore[arg-type]
            return value if 1 <= value <= 8 else 1
    return 1


__all__ = ["Box", "ImageError", "Plan", "decode_crop", "orientation", "to_rgb"]
