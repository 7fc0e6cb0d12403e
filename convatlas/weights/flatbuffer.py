"""A reader of FlatBuffers, as small as .tflite needs, that trusts no offset in the file.

Format: https://flatbuffers.dev/internals (a table begins with the distance back to its vtable; a vtable holds
its size, the table's size, then one 16-bit offset a field, 0 where the field has its default).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator


class FlatBufferError(ValueError):
    """An offset or length that points outside of the buffer."""


class Table:
    """One table at a position in a buffer; fields by their number in the schema."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - self._number("<i", at)
        self._size = self._number("<H", self._vtable)
        if self._size < 4 or self._size % 2:
            raise FlatBufferError(f"a vtable of {self._size} bytes at {self._vtable}")

    @classmethod
    def root(cls, data: memoryview) -> Table:
        """The table that the buffer's first four bytes point to."""
        if len(data) < 8:
            raise FlatBufferError("too short")
        return cls(data, struct.unpack_from("<I", data)[0])

    def _number(self, form: str, at: int) -> int:
        if at < 0 or at + struct.calcsize(form) > len(self._data):
            raise FlatBufferError(f"offset {at} outside of {len(self._data)} bytes")
        return int(struct.unpack_from(form, self._data, at)[0])

    def _field(self, number: int) -> int:
        """Position of a field, 0 where it is absent."""
        slot = 4 + 2 * number
        if slot + 2 > self._size:
            return 0
        offset = self._number("<H", self._vtable + slot)
        return self._at + offset if offset else 0

    def integer(self, number: int, form: str = "<i", default: int = 0) -> int:
        """A scalar field."""
        at = self._field(number)
        return self._number(form, at) if at else default

    def table(self, number: int) -> Table | None:
        """A field that is a table of its own."""
        at = self._field(number)
        return Table(self._data, at + self._number("<I", at)) if at else None

    def bytes(self, number: int, width: int = 1) -> memoryview:
        """A vector of scalars of `width` bytes each, or a text, as raw bytes; empty where absent."""
        at = self._field(number)
        if not at:
            return self._data[:0]
        start = at + self._number("<I", at)
        end = start + 4 + width * self._number("<I", start)
        if end > len(self._data):
            raise FlatBufferError(f"a vector at {start} reaches past the end")
        return self._data[start + 4 : end]

    def integers(self, number: int, form: str = "<i") -> tuple[int, ...]:
        """A vector of integers."""
        raw = self.bytes(number, struct.calcsize(form))
        return tuple(value for (value,) in struct.iter_unpack(form, raw))

    def floats(self, number: int) -> tuple[float, ...]:
        """A vector of 32-bit floats."""
        return tuple(value for (value,) in struct.iter_unpack("<f", self.bytes(number, 4)))

    def text(self, number: int) -> str:
        """A text; bytes that are no UTF-8 are replaced."""
        return bytes(self.bytes(number)).decode("utf-8", "replace")

    def tables(self, number: int) -> Iterator[Table]:
        """A vector of tables."""
        at = self._field(number)
        if not at:
            return
        start = at + self._number("<I", at)
        count = self._number("<I", start)
        if start + 4 + 4 * count > len(self._data):
            raise FlatBufferError(f"a vector of {count} tables at {start} reaches past the end")
        for place in range(start + 4, start + 4 + 4 * count, 4):
            yield Table(self._data, place + self._number("<I", place))
