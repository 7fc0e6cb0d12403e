"""Images as the bytes that the first layer of an int8 network reads, made in C in one pass over them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from convatlas.native import Native, load


@cache
def kernels() -> Native:
    """The compiled kernel, or why there is none."""
    native = load(Path(__file__).with_suffix(".c"))
    if native.library is not None:
        function = native.library.to_bytes
        function.argtypes = (
            *(ctypes.c_void_p,) * 2,
            *(ctypes.c_long,) * 3,
            *(ctypes.c_float,) * 2,
            ctypes.c_int,
        )
        function.restype = None
    return native


@dataclass(frozen=True)
class Grid:
    """byte = round(value / step), held to what a byte has: -128..127 where signed, else 0..255."""

    step: float
    signed: bool

    def fill(self, out: Tensor, images: Tensor) -> None:
        """images (n, C, H, W), any floats, to out (n, H, W, C), int8 or uint8, whose memory is in this order."""
        images = images.float().contiguous()
        n, channels, height, width = images.shape
        if out.shape != (n, height, width, channels) or not out.is_contiguous():
            raise ValueError(f"bytes of {tuple(out.shape)} cannot be those of images {tuple(images.shape)}")
        library, shift = kernels().library, 128 if self.signed else 0
        assert library is not None
        library.to_bytes(
            images.data_ptr(),
            out.data_ptr(),
            n,
            channels,
            height * width,
            1 / self.step,
            shift,
            shift,
        )

    def dtype(self) -> torch.dtype:
        """What `fill` writes."""
        return torch.int8 if self.signed else torch.uint8
