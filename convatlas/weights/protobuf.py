"""A reader of protocol buffers' wire format, as small as .caffemodel needs, that trusts no length in the file.

Format: https://protobuf.dev/programming-guides/encoding (a key is field number * 8 + wire type).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """A message that ends too early or has an unknown wire type."""


Value = int | memoryview


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """(field number, value) of one message: an integer, or raw bytes for everything else."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ProtobufError(f"wire type {kind} at byte {at}")
        if number == 0 or at + size > len(data):
            raise ProtobufError(f"field {number} at byte {at} reaches past the end")
        yield number, data[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer of 7 bits a byte, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ProtobufError("ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ProtobufError(f"a number of more than ten bytes before byte {at}")


def message(value: Value) -> memoryview:
    """A value that should be a message or a text."""
    if isinstance(value, int):
        raise ProtobufError("a number where a message was expected")
    return value


def integers(value: Value) -> list[int]:
    """A repeated integer: one, or several packed."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found


def number(value: Value) -> float:
    """A 32-bit float."""
    raw = message(value)
    if len(raw) != 4:
        raise ProtobufError("a float that is not 4 bytes long")
    return float(struct.unpack("<f", raw)[0])
