"""What commands share: how a file that --out names is written."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")

from convatlas.cli import options  # noqa: E402
from convatlas.errors import ConvAtlasError  # noqa: E402


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 4 KiB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signalled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, signalled)


def test_a_file_that_cannot_be_written_whole_leaves_the_earlier_one(
    tmp_path: Path, small_files: None
) -> None:
    page = tmp_path / "page.html"
    page.write_text("earlier")
    for path in (page, tmp_path / "new.html"):
        with pytest.raises(ConvAtlasError, match=f"{path.name}: cannot be written: .*unharmed"):
            options.write(path, "x" * 10_000)
    assert page.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [page]


def test_a_link_or_a_device_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "page.html")
    options.write(tmp_path / "link", "text")
    assert (tmp_path / "page.html").read_text() == "text"
    assert (tmp_path / "link").is_symlink()
    options.write(Path("/dev/null"), "text")
    assert not Path("/dev/null").is_file()
