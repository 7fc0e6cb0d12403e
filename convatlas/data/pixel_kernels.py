"""Bytes to the network's floats in one pass over memory, mirrored where a picture is to be; on CPUs with a compiler."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from convatlas.native import Native, load

_P, _L, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_int


@cache
def kernels() -> Native:
    """The compiled kernel, or why there is none."""
    native = load(Path(__file__).with_suffix(".c"))
    if native.library is not None:
        native.library.flip_normalize.argtypes = (_P, _P, _L, _L, _L, _L, _P, _P, _P, _I)
    return native


def suits(images: Tensor, out: Tensor, channels: int) -> bool:
    """Whether the kernel can make these floats of these bytes, with factors for so many channels."""
    return (
        images.device.type == "cpu"
        and images.dim() == 4
        and images.shape == out.shape
        and images.shape[1] == channels
        and images.dtype == torch.uint8
        and out.dtype == torch.float32
        and images.numel() > 0
        and all(t.is_contiguous(memory_format=torch.channels_last) for t in (images, out))
        and kernels().serves(torch.get_num_threads())
    )


def flip_normalize(
    images: Tensor, mirror: Tensor | None, factor: tuple[float, ...], offset: tuple[float, ...], out: Tensor
) -> Tensor:
    """`out` (N, C, H, W) becomes images * factor + offset by channel; pictures whose mirror (N,) is True left to right."""
    n, c, h, w = images.shape
    chosen = torch.zeros(n, dtype=torch.bool) if mirror is None else mirror.to(torch.bool).contiguous()
    if chosen.shape != (n,):
        raise ValueError(f"mirror: expected ({n},), one a picture, received {tuple(chosen.shape)}")
    lines = torch.tensor([factor, offset], dtype=torch.float32)
    library = kernels().library
    assert library is not None
    if library.flip_normalize(
        images.data_ptr(), out.data_ptr(), n, h, w, c, chosen.data_ptr(), lines[0].data_ptr(), lines[1].data_ptr(),
        torch.get_num_threads(),
    ):  # fmt: skip
        raise MemoryError(f"normalizing {tuple(images.shape)}: no memory for a line of pixels")
    return out
