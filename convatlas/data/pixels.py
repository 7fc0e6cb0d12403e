"""A picture to a network's input, to the pixel as the libraries do it whose weights are used.

The arithmetic is that of Pillow with torchvision's rounding: the long side int(resize * long / short), the crop's
corner int(round((size - crop) / 2)), division in float32. Proven against torchvision in the oracle tests and
against the reference predictions of published weights.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from convatlas.data import pixel_kernels
from convatlas.data.images import Source, label, read_bytes, read_image
from convatlas.data.warp import mirrored
from convatlas.define.preprocessing import Preprocessing

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}

_CACHED = 1 << 16  # values from which a picture is worth a loop of its own


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> Tensor:
    """An RGB image to a float32 tensor (C, H, W): resized, cropped, normalized."""
    pixels = crop_pixels(image, preprocessing)
    return normalize(torch.from_numpy(pixels).permute(2, 0, 1)[None], preprocessing)[0]


def load(source: Source, preprocessing: Preprocessing, name: str | None = None) -> Tensor:
    """A file or its bytes to a float32 tensor (C, H, W), exactly; raises ImageError."""
    name = label(source, name)
    return preprocess(read_image(read_bytes(source, name), name), preprocessing)


def crop_pixels(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """The uint8 pixels (H, W, C) after resize and crop, in RGB order or grey: what a batch of bytes is made of."""
    if preprocessing.channel_order == "grey":
        image = image.convert("L")
    image = _resize_and_crop(image, preprocessing)
    pixels = np.array(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def normalize(
    images: Tensor,
    preprocessing: Preprocessing,
    out: Tensor | None = None,
    *,
    exact: bool = True,
    mirror: Tensor | None = None,
) -> Tensor:
    """Values 0..255 (N, C, H, W), RGB or grey, to the network's floats on the same device, channels last.

    out: memory to write into and return, float32 of the same shape and channels last. Fresh pages cost a CPU more
    than the arithmetic does: a loop that is done with its last batch gives that. exact: False for one multiplication
    and addition, of the same value to a few units in the last place, where the libraries divide, subtract, divide.
    mirror: (N,), which pictures to turn left to right.
    """
    if preprocessing.channel_order == "bgr":
        images = images.flip(1)
    n, c, h, w = images.shape
    if out is None or out.shape != images.shape or not out.is_contiguous(memory_format=torch.channels_last):
        out = torch.empty((n, h, w, c), dtype=torch.float32, device=images.device).permute(0, 3, 1, 2)
    if not exact and pixel_kernels.suits(images, out, len(preprocessing.mean)):
        return pixel_kernels.flip_normalize(images, mirror, *_factors(preprocessing), out)
    if mirror is not None:
        images = mirrored(images, mirror)
    mean, std = (_repeated(v, w, out.device) for v in (preprocessing.mean, preprocessing.std))
    line = None if exact else _line(preprocessing, w, out.device)
    # whole rows of pixels as one axis: three channels alone are too short a loop for vector units
    rows, source = (t.permute(0, 2, 3, 1).reshape(n * h, w * c) for t in (out, images))
    # on a CPU a photo at a time: it stays in the cache through the four passes
    step = h if out.device.type == "cpu" and h * w * c >= _CACHED else max(n * h, 1)
    for part, pixels in zip(rows.split(step), source.split(step), strict=True):
        part.copy_(pixels)
        if line is None:
            part.div_(preprocessing.scale).sub_(mean).div_(std)
        else:
            torch.addcmul(line[1], part, line[0], out=part)
    return out


@functools.lru_cache(maxsize=64)
def _line(preprocessing: Preprocessing, times: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(factor, offset) of the channels for a whole row of pixels: value * factor + offset is the network's input."""
    factor, offset = _factors(preprocessing)
    return _repeated(factor, times, device), _repeated(offset, times, device)


def _factors(preprocessing: Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(factor, offset) a channel."""
    pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
    return tuple(1 / (preprocessing.scale * std) for _, std in pairs), tuple(
        -mean / std for mean, std in pairs
    )


@functools.lru_cache(maxsize=64)
def _repeated(values: tuple[float, ...], times: int, device: torch.device) -> Tensor:
    """Values of the channels for a whole row of pixels; made once, since a copy to a GPU makes its queue wait."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, device=device).repeat(times)


def resized(size: tuple[int, int], resize: int | tuple[int, int] | None) -> tuple[int, int]:
    """(width, height) after the resize step."""
    width, height = size
    if resize is None:
        return size
    if isinstance(resize, tuple):
        return (resize[1], resize[0])
    if width <= height:
        return (resize, int(resize * height / width))
    return (int(resize * width / height), resize)


def centre_box(size: tuple[int, int], crop: int | tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a centre crop; negative where the picture is smaller."""
    width, height = size
    rows, columns = crop if isinstance(crop, tuple) else (crop, crop)
    # torchvision pads a small picture with (crop - size) // 2 first and then crops at 0
    left = int(round((width - columns) / 2.0)) if width >= columns else -((columns - width) // 2)  # noqa: RUF046
    top = int(round((height - rows) / 2.0)) if height >= rows else -((rows - height) // 2)  # noqa: RUF046
    return (left, top, left + columns, top + rows)


def _resize_and_crop(image: Image.Image, p: Preprocessing) -> Image.Image:
    new = resized(image.size, p.resize)
    box = None if p.crop is None else centre_box(new, p.crop)
    if new != image.size:
        if box is not None and new[0] * new[1] > 16 * (box[2] - box[0]) * (box[3] - box[1]):
            # A picture of 1x30000 would become 256 x 7,680,000 for the sake of its middle: only that is made.
            return _resize_the_middle(image, new, box, _FILTERS[p.interpolation])
        image = image.resize(new, _FILTERS[p.interpolation])
    return image if box is None else image.crop(box)


def _resize_the_middle(
    image: Image.Image, new: tuple[int, int], box: tuple[int, int, int, int], resample: Image.Resampling
) -> Image.Image:
    """The crop alone, out of the source pixels that it stands on; equal to within rounding."""
    x, y = image.width / new[0], image.height / new[1]
    inside = (max(box[0], 0), max(box[1], 0), min(box[2], new[0]), min(box[3], new[1]))
    source = (inside[0] * x, inside[1] * y, min(inside[2] * x, image.width), min(inside[3] * y, image.height))
    part = image.resize((inside[2] - inside[0], inside[3] - inside[1]), resample, box=source)
    page = Image.new(image.mode, (box[2] - box[0], box[3] - box[1]))
    page.paste(part, (inside[0] - box[0], inside[1] - box[1]))
    return page
