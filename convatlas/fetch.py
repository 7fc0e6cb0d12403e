"""Download a file so that it arrives whole or not at all: mirrors in order, resumed, verified, atomic.

Standard library only. A download goes to `NAME.part` beside its place and is renamed when its checksum is
right, so that a file under its own name is always whole. What is there already is used without a network.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from convatlas._version import __version__
from convatlas.errors import ConvAtlasError, MisuseError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be (None: the server does not say)."""

CHUNK = 1 << 18
ATTEMPTS = 3
"""How often one mirror is asked when its connection breaks."""


class DownloadError(ConvAtlasError):
    """No mirror gave the file; the text has the reason of each."""


class _MirrorError(Exception):
    """One mirror failed; `again` says whether asking it once more may help."""

    def __init__(self, reason: str, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True)
class _Terms:
    """What holds for every mirror of one download; `wanted` is the sha256 or its head, empty if unknown."""

    wanted: str
    max_bytes: int
    progress: Progress | None
    timeout: float
    pause: float


def cache_dir() -> Path:
    """The folder of downloads: $CONVATLAS_CACHE, else convatlas in the user's cache folder."""
    given = os.environ.get("CONVATLAS_CACHE")
    try:
        if given:
            return Path(given).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convatlas"
    except RuntimeError as error:  # ~name of nobody here, or a user without a home
        raise MisuseError(f"CONVATLAS_CACHE={given or ''}: {error} Name a folder there, from / on") from None


def cached(
    name: str,
    urls: str | Sequence[str],
    sha256: str | None = None,
    *,
    max_bytes: int = 1 << 32,
    progress: Progress | None = None,
) -> Path:
    """Give the path of the file called `name` (it may have folders) in the cache, downloaded if it is not there."""
    return download(urls, cache_dir() / name, sha256, max_bytes=max_bytes, progress=progress)


def download(
    urls: str | Sequence[str],
    path: str | Path,
    sha256: str | None = None,
    *,
    max_bytes: int = 1 << 32,
    progress: Progress | None = None,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Put the file at `path`, from the first of `urls` that gives it right, and return the path.

    sha256: in hexadecimal, whole or its first 8 digits or more (published file names carry 8). Without it an
    interrupted download starts anew, and an existing file is taken as it is. max_bytes: what is larger is
    refused. timeout and pause: seconds, for an answer and before a broken mirror is asked again.
    CONVATLAS_OFFLINE=1 keeps it from the network (0 or false does not). Raises DownloadError, or OSError where writing fails.
    """
    path = Path(path)
    wanted = _digest(sha256)
    terms = _Terms(wanted, max_bytes, progress, timeout, pause)
    addresses = [urls] if isinstance(urls, str) else list(urls)
    for address in addresses:
        if scheme_of(address) not in {"http", "https", "file"}:
            raise MisuseError(
                f"{address!r} is not an address to download from; it begins with http:// or https://"
            )
    if _is_right(path, wanted):
        return path
    if os.environ.get("CONVATLAS_OFFLINE", "").strip().lower() not in {"", "0", "false", "no", "off"}:
        raise DownloadError(
            f"{path} is not there{' or is broken' if path.exists() else ''}, and CONVATLAS_OFFLINE forbids to "
            f"download it; unset it, or put the file there yourself from {addresses[0]}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    reasons = []
    with part.open("ab") as file, _alone(file):
        if _is_right(path, wanted):  # another process has fetched it while this one waited
            part.unlink(missing_ok=True)
            return path
        if not wanted:
            file.truncate(0)  # nothing would tell whether two halves belong together
        for address in addresses:
            try:
                _from_mirror(address, file, part, terms)
            except _MirrorError as error:
                reasons.append(f"{address}: {error}")
            else:
                os.fsync(file.fileno())
                if os.name == "nt":  # Windows does not rename an open file
                    file.close()
                part.replace(path)
                return path
    if part.exists() and part.stat().st_size == 0:
        part.unlink()
    raise DownloadError(
        f"{path.name} could not be downloaded. {'; '.join(reasons)}. "
        f"Try again later, or put the file at {path} yourself" + (f" (sha256 {sha256})" if sha256 else "")
    )


def scheme_of(address: str) -> str:
    """What an address begins with, in small letters; empty where it is none, as http://[::1/x."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(sha256: str | None) -> str:
    wanted = (sha256 or "").lower()
    if wanted and (not 8 <= len(wanted) <= 64 or set(wanted) - set("0123456789abcdef")):
        raise MisuseError(f"{sha256!r} is not a sha256: 8 to 64 hexadecimal digits")
    return wanted


def _is_right(path: Path, wanted: str) -> bool:
    return path.is_file() and (not wanted or sha256_of(path).startswith(wanted))


@contextlib.contextmanager
def _alone(file: BinaryIO) -> Iterator[None]:
    """Let one process at a time write to `file`; where the system has no such lock, go on without."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _from_mirror(address: str, file: BinaryIO, part: Path, terms: _Terms) -> None:
    """Fill `file` (open at `part`) from one address, asking again where its connection breaks."""
    for attempt in range(ATTEMPTS):
        try:
            _once(address, file, part, terms)
        except _MirrorError as error:
            if not terms.wanted:
                file.truncate(0)
            if not error.again or attempt == ATTEMPTS - 1:
                raise
            time.sleep(terms.pause)
        else:
            return


def _once(address: str, file: BinaryIO, part: Path, terms: _Terms) -> None:
    began = file.seek(0, os.SEEK_END)
    if began and _is_right(part, terms.wanted):  # stopped just before it was renamed
        return
    _receive(address, file, terms)
    if terms.wanted and not (found := sha256_of(part)).startswith(terms.wanted):
        file.truncate(0)
        # A resumed file may be the head of one version and the tail of another: then once more, from the start.
        raise _MirrorError(f"its sha256 is {found[:16]}..., expected {terms.wanted[:16]}...", again=began > 0)


def _receive(address: str, file: BinaryIO, terms: _Terms) -> None:
    """Append what is missing of `address` to `file`."""
    have = file.seek(0, os.SEEK_END)
    with _open(address, have, terms.timeout) as answer:
        headers = answer.headers
        if have and not _continues(answer, have):
            file.truncate(0)
            have = 0
        if answer.status == 206 and not have:
            raise _MirrorError("it answers with a part of the file, not with the whole")
        length = headers.get("Content-Length", "")
        # of more digits it is nonsense, and Python would not read it
        total = have + int(length) if length.isdecimal() and len(length) < 20 else None
        if total is not None and total > terms.max_bytes:
            raise _MirrorError(f"it has {total:,} bytes, more than the {terms.max_bytes:,} that are allowed")
        if headers.get_content_type() == "text/html":
            raise _MirrorError("it answers with a web page, not with the file")
        while chunk := _read(answer):
            if have == 0 and chunk[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
                raise _MirrorError("it answers with a web page, not with the file")
            have += len(chunk)
            if have > terms.max_bytes:
                file.truncate(0)
                raise _MirrorError(f"it has more than the {terms.max_bytes:,} bytes that are allowed")
            file.write(chunk)
            if terms.progress:
                terms.progress(have, total)
    file.flush()
    if not have:
        raise _MirrorError("it answers with nothing, 0 bytes")
    if total is not None and have < total:
        raise _MirrorError(f"the connection broke at {have:,} of {total:,} bytes", again=True)


def _open(address: str, have: int, timeout: float) -> http.client.HTTPResponse:
    """Ask for `address`, from byte `have` on."""
    headers = {"User-Agent": f"convatlas/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=timeout)  # noqa: S310 (scheme checked by download)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing follows: what is there is whole, or of another file
            return _open(address, 0, timeout)
        raise _MirrorError(f"HTTP {error.code} {error.reason}", again=error.code >= 500) from error
    except urllib.error.URLError as error:
        # a name that does not resolve, a refused connection, a missing file: another try seconds later is no use
        raise _MirrorError(str(error.reason)) from error
    except (ValueError, http.client.InvalidURL) as error:  # of the address, or of one that it leads on to
        raise _MirrorError(f"it is, or leads to, no address: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(f"{type(error).__name__} {error}".strip(), again=True) from error
    assert isinstance(answer, http.client.HTTPResponse) or urlsplit(address).scheme == "file"
    return answer  # type: ignore[no-any-return]


def _continues(answer: http.client.HTTPResponse, have: int) -> bool:
    """Tell whether an answer goes on at byte `have`, as it was asked to."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(CHUNK)
    except http.client.IncompleteRead as error:
        raise _MirrorError("the connection broke", again=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(f"{type(error).__name__} {error}".strip(), again=True) from error
