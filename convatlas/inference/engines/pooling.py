"""Max-pooling in C (pool_kernels.c) for the plain-torch engines: torch's takes its time to note where each largest was."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from convatlas.inference.graph import Kind, Recording
from convatlas.inference.graph.operations import max_pool
from convatlas.native import Native, load

_TYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}


@cache
def kernels() -> Native:
    """The compiled kernels, or why there are none."""
    native = load(Path(__file__).with_name("pool_kernels.c"))
    if native.library is not None:
        for kind in _TYPES.values():
            function = getattr(native.library, f"max_pool_{kind}")
            function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, *(ctypes.c_long,) * 12, ctypes.c_int)
            function.restype = None
    return native


def lower_pools(recording: Recording) -> None:
    """Let the kernel do what it can of a recording's max-pools; they must be of windows without gaps."""
    for node in recording.nodes(Kind.MAX_POOL):
        if node.kwargs["dilation"] == [1, 1]:
            node.target = pooled


def pooled(
    x: Tensor, *, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], ceil: bool
) -> Tensor:
    """What `max_pool` computes, of the same arguments."""
    threads = torch.get_num_threads()
    if (
        x.device.type != "cpu"
        or x.dtype not in _TYPES
        or not x.is_contiguous(memory_format=torch.channels_last)
        or not kernels().serves(threads)
    ):
        return max_pool(x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, ceil=ceil)
    n, channels, *size = x.shape
    after = [_windows(*axis, ceil=ceil) for axis in zip(size, kernel, stride, padding, strict=True)]
    y = torch.empty((n, channels, *after), dtype=x.dtype, memory_format=torch.channels_last)
    getattr(kernels().library, f"max_pool_{_TYPES[x.dtype]}")(
        x.data_ptr(), y.data_ptr(), n, *size, channels, *after, *kernel, *stride, *padding, threads
    )
    return y


def _windows(size: int, kernel: int, stride: int, padding: int, *, ceil: bool) -> int:
    """How many windows there are along an axis; none begins beyond the picture and its first padding, as in torch."""
    room = size + 2 * padding - kernel
    count = (-(-room // stride) if ceil else room // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= size + padding else count
