"""C kernels: compiled once, kept, and never in the way where they cannot be had."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from convatlas import native

FILES = sorted(Path(native.__file__).parent.rglob("*.c"))
SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A C file, and a cache folder of the test's own; what was found before is forgotten."""
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CONVATLAS_NATIVE", raising=False)
    native._load.cache_clear()
    native._compiler.cache_clear()
    path = tmp_path / "answer.c"
    path.write_text(SOURCE)
    yield path
    native._load.cache_clear()
    native._compiler.cache_clear()


needs_compiler = pytest.mark.skipif(native._compiler() is None, reason="no C compiler on this machine")


@needs_compiler
def test_a_file_is_compiled_once_and_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = native.load(source).library
    assert library is not None
    assert library.answer() == 42
    [kept] = (source.parent / "cache/native").iterdir()  # nothing is left of the making
    native._load.cache_clear()
    monkeypatch.setattr(native, "_compile", lambda *_a, **_k: pytest.fail("compiled again"))
    assert native.load(source).library is not None
    assert kept.suffix == ".so"


@needs_compiler
def test_a_changed_file_is_another(source: Path) -> None:
    native.load(source)
    source.write_text(SOURCE.replace("42", "43"))
    native._load.cache_clear()
    library = native.load(source).library
    assert library is not None
    assert library.answer() == 43


@needs_compiler
def test_a_file_that_does_not_compile_says_what_the_compiler_said(source: Path) -> None:
    source.write_text("int answer(void) { return forty_two; }\n")
    found = native.load(source)
    assert found.library is None
    assert "answer.c was not compiled" in str(found.problem)
    assert "forty_two" in str(found.problem)


def test_no_compiler_is_said(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    found = native.load(source)
    assert found.library is None
    assert "no C compiler" in str(found.problem)


@needs_compiler
def test_a_cache_that_cannot_be_written_is_said(source: Path) -> None:
    (source.parent / "cache").write_text("a file where the folder should be")
    found = native.load(source)
    assert found.library is None
    assert found.problem


def test_it_can_be_turned_off(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_NATIVE", "off")
    assert native.load(source).library is None
    assert not (source.parent / "cache").exists()


@needs_compiler
@pytest.mark.parametrize("file", FILES, ids=[f.stem for f in FILES])
def test_the_kernels_compile_without_a_warning(file: Path) -> None:
    command = [*native._compiler(), "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-c", str(file),
               "-o", os.devnull]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torchs_own_threads_are_used() -> None:
    pytest.importorskip("torch", reason="the threads are torch's, which is not installed")
    path = native._openmp()
    if path is None:
        pytest.skip("this torch has loaded no OpenMP library that could be shared")
    ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    loaded = {line.split(maxsplit=5)[-1].strip() for line in lines if "omp" in line and ".so" in line}
    assert len([p for p in loaded if Path(p).name.startswith(native._OPENMP_LIBRARIES)]) == 1
