"""Small C kernels, compiled for this very processor when they are first wanted, and kept.

A few loops that touch every value of a layer are what a step waits for, and torch has no fused form of them. A C
compiler makes one of a file of ours in a second; where there is none, or it fails, the callers use torch's own
operations. The result is kept in the cache folder under everything it depends on: source, compiler, options, processor.
OpenMP's threads are those that torch has started already: a second pool of threads would fight with the first.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convatlas.fetch import cache_dir
from convatlas.machine import machine

_SECONDS = 120
_OPTIONS = ("-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
# for this processor; a compiler that does not know the second or third is asked without
_TUNED = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",), ())
_OPENMP_LIBRARIES = ("libgomp", "libiomp5", "libomp")


@dataclass(frozen=True)
class Native:
    """A loaded library, or why there is none."""

    library: ctypes.CDLL | None
    problem: str | None = None


def load(source: Path) -> Native:
    """The library of a C file, compiled at most once a machine; CONVATLAS_NATIVE=off prevents it."""
    if os.environ.get("CONVATLAS_NATIVE") == "off":
        return Native(None, "not wanted (CONVATLAS_NATIVE=off)")
    return _load(source, _openmp())


@cache
def _load(source: Path, openmp: str | None) -> Native:
    if platform.system() == "Windows":
        return Native(None, "only tried on Linux and macOS")
    compiler = _compiler()
    if compiler is None:
        return Native(None, "no C compiler was found (cc, gcc or clang; CC names another)")
    try:
        path = cache_dir() / "native" / f"{source.stem}-{_key(source, compiler, openmp)}.so"
        if not path.exists():
            _compile(source, compiler, path, openmp=openmp is not None)
        if openmp is not None:
            ctypes.CDLL(openmp, mode=ctypes.RTLD_GLOBAL)
        return Native(ctypes.CDLL(str(path)))
    except (OSError, subprocess.SubprocessError) as error:
        text = getattr(error, "stderr", None) or str(error)
        return Native(None, f"{source.name} was not compiled: {' '.join(text.split())[:300]}")


@cache
def _compiler() -> tuple[str, ...] | None:
    named = shlex.split(os.environ.get("CC", ""))
    if named and shutil.which(named[0]):
        return tuple(named)
    return next(((found,) for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def _key(source: Path, compiler: tuple[str, ...], openmp: str | None) -> str:
    about = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True
    )
    here = machine()
    parts = (source.read_text("utf-8"), compiler, about.stdout, _OPTIONS, _TUNED, openmp is not None,
             here.system, here.processor, here.flags)  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _compile(source: Path, compiler: tuple[str, ...], path: Path, *, openmp: bool) -> None:
    """Write the library; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        compiled, linked = Path(folder) / "kernel.o", Path(folder) / "kernel.so"
        threads = ["-fopenmp"] if openmp else []
        for number, tuned in enumerate(_TUNED):
            command = [*compiler, *_OPTIONS, *tuned, *threads, "-c", str(source), "-o", str(compiled)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if done.returncode == 0:
                break
            if number == len(_TUNED) - 1:
                done.check_returncode()
        # not linked against OpenMP: the names are found in the library that torch brought
        loose = ["-undefined", "dynamic_lookup"] if platform.system() == "Darwin" else []
        command = [*compiler, "-shared", *loose, str(compiled), "-o", str(linked), "-lm"]
        subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        linked.replace(path)


def _openmp() -> str | None:
    """The OpenMP library that this process has loaded already, on Linux; None where there is none to share."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[-1] for line in lines if ".so" in line)
    return next((p for p in paths if Path(p).name.startswith(_OPENMP_LIBRARIES)), None)
