"""The idx files of MNIST and Fashion-MNIST (LeCun, Cortes & Burges: a big-endian header, then raw bytes)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from convatlas.errors import ConvAtlasError

_UNSIGNED_BYTE = 0x08
_MAX_RANK = 8  # images have 3, labels 1


def read_idx(path: Path) -> np.ndarray:
    """An idx file of bytes, gzipped or not, to an array of its shape; ConvAtlasError says what is wrong."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConvAtlasError(f"{path}: cannot be opened: {error.strerror or error}") from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ConvAtlasError(
                f"{path}: the gzip file is damaged or truncated ({error}); delete it and fetch it again"
            ) from error
    if len(data) < 4 or data[0] != 0 or data[1] != 0:
        raise ConvAtlasError(
            f"{path}: not an idx file: it must start with two zero bytes, received {data[:4]!r}"
        )
    if data[2] != _UNSIGNED_BYTE:
        raise ConvAtlasError(f"{path}: idx type 0x{data[2]:02x}, expected 0x08 (unsigned bytes)")
    rank = data[3]
    start = 4 + 4 * rank
    if rank == 0 or len(data) < start:
        raise ConvAtlasError(f"{path}: the idx header ends early: {len(data)} bytes for {rank} dimensions")
    if rank > _MAX_RANK:
        raise ConvAtlasError(
            f"{path}: an idx header of {rank} dimensions, expected at most {_MAX_RANK}; fetch it again"
        )
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", rank, 4))
    expected = math.prod(shape)
    if len(data) - start != expected:
        state = "truncated" if len(data) - start < expected else "longer than its header says"
        raise ConvAtlasError(
            f"{path}: {state}: shape {'x'.join(map(str, shape))} needs {expected:,} bytes after the header, "
            f"there are {len(data) - start:,}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, expected, start).reshape(shape).copy()
