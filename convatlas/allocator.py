"""Keep freed memory instead of giving it back: a fresh page costs more than many a layer, most of all in a VM.

glibc maps every large tensor anew and unmaps it when it is freed, so each layer's output meets untouched pages.
Two thresholds of malloc end that; on a nested VM, ResNet-50 at batch 32 ran 1.6 to 2 times as fast with them, a
training step of LeNet-5 1.5 times (benchmarks/reports). They hold for the whole process, so they are set only by
what takes the machine for itself: `optimize` and training on the CPU.
"""

from __future__ import annotations

import ctypes
import os
import platform

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
LIMIT = 2**31 - 1


def keep_memory() -> str:
    """Set the thresholds once; says what was done. CONVATLAS_MALLOC=default leaves the allocator alone."""
    if os.environ.get("CONVATLAS_MALLOC") == "default":
        return "memory allocator left alone (CONVATLAS_MALLOC=default)"
    if platform.libc_ver()[0] != "glibc" or os.environ.get("LD_PRELOAD"):
        return "memory allocator left alone (not plain glibc)"
    mallopt = ctypes.CDLL(None).mallopt
    # one arena: the heaps of other threads hold no block above 64 MB and would map those after all
    done = [
        mallopt(option, value)
        for option, value in ((_M_MMAP_THRESHOLD, LIMIT), (_M_TRIM_THRESHOLD, LIMIT), (_M_ARENA_MAX, 1))
    ]
    if not all(done):
        return "memory allocator left alone (mallopt refused)"
    return "this process keeps freed memory for reuse (mallopt; CONVATLAS_MALLOC=default prevents it)"
