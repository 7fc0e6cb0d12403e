"""What this machine can do at most: a matrix product at each precision, and a copy; the best of a day's measurements.

A network's share of the ceiling is its mult-adds a second against the product's. The product is torch's own (oneDNN,
cuBLAS), so a share above 1 is possible where another engine's kernels are better.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from convatlas.fetch import cache_dir
from convatlas.inference.timing import once
from convatlas.machine import machine

# sides of the products, and bytes of the copy: a GPU's units need more to be busy, and its cache is larger
SIZES = {"cuda": (2048, 8192)}
COPIED = {"cuda": 1 << 30}
_SIZES, _COPIED = (1024, 2048), 128 << 20
KEPT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Ceiling:
    """Mult-adds a second by precision (None where the device has no product of it), bytes read and written a second."""

    float32: float
    bf16: float | None
    int8: float | None
    copy: float
    device: str
    threads: int
    measured: float

    def share(self, precision: str, mult_adds_per_second: float) -> float | None:
        """The part of the ceiling of this precision."""
        top = {"float32": self.float32, "bf16": self.bf16, "int8": self.int8}.get(precision)
        return None if not top else mult_adds_per_second / top


def ceiling(device: torch.device, *, seconds: float = 1.0) -> Ceiling:
    """Measure; where more was reached here today, that: on a busy machine a single look is no ceiling."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else machine().processor
    key = hashlib.sha256(
        f"{name} {device.type} {torch.get_num_threads()} {torch.__version__}".encode()
    ).hexdigest()[:16]
    path = cache_dir() / f"ceiling-{key}.json"
    found = Ceiling(
        float32=_product(device, torch.float32, seconds) or 0.0,
        bf16=_product(device, torch.bfloat16, seconds),
        int8=_product(device, torch.int8, seconds),
        copy=_copy(device, seconds),
        device=name,
        threads=torch.get_num_threads(),
        measured=time.time(),
    )
    earlier = _recalled(path)
    if earlier is not None:
        found = _best(earlier, found)
    _keep(path, found)
    return found


def _best(earlier: Ceiling, now: Ceiling) -> Ceiling:
    """The higher of each; as old as the earlier, so that a day ends."""
    tops = {name: getattr(now, name) for name in ("float32", "bf16", "int8", "copy")}
    higher = {
        name: max(value, getattr(earlier, name) or 0.0) for name, value in tops.items() if value is not None
    }
    return dataclasses.replace(now, **higher, measured=earlier.measured)


def _product(device: torch.device, dtype: torch.dtype, seconds: float) -> float | None:
    """Best mult-adds a second of square products; None where torch cannot."""
    best = 0.0
    sizes = SIZES.get(device.type, _SIZES)
    for size in sizes:
        try:
            if dtype is torch.int8:
                a, b = (torch.randint(-9, 9, (size, size), dtype=dtype, device=device) for _ in "ab")
                call = lambda a=a, b=b: torch._int_mm(a, b)  # noqa: E731, SLF001  the public int8 product there is
            else:
                a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in "ab")
                call = lambda a=a, b=b: torch.mm(a, b)  # noqa: E731
            best = max(best, size**3 / _fastest(call, device, seconds / len(sizes)))
        except (RuntimeError, NotImplementedError, AttributeError):
            return None
    return best


def _copy(device: torch.device, seconds: float) -> float:
    size = COPIED.get(device.type, _COPIED)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), device, seconds)


def _fastest(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    once(call, device)
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds or best == float("inf"):
        best = min(best, once(call, device))
    return best


def _recalled(path: Path) -> Ceiling | None:
    try:
        found = Ceiling(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if time.time() - found.measured < KEPT_SECONDS else None


def _keep(path: Path, found: Ceiling) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(dataclasses.asdict(found), file)
        os.replace(file.name, path)  # noqa: PTH105
    except OSError:
        return
