"""Tar shards in WebDataset form, local and at an address."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from convatlas.data.images import ImageError
from convatlas.data.readers.shards import _label, expand
from convatlas.data.sets import FileSet
from convatlas.data.sources import open_data
from convatlas.errors import ConvAtlasError, MisuseError


def write_shard(path: Path, samples: list[tuple[str, str, str]], kind: str = "cls") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, color, label in samples:
            buffer = io.BytesIO()
            Image.new("RGB", (9, 7), color).save(buffer, "PNG")
            body = json.dumps({"label": label}) if kind == "json" else label
            for name, data in ((f"{key}.png", buffer.getvalue()), (f"{key}.{kind}", body.encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))


@pytest.mark.parametrize("kind", ["cls", "json", "txt"])
def test_shards_are_read_in_place(tmp_path: Path, kind: str) -> None:
    for part, count in (("train-000000", 4), ("train-000001", 2), ("val-000000", 2)):
        write_shard(
            tmp_path / f"{part}.tar", [(f"{part}/{i:04}", "navy", str(i % 2)) for i in range(count)], kind
        )
    source = open_data(tmp_path)
    assert (len(source.train), len(source.test)) == (6, 2)
    assert isinstance(source.train, FileSet)
    with Image.open(io.BytesIO(source.train.read(5))) as image:
        assert image.size == (9, 7)
    assert (
        len(open_data(str(tmp_path / "train-{000000..000001}.tar")).train) == 4
    )  # split here: 2 of 6 are tested


@contextlib.contextmanager
def serving(folder: Path, refusing: str = "") -> Iterator[str]:
    """The address of a server of `folder`; it answers 401 for the file called `refusing`."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            if refusing and self.path.endswith(refusing):
                self.send_error(401)
            else:
                super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two shards of two classes, and an empty cache."""
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    for i in range(2):
        write_shard(tmp_path / f"site/s-{i}.tar", [(f"{i}{j}", "teal", "01"[j % 2]) for j in range(6)])
    return tmp_path / "site"


def test_shards_at_an_address_are_fetched_once(site: Path) -> None:
    with serving(site) as address:
        source = open_data(f"{address}/s-{{0..1}}.tar")
        assert len(source.train) + len(source.test) == 12
        assert source.classes == ("0", "1")
    # the server is gone, the cache is not
    assert len(open_data(f"{address}/s-{{0..1}}.tar").train) == len(source.train)


@pytest.mark.parametrize(("index", "refusing"), [('{"classes": ["a", "b", "c"]', ""), ("{}", "index.json")])
def test_an_index_that_cannot_be_had_is_not_done_without(site: Path, index: str, refusing: str) -> None:
    (site / "index.json").write_text(index)
    with serving(site, refusing) as address:
        for _ in range(2):
            with pytest.raises(ConvAtlasError, match=r"index\.json"):
                open_data(f"{address}/s-0.tar")
        if not refusing:
            (site / "index.json").write_text('{"classes": ["a", "b", "c"]}')
            assert open_data(f"{address}/s-0.tar").classes == ("a", "b", "c")


def test_broken_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ConvAtlasError, match=r"a\.tar: not a whole uncompressed tar"):
        open_data(tmp_path)
    with pytest.raises(MisuseError, match=r"b-1\.tar: there is no such shard"):
        open_data(str(tmp_path / "b-{1..2}.tar"))
    write_shard(tmp_path / "a.tar", [])
    with pytest.raises(MisuseError, match="no pictures with labels"):
        open_data(tmp_path)


def test_a_shard_that_was_cut_between_two_files_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [(str(i), "navy", str(i % 2)) for i in range(8)])
    whole = (tmp_path / "a.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        starts = [member.offset for member in archive]
    for at in (*starts[2:], starts[2] + 100):
        (tmp_path / "a.tar").write_bytes(whole[:at])
        with pytest.raises(
            ConvAtlasError, match=r"a\.tar: not a whole uncompressed tar \(it breaks off at byte"
        ):
            open_data(tmp_path)


def test_a_shard_that_goes_away_is_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [(str(i), "navy", str(i % 2)) for i in range(8)])
    source = open_data(tmp_path)
    (tmp_path / "a.tar").unlink()
    assert isinstance(source.train, FileSet)
    with pytest.raises(ImageError, match=r"a\.tar:0\.png: cannot be opened: No such file"):
        source.train.read(0)


def test_shards_are_as_long_as_their_index_says_and_missing_ones_are_said(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [(str(i), "navy", str(i % 2)) for i in range(8)])
    length = (tmp_path / "a.tar").stat().st_size
    index = {"classes": ["x", "y"], "shards": {"a.tar": {"bytes": length}, "b.tar": {"bytes": 1}}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert open_data(tmp_path).notes == ("1 of the 2 shards of index.json are not there, such as b.tar",)
    (tmp_path / "a.tar").rename(tmp_path / "b.tar")
    with pytest.raises(ConvAtlasError, match=rf"b\.tar: {length:,} bytes, index\.json says 1"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("labels", "kind", "words"),
    [
        ("77", "cls", "one class only"),
        (("cat", "cat"), "txt", "one class only"),
        ((-1, -1), "json", "one class only"),
        (("9" * 5000, "1"), "cls", r"label 9{40}\.\.\. is no class number"),
        (("9" * 5000,) * 2, "cls", r"one class only \('9{40}\.\.\.'\)"),
        (("100000", "1"), "cls", "label 100000 is no class number"),
    ],
)
def test_labels_that_cannot_be_learned_from_say_why(
    tmp_path: Path, labels: Sequence[str], kind: str, words: str
) -> None:
    write_shard(tmp_path / "a.tar", [(str(i), "navy", label) for i, label in enumerate(labels)], kind)
    with pytest.raises(MisuseError, match=words):
        open_data(tmp_path)


def test_deeply_nested_json_is_no_label_and_no_index(tmp_path: Path) -> None:
    deep = "[" * 30_000
    assert _label(deep.encode(), "json") is None
    write_shard(tmp_path / "a.tar", [(str(i), "navy", str(i)) for i in range(4)])
    (tmp_path / "index.json").write_text(deep)
    with pytest.raises(ConvAtlasError, match=r"index\.json: not JSON"):
        open_data(tmp_path)


def test_names_and_labels_that_are_not_utf8_are_written_out(tmp_path: Path) -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    write_shard(
        tmp_path / "a.tar", [(f"{name}{i}", "navy", ("\ud800", "b")[i % 2]) for i in range(4)], "json"
    )
    source = open_data(tmp_path)
    assert source.classes == ("b", r"\ud800")
    assert len(source.record()["fingerprint"]) > 16  # type: ignore[arg-type]
    assert source.train.label_of(0).encode()


def test_labels_of_others_are_names_or_numbers_but_not_either(tmp_path: Path) -> None:
    classes = ("1", "2", "10")
    (tmp_path / "index.json").write_text(json.dumps({"classes": classes}))
    samples = [(f"{i:02}", "navy", label) for i, label in enumerate(("0", "10") * 3)]
    write_shard(tmp_path / "a.tar", samples)
    source = open_data(tmp_path)
    found = [source.classes[int(n)] for dataset in (source.train, source.test) for n in dataset.labels]
    assert sorted(found) == ["1"] * 3 + ["10"] * 3
    write_shard(tmp_path / "a.tar", [*samples, ("99", "navy", "2")])
    with pytest.raises(ConvAtlasError, match="label '2' may be class '10'.*or the class of that name"):
        open_data(tmp_path)


def test_braces_keep_their_zeros() -> None:
    assert expand("x-{008..011}.tar") == ["x-008.tar", "x-009.tar", "x-010.tar", "x-011.tar"]
    assert expand("x.tar") == ["x.tar"]
    assert expand(many := "x-{0.." + "9" * 5000 + "}.tar") == [many]
    with pytest.raises(MisuseError, match="range"):
        expand("x-{5..1}.tar")
    with pytest.raises(MisuseError, match="not an address"):
        open_data("http://[::1/x.tar")
