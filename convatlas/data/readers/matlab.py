"""As much of MATLAB's level 5 MAT-file as ImageNet's meta.mat needs: a struct array with numbers and texts.

The format is MathWorks' "MAT-File Format"; elements are (type, length, data), padded to eight bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from convatlas.errors import ConvAtlasError

_INT8, _UINT8, _INT32, _MATRIX, _COMPRESSED = 1, 2, 5, 14, 15
_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {16: "utf-8", 17: "utf-16-le", 4: "utf-16-le", 1: "latin-1", 2: "latin-1"}
_STRUCT_CLASS, _CHAR_CLASS = 2, 4
_LIMIT = 1 << 26  # bytes of an unpacked meta.mat: the real one has 4 MB


def imagenet_synsets(data: bytes) -> dict[int, str]:
    """ILSVRC2012_ID to WNID, of meta.mat's bytes; ConvAtlasError where it is not that."""
    try:
        records = list(_synsets(data))
        return {int(r["ILSVRC2012_ID"]): str(r["WNID"]) for r in records}  # type: ignore[call-overload]
    except (struct.error, zlib.error, KeyError, IndexError, ValueError, TypeError) as error:
        raise ConvAtlasError(f"meta.mat: not the development kit's list of synsets ({error!r})") from error


def _synsets(data: bytes) -> Iterator[dict[str, object]]:
    if data[126:128] != b"IM":
        raise ValueError("not a little-endian level 5 MAT-file")
    for kind, body in _elements(data[128:]):
        inner = body
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(body, _LIMIT)
            kind, inner = next(_elements(unpacked))
        if kind != _MATRIX:
            continue
        parts = list(_elements(inner))
        if parts[0][1][0] != _STRUCT_CLASS:
            continue
        width = struct.unpack("<i", parts[3][1][:4])[0]
        raw = parts[4][1]
        fields = [raw[i : i + width].split(b"\0")[0].decode() for i in range(0, len(raw), width)]
        if "WNID" not in fields:
            continue
        values = parts[5:]
        for start in range(0, len(values) - len(fields) + 1, len(fields)):
            row = values[start : start + len(fields)]
            yield {f: _value(b) for f, (_, b) in zip(fields, row, strict=True)}


def _value(body: bytes) -> object:
    """A scalar number or a text; None for what is neither."""
    parts = list(_elements(body))
    if len(parts) < 4:
        return None
    kind, data = parts[3]
    if parts[0][1][0] == _CHAR_CLASS:
        return data.decode(_TEXTS[kind])
    if kind in _NUMBERS and len(data) >= struct.calcsize(_NUMBERS[kind]):
        return struct.unpack_from("<" + _NUMBERS[kind], data)[0]
    return None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind >> 16:  # a small element: length and up to four bytes of data in one word each
            length, kind = kind >> 16, kind & 0xFFFF
            yield kind, data[at + 4 : at + 4 + length]
            at += 8
            continue
        if at + 8 + length > len(data):
            raise ValueError("the file ends inside of an element")
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (0 if kind == _COMPRESSED else -length % 8)
