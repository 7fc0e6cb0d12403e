"""An uncompressed tar that is read to its end, and whether that is its end."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from convatlas.errors import ConvAtlasError

_BLOCK = 512


class Part(Protocol):
    """What tarfile needs of a file."""

    def read(self, size: int = -1) -> bytes: ...
    def seek(self, position: int, whence: int = 0) -> int: ...
    def tell(self) -> int: ...


@contextlib.contextmanager
def whole_tar(path: Path, file: IO[bytes] | Part | None = None) -> Iterator[tarfile.TarFile]:
    """The tar at `path`, or the one in `file`, to be gone through whole; ConvAtlasError where it is damaged or cut.

    tarfile takes the end of a file, and a header that it cannot read, for the end of the tar: a part of one would be
    a smaller set. So the zeros that end a tar must be there.
    """
    try:
        with tarfile.open(path, "r:", file) as archive:  # type: ignore[call-overload]
            yield archive
            archive.fileobj.seek(archive.offset)
            if archive.fileobj.read(_BLOCK) != bytes(_BLOCK):
                raise tarfile.ReadError(f"it breaks off at byte {archive.offset:,}")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ConvAtlasError(
            f"{path}: not a whole uncompressed tar ({error}); unpack it if it is compressed, or remove it and fetch it again"
        ) from error
