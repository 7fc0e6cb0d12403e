"""A photo of one handwritten digit to a picture as the training set has them.

Dark on light or light on dark, any size, anywhere in the frame, on paper that is lit unevenly. The steps are those by
which the sets were made: find the ink, cut it out, scale it, centre it by its mass (LeCun et al. 1998, III.A: 20x20
in 28x28) or count it in blocks of 4x4 (Alpaydin & Kaynak 1998: 32x32 to 8x8).
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from convatlas.data.images import Source, read_image
from convatlas.data.readers.digits import enlarge
from convatlas.errors import MisuseError

STYLES = ("mnist", "digits")
_SIDE = 160  # the longer side that the ink is looked for in: eight pixels for one of the 20x20


def read_digit(source: Source, style: str = "mnist") -> Tensor:
    """A file or its bytes to uint8 (1, 32, 32), ink bright on black. Raises ImageError."""
    return digit_image(read_image(source), style)


def digit_image(image: Image.Image, style: str = "mnist") -> Tensor:
    """A photo to uint8 (1, 32, 32) as `style` has it: "mnist" or "digits". A photo without ink gives black."""
    if style not in STYLES:
        raise MisuseError(f"unknown style of digits {style!r}; there are {', '.join(STYLES)}")
    ink = find_ink(image)
    rows, columns = (np.flatnonzero(ink.max(axis) > 0.5) for axis in (1, 0))
    if not len(rows):
        return torch.zeros(1, 32, 32, dtype=torch.uint8)
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _as_uci(ink) if style == "digits" else _as_mnist(ink)


def find_ink(image: Image.Image) -> np.ndarray:
    """How much each pixel is ink, 0..1 float (H, W), of a picture whose longer side is 160."""
    grey = image.convert("L")
    scale = _SIDE / max(grey.size)
    new = [max(1, round(s * scale)) for s in grey.size]
    # a small picture is enlarged: its strokes then have edges to measure
    grey = grey.resize((new[0], new[1]), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    if scale < 1:
        grey = grey.filter(ImageFilter.GaussianBlur(1))  # grain of paper and sensor
    values = np.asarray(grey).astype(np.float32)
    paper = _paper(values)
    away = values - paper
    # ink is the side that reaches farther from the paper
    low, high = np.percentile(away, (0.5, 99.5))
    away = -away if -low > high else away
    threshold = _otsu(away)
    if threshold < 12:  # of 255: nothing but grain
        return np.zeros_like(values)
    body = float(np.median(away[away > threshold]))
    floor = min(0.35 * body, threshold)  # what is fainter is paper: shadows, the other side, rules
    soft = np.clip((away - floor) / max(0.85 * body - floor, 1.0), 0, 1)
    return soft * _one_thing(soft > 0.5)


def _paper(values: np.ndarray) -> np.ndarray:
    """The brightness that the paper has everywhere, as a plane through the frame's edge: light falls off evenly."""
    height, width = values.shape
    margin = max(1, min(height, width) // 16)
    edge = np.ones_like(values, dtype=bool)
    edge[margin:-margin, margin:-margin] = False
    y, x = np.nonzero(edge)
    plane = np.stack([np.ones_like(x), x / width, y / height], axis=1).astype(np.float64)
    seen = values[edge].astype(np.float64)
    keep = np.abs(seen - np.median(seen)) <= 64
    for _ in range(3):  # ink that touches the edge is left out, once the plane shows it
        if keep.sum() < 8:
            return np.full_like(values, np.median(seen))
        weights, *_ = np.linalg.lstsq(plane[keep], seen[keep], rcond=None)
        off = np.abs(plane @ weights - seen)
        keep = off <= max(3 * float(np.median(off)), 4.0)
    rows, columns = np.mgrid[:height, :width]
    return (weights[0] + weights[1] * columns / width + weights[2] * rows / height).astype(np.float32)


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts values best into two groups (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    moments = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moments / below - (moments[-1] - moments) / above) ** 2
    return float(edges[int(np.nanargmax(np.nan_to_num(between[:-1], nan=-1.0))) + 1])


def _one_thing(mask: np.ndarray) -> np.ndarray:
    """The digit's pieces: the largest blob and those of a twelfth of it, blots and the frame's edge left out."""
    blobs = _blobs(mask)
    if not blobs:
        return np.zeros_like(mask, dtype=np.float32)
    height, width = mask.shape

    def at_edge(blob: np.ndarray) -> bool:
        y, x = blob // width, blob % width
        return bool((y == 0).any() or (x == 0).any() or (y == height - 1).any() or (x == width - 1).any())

    largest = max(len(b) for b in blobs)
    inside = [b for b in blobs if not at_edge(b)]
    if inside and max(len(b) for b in inside) >= largest / 8:
        blobs, largest = inside, max(len(b) for b in inside)
    kept = np.zeros(height * width, np.uint8)
    for blob in blobs:
        if len(blob) >= largest / 12:
            kept[blob] = 255
    # a pixel more all around: the soft edge belongs to it
    grown = Image.fromarray(kept.reshape(height, width)).filter(ImageFilter.MaxFilter(5))
    return np.asarray(grown).astype(np.float32) / 255


def _blobs(mask: np.ndarray) -> list[np.ndarray]:
    """Flat indices of each set of touching pixels, eight neighbours."""
    height, width = mask.shape
    padded = np.zeros((height + 2, width + 2), bool)
    padded[1:-1, 1:-1] = mask
    left = padded.ravel()
    stride = width + 2
    steps = (-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1)
    todo = np.flatnonzero(left).tolist()
    alive = bytearray(left.astype(np.uint8).tobytes())
    blobs = []
    for start in todo:
        if not alive[start]:
            continue
        alive[start] = 0
        blob = [start]
        for at in blob:
            for step in steps:
                if alive[at + step]:
                    alive[at + step] = 0
                    blob.append(at + step)
        places = np.array(blob)
        blobs.append((places // stride - 1) * width + places % stride - 1)
    return blobs


def _thick_enough(ink: np.ndarray, share: float) -> np.ndarray:
    """Strokes of at least `share` of the longer side: a fine pen would fade away when it is scaled down."""
    mask = ink > 0.5
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    outline = max(int(mask.sum() - inner.sum()), 1)
    width = 2 * mask.sum() / outline
    grow = int((share * max(ink.shape) - width) / 2)
    if grow < 1:
        return ink
    page = Image.fromarray(np.pad(np.rint(ink * 255).astype(np.uint8), grow))
    return np.asarray(page.filter(ImageFilter.MaxFilter(2 * grow + 1))).astype(np.float32) / 255


def _scaled(ink: np.ndarray, height: int, width: int) -> np.ndarray:
    page = Image.fromarray(np.rint(ink * 255).astype(np.uint8))
    return np.asarray(page.resize((max(1, width), max(1, height)), Image.Resampling.BOX)).astype(np.float64)


def _as_mnist(ink: np.ndarray) -> Tensor:
    """Fit into 20x20, the centre of mass in the middle of 32x32."""
    ink = _thick_enough(ink, 0.09)
    scale = 20 / max(ink.shape)
    small = _scaled(ink, round(ink.shape[0] * scale), round(ink.shape[1] * scale))
    small *= 255 / max(small.max(), 1)
    rows, columns = (np.arange(n) + 0.5 for n in small.shape)
    mass = small.sum()
    top = round(16 - float((small.sum(1) * rows).sum() / mass))
    left = round(16 - float((small.sum(0) * columns).sum() / mass))
    top, left = (min(max(at, 0), 32 - n) for at, n in zip((top, left), small.shape, strict=True))
    page = np.zeros((32, 32))
    page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return torch.from_numpy(np.rint(page).astype(np.uint8))[None]


def _as_uci(ink: np.ndarray) -> Tensor:
    """A bitmap of 32 rows, counted in blocks, enlarged as the training set is."""
    ink = _thick_enough(ink, 0.10)
    scale = 32 / max(ink.shape)
    small = _scaled(ink, round(ink.shape[0] * scale), round(ink.shape[1] * scale)) > 127
    page = np.zeros((32, 32), np.uint8)
    top, left = (32 - small.shape[0]) // 2, (32 - small.shape[1]) // 2
    page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return enlarge(torch.from_numpy(page.reshape(8, 4, 8, 4).sum((1, 3)))[None])[0]
