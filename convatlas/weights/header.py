"""The header of a ConvAtlas weights file, read with the standard library alone.

The file is a plain safetensors file: eight bytes with the header's length (little endian), the header
as JSON, then the raw tensors. Any safetensors reader opens it; what is ours are the JSON texts under
`__metadata__`: network, preprocessing, classes, scores, provenance.
Format: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from convatlas.errors import ConvAtlasError

FORMAT_VERSION = "1"
MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation
FIELDS = ("network", "preprocessing", "classes", "scores", "provenance")

# fmt: off
BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
         "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}
# fmt: on


class WeightsError(ConvAtlasError):
    """A weights file that cannot be read, or does not fit; the message says where and what to do."""


@dataclass(frozen=True)
class TensorInfo:
    """What the header says of one tensor: its type in safetensors' words and its shape."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """All that a weights file tells about itself before a tensor is read.

    `network` and `preprocessing` are plain dictionaries here; `read_weights` turns them into values.
    `ours` is False for a safetensors file that another program wrote.
    """

    tensors: dict[str, TensorInfo]
    ours: bool = False
    network: dict[str, object] | None = None
    preprocessing: dict[str, object] | None = None
    classes: tuple[str, ...] | None = None
    scores: dict[str, object] = field(default_factory=dict)
    provenance: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of values in all tensors, buffers included."""
        return sum(_count(info.shape) for info in self.tensors.values())


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read and check the header of a safetensors file; needs neither torch nor numpy.

    Raises WeightsError for a truncated, corrupt or hostile file: a length beyond the file or beyond
    100 MB, JSON that is not an object, tensors that overlap, leave a hole or reach past the end.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            raw, length = _raw_header(file, size, path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    entries = _parse(raw, path)
    metadata = _metadata(entries.pop("__metadata__", {}), path)
    tensors = {name: _tensor(name, entry, path) for name, entry in entries.items()}
    _check_layout(tensors, size - 8 - length, path)
    if "convatlas" not in metadata:
        return Header(tensors, metadata=metadata)
    return replace(_fields(metadata, path), tensors=tensors, metadata=metadata)


def _raw_header(file: IO[bytes], size: int, path: Path) -> tuple[bytes, int]:
    start = file.read(8)
    if len(start) < 8:
        raise WeightsError(
            f"{path}: {size} bytes is too short for a safetensors file; fetch or save it again"
        )
    length = int.from_bytes(start, "little")
    if length > MAX_HEADER_BYTES:
        raise WeightsError(
            f"{path}: not a safetensors file, or a hostile one: its header claims {length} bytes,"
            f" the limit is {MAX_HEADER_BYTES}"
        )
    if length > size - 8:
        raise WeightsError(
            f"{path}: truncated: the header should have {length} bytes, the file has {size - 8} after its"
            " length field; fetch or save it again"
        )
    return file.read(length), length


def _parse(raw: bytes, path: Path) -> dict[str, object]:
    if not raw.startswith(b"{"):
        raise WeightsError(f"{path}: not a safetensors file: its header does not begin with '{{'")
    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except RecursionError as error:
        raise WeightsError(f"{path}: the safetensors header is nested too deeply to be honest") from error
    except ValueError as error:  # bad UTF-8, bad JSON, a name twice, an integer of thousands of digits
        raise WeightsError(f"{path}: the safetensors header is corrupt: {error}") from error
    if not isinstance(entries, dict):
        raise WeightsError(f"{path}: the safetensors header should be an object")
    return entries


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} appears twice")
    return result


def _metadata(value: object, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise WeightsError(f"{path}: the safetensors metadata should map names to texts")
    return value


def _natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _tensor(name: str, entry: object, path: Path) -> TensorInfo:
    where = f"{path}: tensor {name!r}"
    if not isinstance(entry, dict):
        raise WeightsError(f"{where}: the header should describe it by an object, found {entry!r:.60}")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise WeightsError(f"{where}: unknown type {dtype!r:.60}; known are {', '.join(BYTES)}")
    if not isinstance(shape, list) or not all(_natural(side) for side in shape):
        raise WeightsError(f"{where}: its shape should be a list of whole numbers, found {shape!r:.60}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_natural(at) for at in offsets):
        raise WeightsError(f"{where}: its offsets should be two whole numbers, found {offsets!r:.60}")
    start, end = offsets
    if end - start != _count(shape) * BYTES[dtype]:
        raise WeightsError(
            f"{where}: {dtype} of shape {tuple(shape)} takes {_count(shape) * BYTES[dtype]} bytes, its"
            f" offsets give {end - start}; the file is corrupt"
        )
    return TensorInfo(dtype, tuple(shape), start, end)


def _check_layout(tensors: dict[str, TensorInfo], available: int, path: Path) -> None:
    """Every byte of the data belongs to exactly one tensor: the format allows neither overlap nor hole."""
    at, before = 0, "the header"
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != at:
            fault = "overlaps" if info.start < at else "leaves a hole after"
            raise WeightsError(f"{path}: tensor {name!r} {fault} {before}: the file is corrupt or hostile")
        at, before = info.end, repr(name)
    if at > available:
        raise WeightsError(
            f"{path}: truncated: its tensors take {at} bytes, the file has {available} for them;"
            " fetch or save it again"
        )
    if at < available:
        raise WeightsError(f"{path}: {available - at} bytes follow the last tensor: the file is corrupt")


def _fields(metadata: dict[str, str], path: Path) -> Header:
    """Decode our own texts; a field that is absent stays at its default."""
    version = metadata["convatlas"]
    if version != FORMAT_VERSION:
        raise WeightsError(
            f"{path}: written in version {version!r} of the ConvAtlas format, this release reads"
            f" {FORMAT_VERSION!r}; update convatlas"
        )
    fields: dict[str, Any] = {}  # JSON
    for name in FIELDS:
        if name not in metadata:
            continue
        try:
            value = json.loads(metadata[name])
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could never be printed
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"{path}: the field {name!r} of the header is corrupt: {error}") from error
        wanted = list if name == "classes" else dict
        if not isinstance(value, wanted):
            raise WeightsError(f"{path}: the field {name!r} of the header should be a {wanted.__name__}")
        fields[name] = tuple(str(label) for label in value) if name == "classes" else value
    return Header({}, ours=True, **fields)


def _count(shape: tuple[int, ...] | list[int]) -> int:
    number = 1
    for side in shape:
        number *= side
    return number
