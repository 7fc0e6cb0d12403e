"""The header of a weights file: what an honest one tells, and what becomes of dishonest ones."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from convatlas.weights.header import WeightsError, read_header

if TYPE_CHECKING:
    from pathlib import Path


def raw(path: Path, header: object, data: bytes = b"", *, length: int | None = None) -> Path:
    """Write a safetensors file by hand, as its specification says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def tensor(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_an_honest_header_gives_names_shapes_and_our_fields(tmp_path: Path) -> None:
    metadata = {"convatlas": "1", "classes": '["cat","dog"]', "scores": '{"top1":0.5}'}
    header = read_header(
        raw(tmp_path / "a.safetensors", {"__metadata__": metadata, "w": tensor(0, 24, [2, 3])}, bytes(24))
    )
    assert header.ours
    assert header.tensors["w"].shape == (2, 3)
    assert header.parameters == 6
    assert header.classes == ("cat", "dog")
    assert header.scores == {"top1": 0.5}


def test_the_header_is_read_without_torch_and_numpy(tmp_path: Path) -> None:
    path = raw(tmp_path / "a.safetensors", {"w": tensor(0, 4, [1])}, bytes(4))
    code = (
        "import sys; from convatlas.weights.header import read_header;"
        f"read_header({str(path)!r}); print({{'torch', 'numpy', 'safetensors'}} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("header", "data", "complaint"),
    [
        ({"w": tensor(0, 8, [1])}, bytes(8), "takes 4 bytes"),
        ({"w": tensor(0, 4, [1]), "v": tensor(0, 4, [1])}, bytes(4), "overlaps"),
        ({"w": tensor(0, 4, [1]), "v": tensor(8, 12, [1])}, bytes(12), "hole"),
        ({"w": tensor(0, 400, [100])}, bytes(40), "truncated"),
        ({"w": tensor(0, 4, [1])}, bytes(40), "follow the last tensor"),
        ({"w": tensor(0, 4, [-1])}, bytes(4), "whole numbers"),
        ({"w": tensor(0, 4, [2**63, 2**63])}, bytes(4), "corrupt"),
        ({"w": tensor(0, 4, [1], "F9000")}, bytes(4), "unknown type"),
        ({"w": [1, 2]}, b"", "by an object"),
        ({"__metadata__": {"convatlas": 1}}, b"", "metadata"),
        ({"__metadata__": {"convatlas": "77"}}, b"", "update convatlas"),
        ({"__metadata__": {"convatlas": "1", "classes": "{"}}, b"", "'classes'"),
        ({"__metadata__": {"convatlas": "1", "network": "[]"}}, b"", "'network'"),
        ({"__metadata__": {"convatlas": "1", "classes": '["\\ud800"]'}}, b"", "surrogates"),
        (b'{"w":1,"w":2}', b"", "twice"),
        (b"{" + b'"a":{' * 200_000, b"", "nested"),
        (b"\xff\xfe{}", b"", "begin with"),
        (b'{"\xff":1}', b"", "corrupt"),
        (b"[]", b"", "begin with"),
    ],
)
def test_a_corrupt_header_is_refused_with_its_reason(
    tmp_path: Path, header: object, data: bytes, complaint: str
) -> None:
    path = raw(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(WeightsError, match=complaint) as caught:
        read_header(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("length", "complaint"), [(2**63, "hostile"), (99_000_000, "truncated")])
def test_a_huge_header_length_is_refused_before_anything_is_read(
    tmp_path: Path, length: int, complaint: str
) -> None:
    with pytest.raises(WeightsError, match=complaint):
        read_header(raw(tmp_path / "bad.safetensors", {}, length=length))


@pytest.mark.parametrize("content", [b"", b"\x01\x00", b"not safetensors at all, just a text"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_header(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        read_header(tmp_path / "nowhere.safetensors")
