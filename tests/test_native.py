"""C kernels: compiled once, kept, and never in the way where they cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
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


def folder_of(source: Path) -> Path:
    """Where the libraries are kept."""
    return source.parent / f"cache/native-{os.getuid()}"


needs_compiler = pytest.mark.skipif(native._compiler() is None, reason="no C compiler on this machine")


@needs_compiler
def test_a_file_is_compiled_once_and_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = native.load(source).library
    assert library is not None
    assert library.answer() == 42
    [kept] = folder_of(source).iterdir()  # nothing is left of the making
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


@needs_compiler
@pytest.mark.parametrize("open_to_others", ["kernel", "folder"])
def test_what_another_user_could_have_put_there_is_not_loaded(source: Path, open_to_others: str) -> None:
    assert native.load(source).library is not None
    folder = folder_of(source)
    [kept] = folder.iterdir()
    (kept if open_to_others == "kernel" else folder).chmod(0o777)
    native._load.cache_clear()
    found = native.load(source)
    assert found.library is None
    assert "another user" in str(found.problem)


@needs_compiler
def test_a_compiler_without_openmp_makes_kernels_of_one_thread(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clang where its OpenMP is not installed."""
    compiler = source.parent / "simple-cc"
    usual = " ".join(native._compiler() or ())
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *-fopenmp*) echo no omp.h >&2; exit 1;; esac\nexec {usual} "$@"\n'
    )
    compiler.chmod(0o700)
    native._compiler.cache_clear()
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr(native, "_openmp", lambda: "libgomp.so.1")
    found = native.load(source)
    assert found.library is not None
    assert found.library.answer() == 42
    assert (found.threaded, found.serves(1), found.serves(2)) == (False, True, False)


def test_a_compiler_named_with_a_stray_quote_stops_nothing(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "gcc '")
    assert native.load(source).problem


@pytest.mark.parametrize("word", ["off", "OFF", "0"])
def test_it_can_be_turned_off(word: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_NATIVE", word)
    assert native.load(source).library is None
    assert not (source.parent / "cache").exists()


@needs_compiler
@pytest.mark.parametrize("file", FILES, ids=[f.stem for f in FILES])
def test_the_kernels_compile_without_a_warning(file: Path) -> None:
    command = [*native._compiler(), "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-c", str(file),
               "-o", os.devnull]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_compiler
def test_torchs_own_threads_are_used() -> None:
    """A second OpenMP library in the process would be a second pool of threads."""
    pytest.importorskip("torch", reason="the threads are torch's, which is not installed")
    script = """
import torch
from convatlas import native
from convatlas.modules.norm import kernels, fuse
own = native._openmp()
m = fuse(torch.nn.Sequential(torch.nn.BatchNorm2d(16))).train()
x = torch.randn(8, 16, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
m(x).sum().backward()
lines = open("/proc/self/maps").read().splitlines()
loaded = {line.split(maxsplit=5)[-1] for line in lines if ".so" in line}
print(own is None, kernels().threaded, sum(p.rpartition("/")[2].startswith(native._OPENMP_LIBRARIES) for p in loaded))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    without, threaded, libraries = done.stdout.split()
    if without == "True":
        pytest.skip("this torch has loaded no OpenMP library that could be shared")
    assert (threaded, libraries) == ("True", "1")
