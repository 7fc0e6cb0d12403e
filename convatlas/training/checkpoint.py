"""Checkpoints that a crash, a full disk or a flipped bit cannot take away.

A file is a magic word, the SHA-256 of what follows, and a `torch.save` archive that is read back with
`weights_only=True`: a checkpoint of someone else runs no code. It is written beside its place, flushed and
renamed, and the one before is removed only after that. Reading goes from the newest back to the first whole one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from convatlas.errors import ConvAtlasError

State = dict[str, object]
_MAGIC = b"ConvAtlas run 1\n"
_DIGEST = 32
KEPT = 2


class CheckpointError(ConvAtlasError):
    """A checkpoint that cannot be written or read."""


@dataclass(frozen=True)
class Found:
    """The newest whole checkpoint: its state, its file, and what was wrong with newer ones (path, reason)."""

    state: State
    path: Path
    broken: tuple[tuple[Path, str], ...] = ()


class _Hashing(io.RawIOBase):
    """A file that hashes what goes through; torch.save writes from front to back."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self.digest.update(view)
        self.file.write(view)
        return view.nbytes

    def flush(self) -> None:
        self.file.flush()


def save(folder: Path, step: int, state: State) -> Path:
    """Write `step-N.ckpt` into the folder, keep the one before it, drop older ones; the path."""
    path = folder / f"step-{step:09d}.ckpt"
    part = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".step-", suffix=".part")
        part = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + bytes(_DIGEST))
            through = _Hashing(file)
            torch.save(state, through)  # type: ignore[arg-type]  # it only writes
            file.seek(len(_MAGIC))
            file.write(through.digest.digest())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(folder)
    except (OSError, RuntimeError) as error:
        # torch's archive writer turns a full disk into a RuntimeError without an errno
        raise CheckpointError(_unwritten(path, error)) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    for old in listed(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def _unwritten(path: Path, error: Exception) -> str:
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    full = full or any(
        isinstance(e, OSError) and e.errno == errno.ENOSPC for e in (error.__cause__, error.__context__)
    )
    reason = "the disk is full" if full else str(error).splitlines()[0]
    before = (
        "The one before it is whole: make room"
        if listed(path.parent)
        else "There is none before it: make room"
    )
    return (
        f"{path}: the checkpoint cannot be written: {reason}. {before} and run the same command with --resume"
    )


def listed(folder: Path) -> list[Path]:
    """The folder's checkpoints, newest first."""
    return sorted(folder.glob("step-*.ckpt"), reverse=True)


def read(path: Path) -> State:
    """One checkpoint's state, on the CPU; CheckpointError where it is not whole."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data.startswith(_MAGIC):
        raise CheckpointError(f"{path}: not a checkpoint of this program, or its beginning is damaged")
    start = len(_MAGIC) + _DIGEST
    if hashlib.sha256(memoryview(data)[start:]).digest() != data[len(_MAGIC) : start]:
        raise CheckpointError(
            f"{path}: damaged or cut short: its checksum is not that of its {len(data)} bytes"
        )
    try:
        state = torch.load(io.BytesIO(memoryview(data)[start:]), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's text would have the reader load it without that care
        raise CheckpointError(
            f"{path}: holds more than tensors and numbers: refused, and nothing of it was run"
        ) from error
    except Exception as error:  # the archive reader's errors have no common base
        raise CheckpointError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no state of a run")
    return state


def newest(folder: Path) -> Found | None:
    """The newest whole checkpoint, None where there has been none; CheckpointError where all are damaged."""
    broken: list[tuple[Path, str]] = []
    for path in listed(folder):
        try:
            return Found(read(path), path, tuple(broken))
        except CheckpointError as error:
            broken.append((path, str(error)))
    if broken:
        raise CheckpointError(
            f"{folder}: no checkpoint can be read ({'; '.join(reason for _, reason in broken)}). "
            "Give another --out to start anew; the weights already in the run folder are untouched"
        )
    return None


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader finds the old one or the new one, whole; OSError names the file."""
    part = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        part = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        # of the file that a reader knows, and not of the one beside it
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, where the system can: a rename is durable only then."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
