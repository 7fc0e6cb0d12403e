"""Downloads, from a server on this machine that misbehaves as real ones do."""

from __future__ import annotations

import errno
import hashlib
import http.server
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from convatlas import fetch
from convatlas.errors import MisuseError

DATA = random.Random(7).randbytes(600_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """Serves DATA under many names; `requests` is what was asked, as (path, Range)."""
    requests: list[tuple[str, str | None]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            requests.append((self.path, wanted))
            body, start = DATA, 0
            name = self.path.strip("/")
            if name == "missing":
                self.send_error(404)
                return
            if name == "busy":
                self.send_error(503)
                return
            if name in {"empty", "part", "astray"}:
                self.send_response({"empty": 204, "part": 206, "astray": 302}[name])
                self.send_header("Location", "http://[::1/x")
                self.end_headers()
                self.wfile.write(DATA[:9] if name == "part" else b"")
                return
            if name == "other":
                body = DATA[::-1]
            if name in {"page", "page-untyped"}:
                body = b"<!DOCTYPE html><title>domain for sale</title>" + b" " * 1000
            if wanted and name != "no-ranges":
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", "text/html" if name == "page" else "application/octet-stream")
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            if name == "nonsense-length":
                self.send_header("Content-Length", "9" * 5000)
            elif name != "no-length":
                self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            body = body[start:]
            self.wfile.write(body[: len(body) // 2] if name == "breaks" else body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{httpd.server_port}", requests=requests)
        httpd.shutdown()
        thread.join()


def test_a_file_arrives_whole_and_leaves_nothing_beside_it(server: SimpleNamespace, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch.download(
        f"{server.url}/good", tmp_path / "deep/er/file.bin", DIGEST, progress=lambda a, b: seen.append((a, b))
    )
    assert path.read_bytes() == DATA
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]
    assert seen[-1] == (len(DATA), len(DATA))
    assert [a for a, _ in seen] == sorted(a for a, _ in seen)


def test_a_file_that_is_there_is_used_without_a_network(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST[:8])
    assert server.requests == []


def test_a_file_that_is_there_but_wrong_is_fetched_again(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA[:-1])
    assert fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST).read_bytes() == DATA


def test_an_interrupted_download_is_resumed(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA[:123_456])
    assert fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST).read_bytes() == DATA
    assert server.requests == [("/good", "bytes=123456-")]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(fetch.DownloadError, match="connection broke at"):
        fetch.download(f"{server.url}/breaks", tmp_path / "file", DIGEST, pause=0)
    ranges = [wanted for _, wanted in server.requests]
    assert ranges == [None, "bytes=300000-", "bytes=450000-"]
    # and what came is kept for the next time
    assert (tmp_path / "file.part").read_bytes() == DATA[:525_000]
    assert not (tmp_path / "file").exists()


def test_without_a_checksum_two_halves_are_never_joined(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"half of something else")
    assert fetch.download(f"{server.url}/good", tmp_path / "file").read_bytes() == DATA
    assert server.requests == [("/good", None)]


def test_a_resumed_file_of_two_versions_is_fetched_from_the_start(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    assert fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST, pause=0).read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


def test_a_server_that_ignores_ranges_sends_it_all(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA[:1000])
    assert fetch.download(f"{server.url}/no-ranges", tmp_path / "file", DIGEST).read_bytes() == DATA


def test_a_download_stopped_before_its_rename_is_whole(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA)
    assert fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST).read_bytes() == DATA
    assert server.requests == []


def test_a_partial_file_longer_than_the_file_is_dropped(server: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA + b"more")
    assert fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST).read_bytes() == DATA


@pytest.mark.parametrize(
    ("name", "reason"),
    [("empty", "nothing, 0 bytes"), ("part", "a part of the file"), ("astray", "leads to, no address")],
)
def test_an_answer_without_the_file_is_not_kept_as_the_file(
    server: SimpleNamespace, tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(fetch.DownloadError, match=reason):
        fetch.download(f"{server.url}/{name}", tmp_path / "file", pause=60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address", [f"http://{'a' * 64}.org/x", "http://../x", "http://127.0.0.1:9/a b", "http://ü/ü"]
)
def test_an_address_that_cannot_be_asked_is_passed_over(
    server: SimpleNamespace, tmp_path: Path, address: str
) -> None:
    urls = [address, f"{server.url}/good"]
    assert fetch.download(urls, tmp_path / "file", DIGEST, pause=60).read_bytes() == DATA


@pytest.mark.parametrize("name", ["no-length", "nonsense-length"])
def test_a_file_without_stated_length_arrives(server: SimpleNamespace, tmp_path: Path, name: str) -> None:
    assert fetch.download(f"{server.url}/{name}", tmp_path / "file", DIGEST).read_bytes() == DATA


@pytest.mark.parametrize("bad", ["missing", "busy", "other", "page", "page-untyped", "breaks"])
def test_the_next_mirror_is_asked_when_one_is_bad(server: SimpleNamespace, tmp_path: Path, bad: str) -> None:
    urls = [f"{server.url}/{bad}", f"{server.url}/good"]
    assert fetch.download(urls, tmp_path / "file", DIGEST, pause=0).read_bytes() == DATA


def test_a_dead_mirror_is_passed_over_at_once(server: SimpleNamespace, tmp_path: Path) -> None:
    urls = ["http://127.0.0.1:9/dead", f"{server.url}/good"]  # port 9: nobody listens
    assert fetch.download(urls, tmp_path / "file", DIGEST, pause=60).read_bytes() == DATA


def test_all_mirrors_bad_names_the_reason_of_each_and_what_to_do(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    urls = [f"{server.url}/{name}" for name in ("missing", "page", "page-untyped", "other")]
    with pytest.raises(fetch.DownloadError) as caught:
        fetch.download(urls, tmp_path / "file", DIGEST, pause=0)
    text = str(caught.value)
    assert "HTTP 404" in text
    assert text.count("answers with a web page") == 2
    assert f"expected {DIGEST[:16]}" in text
    assert f"put the file at {tmp_path / 'file'} yourself" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["good", "no-length"])
def test_a_file_larger_than_allowed_is_refused(server: SimpleNamespace, tmp_path: Path, name: str) -> None:
    with pytest.raises(fetch.DownloadError, match="more than the 599,999"):
        fetch.download(f"{server.url}/{name}", tmp_path / "file", DIGEST, max_bytes=599_999)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["ftp://example.org/x", "example.org/x", "data:,x", "http://[::1/x.tar"])
def test_an_address_that_is_none_is_misuse(tmp_path: Path, address: str) -> None:
    with pytest.raises(MisuseError, match="not an address"):
        fetch.download(address, tmp_path / "file")


@pytest.mark.parametrize("digest", ["1234567", "z" * 64, "0" * 65])
def test_a_checksum_that_is_none_is_misuse(tmp_path: Path, digest: str) -> None:
    with pytest.raises(MisuseError, match="not a sha256"):
        fetch.download("http://127.0.0.1:9/x", tmp_path / "file", digest)


def test_offline_says_so_and_asks_nobody(
    server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVATLAS_OFFLINE", "1")
    with pytest.raises(fetch.DownloadError, match="CONVATLAS_OFFLINE"):
        fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST)
    assert server.requests == []


def test_the_cache_is_where_the_user_says(
    server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path))
    assert fetch.cached("weights/a.pth", f"{server.url}/good", DIGEST) == tmp_path / "weights/a.pth"
    monkeypatch.delenv("CONVATLAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert fetch.cache_dir() == tmp_path / "x/convatlas"


def test_a_cache_of_nobody_is_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_CACHE", "~nosuchuser/x")
    with pytest.raises(MisuseError, match="CONVATLAS_CACHE=~nosuchuser/x"):
        fetch.cache_dir()


@pytest.mark.parametrize("text", ["0", "false", "", "No"])
def test_offline_can_be_said_no_to(
    server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("CONVATLAS_OFFLINE", text)
    assert fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST).read_bytes() == DATA


def test_two_at_once_ask_once(server: SimpleNamespace, tmp_path: Path) -> None:
    def get() -> None:
        fetch.download(f"{server.url}/good", tmp_path / "file", DIGEST)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(server.requests) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_told_as_such_and_blamed_on_no_mirror(server: SimpleNamespace, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        fetch.download([f"{server.url}/good", f"{server.url}/other"], tmp_path / "file", DIGEST)
    assert caught.value.errno == errno.ENOSPC
    assert len(server.requests) == 1
    assert not (tmp_path / "file").exists()
