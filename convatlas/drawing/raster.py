"""A PNG written with the standard library: for pictures of more cells than an SVG should hold."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def shade_png(rows: Sequence[bytes], color: str) -> bytes:
    """A palette PNG of one `#rrggbb` color whose opacity is the byte of each pixel (0 clear, 255 full)."""
    width, height = len(rows[0]), len(rows)
    red, green, blue = (int(color[index : index + 2], 16) for index in (1, 3, 5))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", bytes((red, green, blue)) * 256),
            _chunk(b"tRNS", bytes(range(256))),
            _chunk(b"IDAT", pixels),
            _chunk(b"IEND", b""),
        )
    )


def data_uri(data: bytes) -> str:
    """An image's bytes as a `data:` address; the kind is told by the first bytes (PNG, JPEG, GIF, WebP or SVG)."""
    kinds = (
        (_SIGNATURE, "png"),
        (b"\xff\xd8", "jpeg"),
        (b"GIF8", "gif"),
        (b"RIFF", "webp"),
        (b"<", "svg+xml"),
    )
    for start, kind in kinds:
        if data.startswith(start):
            return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    msg = f"image data begins with {data[:8]!r}; expected the bytes of a PNG, JPEG, GIF, WebP or SVG file"
    raise ValueError(msg)
