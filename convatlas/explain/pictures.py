"""Tensors to PNG: weights and signals around grey, maps by brightness, heat over the photo."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

# dark to light with equal steps of lightness, legible in grey and to the colour-blind: in the manner of `inferno`
_HEAT = (
    (0.00, 8, 6, 32), (0.15, 46, 14, 92), (0.30, 106, 24, 110), (0.45, 164, 44, 96), (0.60, 214, 72, 66),
    (0.75, 245, 122, 26), (0.90, 250, 194, 44), (1.00, 252, 253, 190),
)  # fmt: skip
# blue below nothing, orange above
_BELOW, _ABOVE = (15, 98, 168), (213, 94, 0)


def png(image: Image.Image) -> bytes:
    """The bytes of a PNG."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def photo(pixels: np.ndarray) -> Image.Image:
    """uint8 (H, W, C), RGB or grey."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")


def of_values(values: Tensor) -> Image.Image:
    """(C, H, W) in 0..1, RGB or grey."""
    return photo((values.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def signed(values: Tensor, *, reversed: bool = False, sharp: float = 1.0) -> Image.Image:
    """(C, H, W) around zero: zero is middle grey, colour says in which channel it departs; its largest value is full.

    reversed: channels are blue, green, red. sharp: the quantile of absolute values that counts as largest. With
    neither one nor three channels, each pixel shows its largest absolute value.
    """
    values = values.detach().float().cpu()
    if values.shape[0] not in (1, 3):
        values = values.abs().amax(0, keepdim=True)
    if reversed and values.shape[0] == 3:
        values = values.flip(0)
    largest = float(_quantile(values.abs(), sharp)) or float(values.abs().max()) or 1.0
    return of_values(0.5 + values / (2 * largest))


def shade(values: Tensor, sharp: float = 1.0) -> Image.Image:
    """(H, W), zero or least is black, largest white-hot."""
    values = values.detach().float().cpu()
    low = min(0.0, float(values.min()))
    high = float(_quantile(values, sharp))
    return Image.fromarray(heat((values - low) / ((high - low) or 1.0)))


def over(image: Image.Image, values: Tensor) -> Image.Image:
    """A map (h, w) of what is above zero as heat over a photo; cold places stay as they are."""
    grown = _grown(values, image)
    shares = (grown / (float(grown.max()) or 1.0)).clamp(0, 1)
    heated = heat(0.25 + 0.75 * shares).astype(np.float32)
    base = np.asarray(image.convert("RGB"), np.float32)
    grey = base.mean(2, keepdims=True) * 0.75 + base * 0.25
    opacity = (shares**0.8 * 0.75).numpy()[:, :, None]
    return Image.fromarray(np.rint(grey * (1 - opacity) + heated * opacity).astype(np.uint8))


def two_sided(image: Image.Image, values: Tensor) -> Image.Image:
    """A signed map (h, w) over a grey photo: orange above zero, blue below, as opaque as it is large."""
    grown = _grown(values, image)
    shares = (grown / (float(grown.abs().max()) or 1.0)).numpy()[:, :, None]
    grey = np.asarray(image.convert("L").convert("RGB"), np.float32)
    hue = np.where(shares > 0, np.array(_ABOVE, np.float32), np.array(_BELOW, np.float32))
    opacity = np.abs(shares) ** 0.8 * 0.85
    return Image.fromarray(np.rint(grey * (1 - opacity) + hue * opacity).astype(np.uint8))


def heat(shares: Tensor) -> np.ndarray:
    """(H, W) in 0..1 to uint8 (H, W, 3)."""
    places, *colors = np.array(_HEAT).T
    shown = shares.clamp(0, 1).numpy()
    return np.stack([np.interp(shown, places, color) for color in colors], 2).round().astype(np.uint8)


def enlarged(image: Image.Image, side: int, *, smooth: bool = False) -> Image.Image:
    """The longer side at least `side`: by whole steps where pixels are meant to be seen."""
    factor = side / max(image.size)
    if factor <= 1:
        return image
    if smooth:
        return image.resize(
            (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
        )
    step = max(1, round(factor))
    return image.resize((image.width * step, image.height * step), Image.Resampling.NEAREST)


def mosaic(images: Sequence[Image.Image | None], columns: int, gap: int = 2) -> Image.Image:
    """Pictures of one size side by side, on a ground that shows in light and dark; None leaves a place free."""
    width, height = next(image.size for image in images if image is not None)
    rows = -(-len(images) // columns)
    page = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), (128, 134, 142))
    for i, image in enumerate(images):
        if image is not None:
            page.paste(image, (i % columns * (width + gap), i // columns * (height + gap)))
    return page


def _grown(values: Tensor, image: Image.Image) -> Tensor:
    size = (image.height, image.width)
    grown = F.interpolate(
        values.detach().float().cpu()[None, None], size, mode="bicubic", align_corners=False
    )
    return grown[0, 0]


def _quantile(values: Tensor, share: float) -> Tensor:
    flat = values.flatten()
    return torch.kthvalue(flat, max(1, round(share * len(flat)))).values
