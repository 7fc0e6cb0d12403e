"""Published rates of processors, as their makers' data sheets print them (dense, without sparsity)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convatlas.errors import MisuseError


@dataclass(frozen=True)
class Rates:
    """What a device does at most. `mult_adds`: a second, by precision; `memory_bytes` None where it is not known.

    `attained` are the shares of arithmetic and of memory traffic that convolutional networks reach in practice;
    `launch_seconds` is what starting one operation costs. Both are assumptions for devices known by a data sheet.
    """

    name: str
    mult_adds: Mapping[str, float]
    bytes_per_second: float
    launch_seconds: float
    memory_bytes: int | None
    source: str
    attained: tuple[float, float] = (0.5, 0.8)


def _gpu(
    name: str,
    float32: float,
    bf16: float | None,
    gigabytes_per_second: float,
    gigabytes: int,
    source: str,
    arithmetic: float = 0.5,
) -> Rates:
    """Rates in 10^12 floating-point operations a second, two a mult-add; float32 by tensor cores (TF32) where it has them."""
    half = {} if bf16 is None else {"bf16": bf16 * 5e11}
    rates = {"float32": float32 * 5e11, **half}
    return Rates(name, rates, gigabytes_per_second * 1e9, 8e-6, gigabytes * 10**9, source, (arithmetic, 0.8))


# fmt: off
GPUS: dict[str, Rates] = {
    #                             TF32/FP32  BF16/FP16  GB/s   GB
    "H200":     _gpu("H200 SXM",      494.5,  989.5,   4800,  141, "NVIDIA H200 data sheet (sparse figures halved); float32 as TF32"),
    "H100":     _gpu("H100 SXM",      494.5,  989.5,   3350,   80, "NVIDIA H100 data sheet (sparse figures halved); float32 as TF32"),
    "A100":     _gpu("A100 SXM 80GB", 156.0,  312.0,   2039,   80, "NVIDIA A100 data sheet; float32 as TF32"),
    "A100-40":  _gpu("A100 SXM 40GB", 156.0,  312.0,   1555,   40, "NVIDIA A100 data sheet; float32 as TF32"),
    "V100":     _gpu("V100 SXM2",      15.7,  None,     900,   32, "NVIDIA V100 data sheet", 0.75),  # no tensor cores in float32: nearer to its peak
    "T4":       _gpu("T4",              8.1,  None,     320,   16, "NVIDIA T4 data sheet"),
    "L4":       _gpu("L4",             60.0,  121.0,    300,   24, "NVIDIA L4 data sheet (sparse figures halved); float32 as TF32"),
    "RTX4090":  _gpu("RTX 4090",       82.6,  165.2,   1008,   24, "NVIDIA Ada architecture white paper; float32 as TF32"),
    "RTX3090":  _gpu("RTX 3090",       35.6,   71.0,    936,   24, "NVIDIA Ampere GA102 white paper; float32 as TF32"),
}
# fmt: on


def gpu(name: str) -> Rates:
    """The GPU of that name, whatever its case; MisuseError lists the names."""
    for key, rates in GPUS.items():
        if key.lower() == name.lower().replace(" ", "").replace("-80", ""):
            return rates
    raise MisuseError(f"unknown GPU {name!r}; there are: {', '.join(f'gpu:{key}' for key in GPUS)}")
