"""An antialiased resize of bytes in C (resize_kernels.c), of rows that may lie apart: torch's wants a copy of the crop first."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np

from convatlas.native import Native, load

# no JPEG has more; over millions of inputs sums of floats lose their last places
_LONGEST = 1 << 16
_P, _L = ctypes.c_void_p, ctypes.c_long


@cache
def kernels() -> Native:
    """The compiled kernel, or why there is none."""
    native = load(Path(__file__).with_name("resize_kernels.c"))
    if native.library is not None:
        native.library.resize.argtypes = (_P, _L, _L, _L, _P, _L, _L, _L)
    return native


def resize(pixels: np.ndarray, out: np.ndarray) -> bool:
    """Bytes (H, W, C), whose rows may lie apart, antialiased bilinear into `out` (h, w, C); False where it cannot."""
    library = kernels().library
    height, width, channels = pixels.shape
    if (
        library is None
        or pixels.strides[1:] != (channels, 1)
        or pixels.strides[0] < 0
        or not (out.flags.c_contiguous and out.flags.writeable and out.shape[2:] == (channels,))
        or 0 in {pixels.size, out.size}
        or max(pixels.shape) > _LONGEST
        or not pixels.dtype == out.dtype == np.uint8
    ):
        return False
    there, here = pixels.__array_interface__["data"][0], out.__array_interface__["data"][0]
    if library.resize(there, pixels.strides[0], height, width, here, *out.shape[:2], channels):
        raise MemoryError(f"resizing {pixels.shape}: no memory for a line of pixels")
    return True
