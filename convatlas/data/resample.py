"""Pillow's resizing, to the bit, of the part that a crop keeps, in a third of its time.

Pillow resizes in two passes, across first, with weights of 22 binary places and a byte between the passes; it makes
the whole picture, of which a crop throws half away. Here only the crop is made, by sums of weighted rows
(`embedding_bag`), which are vector code on every processor. A product of 22 and 8 bits does not fit a float32, so
the weights are two halves, of which every sum is a whole number below 2^24 and hence exact in any order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convatlas.data.scratch import Scratch

_PLACES = 22  # binary places of Pillow's weights: 32, less 8 of a byte, less 2 for overshooting filters
_LOW = 7  # of them in the lower half; sums of either half then stay below 2^24
_BLOCK = 1 << 15  # floats of a block of sums: they and what they are made of stay in the cache


def _bilinear(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _bicubic(x: np.ndarray) -> np.ndarray:
    a, x = -0.5, np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


# name: (weight at a distance, the distance from which it is nothing)
FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
}


def across_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether every Pillow resizes (width, height) across first, as is done here.

    From version 13 on it starts downwards where the height loses more than twice what the width does (pull request
    #9549); the byte between the passes makes that another picture, by a grey level here and there.
    """
    lost = [old - new for old, new in zip(before, after, strict=True)]
    return lost[1] <= 0 or lost[1] <= 2 * lost[0]


class Block(NamedTuple):
    """Some outputs of a pass: `places` flat in the input, where each sum begins, weights; `clip`: whether one can leave 0..255."""

    places: Tensor
    offsets: Tensor
    weights: Tensor
    clip: bool


class Pass:
    """One pass: outputs are sums over `taps` inputs each, of those from `start` to `stop`.

    index, weights: int64 and float32 (2, outputs, taps), indices counted from `start`: first the weights' upper
    halves, then their lower ones.
    """

    def __init__(self, start: int, stop: int, index: np.ndarray, weights: np.ndarray, *, clip: bool) -> None:
        self.start, self.stop, self.clip = start, stop, clip
        self._index, self._weights = index, weights
        self._blocks: dict[tuple[int, int], Block] = {}

    @property
    def count(self) -> int:
        """Outputs."""
        return self._index.shape[1]

    def block(self, first: int, last: int) -> Block:
        """Outputs from `first` up to `last`; made once."""
        found = self._blocks.get((first, last))
        if found is None:
            index, weights = self._index[:, first:last], self._weights[:, first:last]
            starts = np.arange(0, index.size, index.shape[2])
            with torch.inference_mode(mode=False):
                places, offsets, flat = (
                    torch.from_numpy(np.ascontiguousarray(a).ravel()) for a in (index, starts, weights)
                )
            found = self._blocks[first, last] = Block(places, offsets, flat, self.clip)
        return found


@functools.lru_cache(maxsize=512)
def plan(before: int, after: int, first: int, count: int, name: str) -> Pass:
    """The pass that makes `count` pixels from `first` on, of `before` pixels resized to `after`."""
    weigh, reach = FILTERS[name]
    scale = before / after
    wide = max(scale, 1.0)
    centers = (np.arange(first, first + count) + 0.5) * scale
    starts = np.maximum((centers - reach * wide + 0.5).astype(np.int64), 0)
    stops = np.minimum((centers + reach * wide + 0.5).astype(np.int64), before)
    steps = np.arange(int((stops - starts).max()))
    weights = weigh((steps + starts[:, None] - centers[:, None] + 0.5) * (1.0 / wide))
    weights[steps >= (stops - starts)[:, None]] = 0.0
    total = np.zeros(count)
    for column in weights.T:  # in Pillow's order: a float's sum depends on it
        total += column
    scaled = weights / total[:, None] * (1 << _PLACES)
    whole = np.trunc(scaled + np.where(scaled < 0, -0.5, 0.5)).astype(np.int64)
    start, stop = int(starts.min()), int(stops.max())
    index = np.minimum(starts[:, None] + steps, stop - 1) - start
    high = (whole >> _LOW) * 2.0 ** (_LOW - _PLACES)  # in grey levels
    low = (whole & ((1 << _LOW) - 1)) * 2.0**-_LOW  # in units of the last place of a high sum
    return Pass(
        start,
        stop,
        np.stack([index, index]),
        np.stack([high, low]).astype(np.float32),
        clip=bool((whole < 0).any()),
    )


_scratch = Scratch()


@torch.inference_mode()
def resize_crop(
    pixels: np.ndarray, height: int, size: tuple[int, int], box: tuple[int, int, int, int], name: str
) -> np.ndarray:
    """The part `box` (left, top, right, bottom) of a picture resized to `size` (width, height): uint8 (h, w, 3).

    pixels: uint8 (H, W, 4), of which the last channel is not used: the picture's rows, of `height` in all, as far
    down as the part needs them. box: within `size`. name: of FILTERS. Bit for bit what Pillow's resize and crop give.
    """
    width = pixels.shape[1]
    across = plan(width, size[0], box[0], box[2] - box[0], name)
    down = plan(height, size[1], box[1], box[3] - box[1], name)
    # a pixel is moved as one int32
    source = pixels.view(np.int32)[down.start : down.stop, across.start : across.stop, 0]
    rows, middle = _across(source, across), box[2] - box[0]
    out = np.empty((box[3] - box[1], middle, 3), np.uint8)
    table = _room("rows", (len(rows), 4 * middle), np.float32)
    table[:] = rows.view(np.uint8)
    step = max(1, _BLOCK // (4 * middle))
    for top in range(0, len(out), step):
        found = _bytes(table, down.block(top, top + step)).reshape(-1, middle, 4)
        for channel in range(3):  # three strided copies are faster than one of three bytes a time
            out[top : top + step, :, channel] = found[:, :, channel]
    return out


def _across(source: np.ndarray, across: Pass) -> np.ndarray:
    """The first pass: pixels (H, W) as int32 to (H, w). Columns become rows, so that a sum runs over whole rows."""
    height, width = source.shape
    result = _room("middle", (height, across.count), np.int32)
    step = max(1, _BLOCK // (4 * across.count))
    whole = across.block(0, across.count)
    for top in range(0, height, step):
        part = source[top : top + step]
        turned = _room("turned", (width, len(part)), np.int32)
        torch.from_numpy(turned).copy_(torch.from_numpy(part.T))  # torch turns faster than numpy
        table = _room("table", (width, 4 * len(part)), np.float32)
        table[:] = turned.view(np.uint8)
        result[top : top + step] = _bytes(table, whole).view(np.int32).T
    return result


def _room(name: str, shape: tuple[int, int], kind: type[np.generic]) -> np.ndarray:
    return _scratch.room(name, shape[0] * shape[1], kind).reshape(shape)


def _bytes(table: np.ndarray, block: Block) -> np.ndarray:
    """Weighted sums of the table's rows, exact to the bits that decide the rounding, and rounded as Pillow does.

    table: (inputs, m). Gives uint8 (outputs, m). The sums are torch's; what is small is numpy's, since each call of
    torch lets go of the interpreter, and threads that decode would spend their time waiting for it.
    """
    sums = torch.embedding_bag(
        torch.from_numpy(table),
        block.places,
        block.offsets,
        scale_grad_by_freq=False,
        mode=0,
        sparse=False,
        per_sample_weights=block.weights,
    )[0].numpy()
    high, low = sums[: len(sums) // 2], sums[len(sums) // 2 :]
    np.floor(low, out=low)
    low *= np.float32(2.0 ** (_LOW - _PLACES))
    high += low
    high += np.float32(0.5)
    if block.clip:
        np.clip(high, 0, 255, out=high)
    return high.astype(np.uint8)  # cut off, not rounded
