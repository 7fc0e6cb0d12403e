"""What the header of a JPEG says, read in microseconds, and a JPEG that ends where a crop ends.

The rows of a sequential JPEG are coded from top to bottom, and a decoder reads no further than the height that the
header states. A smaller height there saves all work below the crop, the reading of the code included, which no
scaled decoding saves. (The work above and beside the crop would need libjpeg-turbo's own skipping, which its Python
wrappers do not offer.)
"""

from __future__ import annotations

from typing import NamedTuple

# frame headers (ITU-T T.81, table B.1): baseline and extended sequential, Huffman, can end early; progressive and
# lossless ones come in several passes over the whole picture, arithmetic coding is rare
_SEQUENTIAL = (0xC0, 0xC1)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _APP1 = 0xDA, 0xE1
# markers without a length: TEM, RST0-7, SOI
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_END = b"\xff\xd9"
# cameras pad a file with zeros after its end
_TAIL = 64


class Frame(NamedTuple):
    """Size as stored, components (1 grey, 3 color), EXIF orientation 1..8, and the place of the height's two bytes.

    one_pass: sequential, all components in one scan, and whole: it may be cut short.
    """

    height: int
    width: int
    components: int
    orientation: int
    height_at: int
    one_pass: bool


def read_frame(data: bytes) -> Frame | None:
    """The frame of a JPEG; None for what is no JPEG, has no size in its header, or breaks off before its picture."""
    if data[:2] != b"\xff\xd8":
        return None
    at, orientation, frame, sequential = 2, 0, None, False
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before any marker
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            return None
        if marker == _START_OF_SCAN:
            if frame is None or at + 5 > len(data):
                return None
            whole = sequential and data[at + 4] == frame.components and _ends(data)
            return frame._replace(orientation=orientation or 1, one_pass=whole)
        if marker == _APP1 and not orientation and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _tiff_orientation(data[at + 10 : at + 2 + length])
        elif marker in _FRAMES:
            if length < 8 or at + 10 > len(data):
                return None
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            width = int.from_bytes(data[at + 7 : at + 9], "big")
            if not height or not width:  # the height may follow the scan (DNL): not for us
                return None
            sequential = marker in _SEQUENTIAL and data[at + 4] == 8
            frame = Frame(height, width, data[at + 9], 1, at + 5, one_pass=False)
        at += 2 + length
    return None


def cut(data: bytes, frame: Frame, rows: int) -> bytearray:
    """The JPEG with its height stated as `rows`: what is decoded are those rows of the whole, bit for bit.

    For frames of one pass, and for a decoder that passes over what follows the last row (`strict=False`). With
    smooth upsampling of color the last row has no neighbour below, and may differ.
    """
    shorter = bytearray(data)
    shorter[frame.height_at : frame.height_at + 2] = rows.to_bytes(2, "big")
    return shorter


def _ends(data: bytes) -> bool:
    """Whether the file ends as a JPEG does: a truncated one should be found out, whatever part of it is wanted."""
    return data.rfind(_END, max(0, len(data) - _TAIL)) >= 0


def _tiff_orientation(tiff: bytes) -> int:
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return 1
    start = int.from_bytes(tiff[4:8], order)  # type: ignore[arg-type]
    count = int.from_bytes(tiff[start : start + 2], order)  # type: ignore[arg-type]
    for i in range(min(count, 512)):
        entry = tiff[start + 2 + 12 * i : start + 14 + 12 * i]
        if len(entry) == 12 and int.from_bytes(entry[:2], order) == 0x0112:  # type: ignore[arg-type]
            value = int.from_bytes(entry[8:10], order)  # type: ignore[arg-type]
            return value if 1 <= value <= 8 else 1
    return 1
