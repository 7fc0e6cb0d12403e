"""Tar shards in WebDataset form, local and at an address."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from convatlas.data.readers.shards import expand
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


def test_shards_at_an_address_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_CACHE", str(tmp_path / "cache"))
    for i in range(2):
        write_shard(tmp_path / f"site/s-{i}.tar", [(f"{i}{j}", "teal", "ab"[j % 2]) for j in range(6)])
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "site")
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/s-{{0..1}}.tar"
        source = open_data(address)
        assert len(source.train) + len(source.test) == 12
        assert source.classes == ("a", "b")
    finally:
        server.shutdown()
        server.server_close()
    assert len(open_data(address).train) == len(source.train)  # the server is gone, the cache is not


def test_broken_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ConvAtlasError, match=r"a\.tar: not a whole uncompressed tar"):
        open_data(tmp_path)
    with pytest.raises(MisuseError, match=r"b-1\.tar: there is no such shard"):
        open_data(str(tmp_path / "b-{1..2}.tar"))
    write_shard(tmp_path / "a.tar", [])
    with pytest.raises(MisuseError, match="no pictures with labels"):
        open_data(tmp_path)


def test_braces_keep_their_zeros() -> None:
    assert expand("x-{008..011}.tar") == ["x-008.tar", "x-009.tar", "x-010.tar", "x-011.tar"]
    assert expand("x.tar") == ["x.tar"]
    with pytest.raises(MisuseError, match="range"):
        expand("x-{5..1}.tar")
