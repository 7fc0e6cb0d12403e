"""A run folder is one process's at a time, and what stays empty goes again: two runs begun together do not mix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convatlas.errors import ConvAtlasError, MisuseError
from convatlas.training.run import next_folder


@contextmanager
def reserved(root: Path, network: str, data: str, out: Path | None = None) -> Iterator[Path]:
    """`out` where it is given; else the next free folder under `root`, made at once so that no other run takes it."""
    if out is not None:
        yield out
        return
    _make(root)
    while True:
        path = next_folder(root, network, data)
        with contextlib.suppress(FileExistsError):  # another run was faster
            _make(path, exist_ok=False)
            break
    try:
        yield path
    finally:
        _drop_empty(path)


@contextmanager
def held(path: Path | None) -> Iterator[None]:
    """Make the folder and keep other processes from training in it; MisuseError where one does.

    The system lets go what a dead process held: a crash blocks nothing. Where it has no such locks nothing is held.
    """
    if path is None or (path.exists() and not path.is_dir()):  # `check_free` tells of a file
        yield
        return
    new = not path.exists()
    _make(path)
    with _locked(path):
        try:
            yield
        finally:
            if new:
                _drop_empty(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):  # Windows
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MisuseError(
                    f"--out {path}: another process trains in it; wait for its end, or give another --out"
                ) from None
        yield
    finally:
        os.close(handle)


def _make(path: Path, *, exist_ok: bool = True) -> None:
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and not exist_ok:
            raise
        raise ConvAtlasError(
            f"{path}: cannot be written: {error.strerror or error}; give another --out"
        ) from error


def _drop_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
