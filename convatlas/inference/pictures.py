"""What a user names to be predicted: files, folders, patterns, addresses, standard input, as a list of pictures."""

from __future__ import annotations

import glob
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from convatlas.data.images import ImageError, read_file
from convatlas.errors import MisuseError

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .tga .ico .jp2 .avif".split()  # noqa: SIM905
)
_MOST_BYTES = 64 << 20  # of a picture from the network
_TIMEOUT = 20.0  # seconds without a byte
# seconds for a whole picture: a server that sends a byte now and then would hold all others up
_LONGEST = 120.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be read when its turn comes: a path, an address, or bytes that were piped in."""

    name: str
    data: bytes | None = None

    @property
    def distant(self) -> bool:
        """Whether it has to be fetched."""
        return self.name.startswith(("http://", "https://"))

    def read(self) -> bytes:
        """Its bytes; ImageError says why not."""
        if self.data is not None:
            return self.data
        if self.distant:
            return _fetch(self.name)
        try:
            return read_file(self.name)
        except OSError as error:
            raise ImageError(self.name, error.strerror or str(error)) from None


def pictures(paths: Iterable[str]) -> list[Picture]:
    """Every picture that `paths` name, in order: a folder's pictures at any depth, sorted; `-` is standard input.

    MisuseError where nothing is named at all; a file that does not exist becomes a picture that fails when read.
    """
    found = [picture for path in paths for picture in _expand(path)]
    if not found:
        raise MisuseError(
            f"no picture in {', '.join(map(str, paths)) or 'nothing'}; give files, folders, patterns, URLs or -"
        )
    return found


def spread(found: Sequence[Picture], limit: int) -> Sequence[Picture]:
    """Up to `limit` of the pictures, evenly from the first on."""
    return [found[i * len(found) // limit] for i in range(limit)] if len(found) > limit else found


def _expand(path: str) -> Iterator[Picture]:
    if path == "-":
        yield from _piped(sys.stdin.buffer.read())
    elif path.startswith(("http://", "https://")):
        yield Picture(path)
    elif os.path.isdir(path):  # noqa: PTH112  the user's spelling is kept
        yield from map(Picture, sorted(_in_folder(path)))
    elif any(c in path for c in "*?[") and "\0" not in path and not os.path.exists(path):  # noqa: PTH110
        yield from (p for match in sorted(glob.glob(path, recursive=True)) for p in _expand(match))  # noqa: PTH207
    else:
        yield Picture(path)


def _in_folder(folder: str) -> Iterator[str]:
    for here, _, files in os.walk(folder):
        yield from (os.path.join(here, f) for f in files if os.path.splitext(f)[1].lower() in SUFFIXES)  # noqa: PTH118, PTH122


def _piped(data: bytes) -> Iterator[Picture]:
    """A picture's bytes, or, as text, a list of paths, one a line."""
    if not data:
        raise MisuseError("-: nothing came on standard input; pipe a picture, or paths one a line")
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        yield Picture("-", data)
        return
    for line in lines:
        if line.strip() and line.strip() != "-":
            yield from _expand(line.strip())


def _fetch(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:  # noqa: S310  http and https alone get here
            data = _received(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise ImageError(
            address, f"cannot be fetched: the server answers {error.code} {error.reason}"
        ) from None
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise ImageError(address, f"cannot be fetched: {getattr(error, 'reason', error)}") from None
    if len(data) > _MOST_BYTES:
        raise ImageError(address, f"larger than {_MOST_BYTES >> 20} MiB")
    return bytes(data)


def _received(answer: http.client.HTTPResponse) -> bytearray:
    """The body, up to a byte more than may be; TimeoutError where it takes too long as a whole."""
    data, end = bytearray(), time.monotonic() + _LONGEST
    while len(data) <= _MOST_BYTES and (part := answer.read1(1 << 16)):
        data += part
        if time.monotonic() > end:
            raise TimeoutError(f"not whole after {_LONGEST:.0f} seconds")
    return data
