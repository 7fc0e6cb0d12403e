"""Joules, where the machine counts them: RAPL of Intel and AMD processors, NVML of NVIDIA cards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")


def meter(device: torch.device, powercap: Path = POWERCAP) -> tuple[Callable[[], float] | None, str]:
    """A function that gives joules used so far, or None; and what it is, or why there is none.

    The count is of the whole package or card, other programs' work included.
    """
    if device.type == "cuda":
        return _nvml(device)
    zones = (
        sorted(p for p in powercap.glob("*-rapl:*") if p.name.count(":") == 1) if powercap.is_dir() else []
    )
    files = [zone / "energy_uj" for zone in zones]
    if not files:
        return None, "energy not told: this machine has no RAPL counters (virtual machines seldom have)"
    try:
        counters = [_Counter(file) for file in files]
    except (OSError, ValueError) as error:
        return None, f"energy not told: the RAPL counters cannot be read ({error}); root can"
    return (lambda: sum(counter.joules() for counter in counters)), "energy: RAPL, the whole processor"


class _Counter:
    """One RAPL counter in joules; it turns over at its range, which a read a minute at least makes good."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last = int(file.read_text())
        self._range = self._last + 1
        with contextlib.suppress(OSError, ValueError):
            self._range = int((file.parent / "max_energy_range_uj").read_text())
        self._total = 0

    def joules(self) -> float:
        now = int(self._file.read_text())
        self._total += (now - self._last) % self._range if now < self._last else now - self._last
        self._last = now
        return self._total / 1e6


def _nvml(device: torch.device) -> tuple[Callable[[], float] | None, str]:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception as error:  # noqa: BLE001  NVML's errors are its own
        return None, f"energy not told: NVML ({type(error).__name__}: {error}); pip install nvidia-ml-py"
    return (lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3), "energy: NVML, the whole card"
