"""What this machine is: processor, its instructions, cores and memory that this process may use, packages.

Standard library only; what a system does not tell is None or empty, never a guess.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# flag of the system -> how its maker calls it, in order of weight for these networks
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI (int8)",
    "avx_vnni": "AVX-VNNI (int8)",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX bf16",
    "amx_int8": "AMX int8",
    "asimd": "NEON",
    "asimddp": "dot product (int8)",
    "i8mm": "I8MM (int8)",
    "bf16": "BF16",
    "sve": "SVE",
}


@dataclass(frozen=True)
class Machine:
    """One machine as this process sees it; bytes are what it may use, not what is built in."""

    system: str
    processor: str
    cores: int
    memory_bytes: int | None
    free_bytes: int | None
    flags: tuple[str, ...]

    @property
    def instructions(self) -> tuple[str, ...]:
        """The instructions that matter here, by their makers' names."""
        return tuple(name for flag, name in INSTRUCTIONS.items() if flag in self.flags)


@dataclass(frozen=True)
class Package:
    """An optional package: the extras that bring it, the least version, the installed one or None."""

    name: str
    extras: tuple[str, ...]
    least: str
    installed: str | None

    @property
    def is_old(self) -> bool:
        """Whether an older version than the least one is installed."""
        return self.installed is not None and _numbers(self.installed) < _numbers(self.least)


def machine() -> Machine:
    """Look at the machine."""
    info = _cpuinfo()
    flags = frozenset((info.get("flags") or info.get("Features") or "").split()) | _flags_of_macos()
    total, free = memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=info.get("model name") or platform.processor() or platform.machine(),
        cores=_cores(),
        memory_bytes=total,
        free_bytes=free,
        flags=tuple(sorted(flags & INSTRUCTIONS.keys())),
    )


def packages() -> tuple[Package, ...]:
    """The packages of all extras of the installed ConvAtlas."""
    try:
        lines = importlib.metadata.requires("convatlas") or []
    except importlib.metadata.PackageNotFoundError:  # run from a folder, not installed
        return ()
    found: dict[str, tuple[str, list[str]]] = {}
    for line in lines:
        match = re.match(r"""([\w.-]+)\s*(?:>=\s*([\w.]+))?.*extra\s*==\s*['"]([\w-]+)['"]""", line)
        if match and match[1] != "convatlas":
            found.setdefault(match[1], (match[2] or "0", []))[1].append(match[3])
    return tuple(
        Package(name, tuple(extras), least, version_of(name)) for name, (least, extras) in found.items()
    )


def version_of(package: str) -> str | None:
    """The installed version of a package, without importing it; None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo."""
    text = _read("/proc/cpuinfo").partition("\n\n")[0]
    return {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }


def _flags_of_macos() -> frozenset[str]:
    if platform.system() != "Darwin":
        return frozenset()
    names = {"FEAT_BF16": "bf16", "FEAT_I8MM": "i8mm", "FEAT_DotProd": "asimddp", "AdvSIMD": "asimd"}
    answer = subprocess.run(["/usr/sbin/sysctl", "hw.optional"], capture_output=True, text=True, check=False)
    return frozenset(flag for name, flag in names.items() if re.search(rf"\b{name}: 1", answer.stdout))


def _cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdecimal() and period.isdecimal():
        cores = min(cores, max(1, round(int(quota) / int(period))))
    return cores


def memory() -> tuple[int | None, int | None]:
    """(total, free) bytes, of the machine or of its container where that has less; cached files count as free."""
    lines = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    total = _kilobytes(lines.get("MemTotal"))
    free = _kilobytes(lines.get("MemAvailable"))
    if total is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdecimal() and total is not None and int(limit) < total:
        total = int(limit)
        if used.isdecimal() and free is not None:
            stat = dict(line.partition(" ")[::2] for line in _read("/sys/fs/cgroup/memory.stat").splitlines())
            cached = sum(int(stat.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
            free = min(free, total - int(used) + cached)
    return total, free


def _kilobytes(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
