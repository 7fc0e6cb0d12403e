"""The fast way from JPEG bytes to a resized crop, for training and for predicting in bulk.

libjpeg-turbo through simplejpeg, no further down than the crop reaches; a large picture at a half, a quarter or an
eighth where the crop is that much larger than what is asked for; then one antialiased resize on bytes, channels last.
A PPM of `data pack` has its pixels as they are. What it cannot do exactly (CMYK, turned by EXIF, other formats, damaged
files) goes through `read_image`.
Pixels differ from Pillow's by a few grey levels where the scaled decoding or the fast DCT is used, so evaluation by a
paper's protocol goes through `convatlas.data.pixels`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch import Tensor

from convatlas.data.exact import crop_of_jpeg
from convatlas.data.images import MAX_PIXELS, read_image
from convatlas.data.jpeg import Frame, cut, read_frame
from convatlas.data.pixels import crop_pixels
from convatlas.data.ppm import ppm_pixels
from convatlas.data.resize import resize
from convatlas.data.scratch import Scratch
from convatlas.define.preprocessing import Preprocessing

# left, top, width, height in the upright picture, chosen for its width and height
Box = tuple[int, int, int, int]
Plan = Callable[[int, int], Box]

# Pixels above which a JPEG is decoded at a half or less where the crop allows. Below, entropy decoding is most of the
# time and is not saved, and one way of decoding a picture keeps what is held in memory equal to what is read.
LARGE = 1_500_000

# a cut that saves less than this is not worth the copy of the file
_WORTH_A_CUT = 0.97


_scratch = Scratch()


def decode_crop(data: bytes, plan: Plan, out: np.ndarray, name: str, *, fast: bool = True) -> None:
    """The part of a picture that `plan` chooses, resized into `out`, uint8 (H, W, C). Raises ImageError.

    No row below the part is decoded, and a large picture no larger than the part needs.
    """
    frame = _fit(data)
    if frame is None:
        pixels = _other(data, name, out.shape[2])
        crop_resize(pixels, plan(pixels.shape[1], pixels.shape[0]), out)
        return
    box = plan(frame.width, frame.height)
    factor = _factor(box, out.shape) if frame.height * frame.width > LARGE else 1
    rows, size = box[1] + box[3], (frame.width, frame.height)
    try:
        if frame.one_pass and rows < _WORTH_A_CUT * frame.height:
            size, shorter = (frame.width, rows), cut(data, frame, rows)
            pixels = _turbo(shorter, out.shape[2], fast, size, factor, keep=False, strict=False)
        else:
            pixels = _turbo(data, out.shape[2], fast, size, factor, keep=False)
    except ValueError:
        size = (frame.width, frame.height)
        pixels = _pillow(data, name, out.shape[2])  # reads it after all, or says why not
    crop_resize(pixels, _scaled(box, size, (pixels.shape[1], pixels.shape[0])), out)


def exact_pixels(data: bytes, name: str, preprocessing: Preprocessing) -> np.ndarray:
    """The pixels that Pillow decodes, resizes and crops, bit for bit, a JPEG twice as fast: uint8 (H, W, C).

    libjpeg-turbo without its shortcuts gives what Pillow gives. They are those of `crop_pixels(read_image(data))`, save
    for a JPEG so long that this makes the middle alone, by other rounding. Raises ImageError.
    """
    if (crop := crop_of_jpeg(data, preprocessing)) is not None:
        return crop
    pixels = decode_whole(data, name, fast=False, keep=False)
    image = read_image(data, name) if pixels is None else Image.fromarray(pixels)
    return crop_pixels(image, preprocessing)


def crop_resize(pixels: np.ndarray, box: Box, out: np.ndarray) -> None:
    """A part of pixels (H, W, C), antialiased bilinear, into `out` (H, W, C)."""
    left, top, width, height = box
    part = pixels[top : top + height, left : left + width]
    if part.shape == out.shape:
        out[:] = part
        return
    if resize(part, out):
        return
    # torch's vector code takes pixels without gaps only, and its tensors no memory that may not be written to
    if not (part.flags.c_contiguous and part.flags.writeable):
        packed = _scratch.room("part", part.size).reshape(part.shape)
        packed[:] = part
        part = packed
    # the out= form of F.interpolate(..., mode="bilinear", antialias=True): straight into the batch
    torch.ops.aten._upsample_bilinear2d_aa.out(  # noqa: SLF001
        _channels_first(part), list(out.shape[:2]), False, None, None, out=_channels_first(out)
    )


def _channels_first(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def decode_whole(
    data: bytes, name: str, channels: int = 3, *, fast: bool = True, keep: bool = True
) -> np.ndarray | None:
    """Upright pixels (H, W, C) of a picture of any format; None for a JPEG above LARGE, which is better scaled.

    keep: False where the pixels are used before this thread decodes again: they lie in its scratch memory.
    """
    frame = _fit(data)
    if frame is None:
        return _other(data, name, channels)
    if frame.height * frame.width > LARGE:
        return None
    try:
        return _turbo(data, channels, fast, (frame.width, frame.height), 1, keep=keep)
    except ValueError:
        return _pillow(data, name, channels)  # reads it after all, or says why not


def _fit(data: bytes) -> Frame | None:
    """The header of a JPEG that libjpeg-turbo reads as it should be seen: upright, grey or color, of a sane size."""
    frame = read_frame(data)
    if frame is None or frame.orientation != 1 or frame.components not in (1, 3):
        return None
    return frame if frame.height * frame.width <= MAX_PIXELS else None


def _turbo(
    data: bytes | bytearray,
    channels: int,
    fast: bool,
    size: tuple[int, int],
    factor: int,
    *,
    keep: bool,
    strict: bool = True,
) -> np.ndarray:
    width, height = (-(-side // factor) for side in size)
    # a scaled picture is as large as libjpeg-turbo finds: it takes memory of its own
    buffer = None if keep or factor > 1 else _scratch.room("whole", height * width * channels)
    return simplejpeg.decode_jpeg(
        data,
        "RGB" if channels == 3 else "GRAY",
        fastdct=fast,
        fastupsample=fast,
        min_height=height if factor > 1 else 0,
        min_width=width if factor > 1 else 0,
        buffer=buffer,
        strict=strict,
    )


def _other(data: bytes, name: str, channels: int) -> np.ndarray:
    pixels = ppm_pixels(data) if channels == 3 else None
    return _pillow(data, name, channels) if pixels is None else pixels


def _pillow(data: bytes, name: str, channels: int) -> np.ndarray:
    image = read_image(data, name)
    array = np.array(image if channels == 3 else image.convert("L"))
    return array[:, :, None] if array.ndim == 2 else array


def _factor(box: Box, size: tuple[int, ...]) -> int:
    """A half, a quarter or an eighth: the other scales of libjpeg-turbo have no vector code."""
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
