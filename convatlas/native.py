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
import stat
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convatlas.fetch import cache_dir
from convatlas.machine import machine

_SECONDS = 120
_OPTIONS = ("-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math")
# for this processor; a compiler that does not know the first is asked with the next
_TUNED = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",), ())
_OPENMP_LIBRARIES = ("libgomp", "libiomp5", "libomp")
# lines of /proc/cpuinfo that tell what code a processor can run, on x86 and ARM
_PROCESSOR = ("flags", "Features", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")
_OFF = {"off", "0", "no", "false"}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Native:
    """A loaded library, or why there is none. threaded: its loops use the threads that torch has."""

    library: ctypes.CDLL | None
    problem: str | None = None
    threaded: bool = False

    def serves(self, threads: int) -> bool:
        """Whether it is there for a caller that has so many threads; one alone would lose to torch's several."""
        return self.library is not None and (self.threaded or threads == 1)


def load(source: Path) -> Native:
    """The library of a C file, compiled at most once a machine; CONVATLAS_NATIVE=off prevents it."""
    wanted = os.environ.get("CONVATLAS_NATIVE", "")
    if wanted.lower() in _OFF:
        return Native(None, f"not wanted (CONVATLAS_NATIVE={wanted})")
    with _one_at_a_time:
        return _load(source, _openmp())


@cache
def _load(source: Path, openmp: str | None) -> Native:
    if platform.system() not in {"Linux", "Darwin"}:
        return Native(None, "only tried on Linux and macOS")
    problem = ""
    # a compiler may know no OpenMP, or another one than torch brought
    for threads in dict.fromkeys((openmp, None)):
        try:
            return _made(source, threads)
        except subprocess.CalledProcessError as error:
            problem = error.stderr
        # what a system answers to a compiler, a folder or a library is past counting, and none of it may stop a run
        except (OSError, subprocess.SubprocessError, ValueError, RuntimeError) as error:
            problem = str(error)
    return Native(None, f"{source.name} was not compiled: {' '.join(problem.split())[:300]}")


def _made(source: Path, openmp: str | None) -> Native:
    compiler = _compiler()
    if compiler is None:
        return Native(None, "no C compiler was found (cc, gcc or clang; CC names another)")
    folder = cache_dir() / f"native-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{source.stem}-{_key(source, compiler, openmp)}.so"
    if _own(folder) and not path.exists():
        _compile(source, compiler, path, openmp=openmp is not None)
    for place in (folder, path):
        if not _own(place):
            return Native(None, f"{place} belongs to another user or can be written by others, so nothing is loaded from "
                          f"there; remove it, or name another folder in CONVATLAS_CACHE")  # fmt: skip
    if openmp is not None:
        ctypes.CDLL(openmp, mode=ctypes.RTLD_GLOBAL)
    return Native(ctypes.CDLL(str(path)), threaded=openmp is not None)


def _own(path: Path) -> bool:
    """Whether it is this user's alone to write: the cache folder may be shared."""
    about = path.stat()
    return about.st_uid in {0, os.getuid()} and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def _compiler() -> tuple[str, ...] | None:
    named = shlex.split(os.environ.get("CC", ""))
    if named and shutil.which(named[0]):
        return tuple(named)
    if platform.system() == "Darwin":  # without its tools, /usr/bin/cc opens a window that offers them
        tools = shutil.which("xcode-select")
        if tools is None or subprocess.run([tools, "-p"], capture_output=True, check=False).returncode:
            return None
    return next(((found,) for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def _run(command: list[str]) -> str:
    """What a command says; CalledProcessError where it fails."""
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", timeout=_SECONDS, check=True
    ).stdout


def _key(source: Path, compiler: tuple[str, ...], openmp: str | None) -> str:
    parts = (source.read_text("utf-8"), compiler, _run([*compiler, "--version"]), _OPTIONS, _TUNED, openmp is not None,
             machine().system, machine().processor, _processor())  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _processor() -> list[str]:
    """All that Linux says of the first processor's instructions: what is compiled for one may not run on the next."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.partition("\n\n")[0].splitlines() if line.startswith(_PROCESSOR)]


def _compile(source: Path, compiler: tuple[str, ...], path: Path, *, openmp: bool) -> None:
    """Write the library; it appears whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        compiled, linked = Path(folder) / "kernel.o", Path(folder) / "kernel.so"
        threads = ["-fopenmp"] if openmp else []
        for tuned in _TUNED:
            try:
                _run([*compiler, *_OPTIONS, *tuned, *threads, "-c", str(source), "-o", str(compiled)])
                break
            except subprocess.CalledProcessError:
                if not tuned:
                    raise
        # not linked against OpenMP: the names are found in the library that torch brought
        loose = ["-undefined", "dynamic_lookup"] if platform.system() == "Darwin" else []
        _run([*compiler, "-shared", *loose, str(compiled), "-o", str(linked), "-lm"])
        linked.chmod(0o700)  # whatever the umask: see _own
        linked.replace(path)


def _openmp() -> str | None:
    """The OpenMP library that torch has loaded into this process, on Linux; None where there is none to share."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[-1] for line in lines if ".so" in line)
    found = [p for p in paths if Path(p).name.startswith(_OPENMP_LIBRARIES)]
    # scikit-learn brings one as well
    return next((p for p in found if "torch" in Path(p).parts), found[0] if found else None)
