"""Walking the boxes of an ISO base media file (ISO/IEC 14496-12) without recursion and within a budget."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.judgement import unreadable

BOXES_MAX: Final = 112_000
"""Boxes visited in one file: five minutes of AAC at 48 kHz fit in fragments of a frame each, of seven boxes each."""
BLOCK_ROWS: Final = 4_096
"""Rows of a table that are in memory at once."""
U16: Final = struct.Struct(">H")
U32: Final = struct.Struct(">I")
I32: Final = struct.Struct(">i")
U64: Final = struct.Struct(">Q")
_HEADER: Final = struct.Struct(">I4s")
_BOXES_A_CHECK: Final = 63
"""A mask: the limits are looked at whenever so many boxes have been visited."""


class Box(NamedTuple):
    """One box: its name, where it and its content begin, and where it says that it ends."""

    name: bytes
    offset: int
    start: int
    end: int


class Boxes:
    """The boxes of one file. Every visit counts against `BOXES_MAX` and the deadline; faults are AUDIO_UNREADABLE."""

    def __init__(self, data: memoryview, deadline: Deadline) -> None:
        self.data = data
        self._deadline = deadline
        self._left = BOXES_MAX + 1

    def within(self, start: int, end: int, *, strays: bool = False) -> Iterator[Box]:
        """The boxes that begin between two offsets; the last one may say that it ends later.

        With `strays` the boxes end before bytes that are none, otherwise such bytes are a fault.
        """
        position, last, data = start, end - 8, self.data
        while position <= last:
            self._left -= 1
            if self._left & _BOXES_A_CHECK == 0:
                self._deadline.check()
                if self._left == 0:
                    raise unreadable(f"it has more than {BOXES_MAX} boxes")
            size, name = _HEADER.unpack_from(data, position)
            content = position + 8
            if size == 1 and position + 16 <= end:
                size, content = U64.unpack_from(data, content)[0], position + 16
            elif size == 0:
                size = end - position
            if position + size < content:
                if strays:
                    return
                raise unreadable("a box in it is smaller than its own header")
            yield Box(name, position, content, position + size)
            position += size

    def children(self, parent: Box, skip: int = 0) -> Iterator[Box]:
        """The boxes in `parent`, behind `skip` bytes of its own fields; they end before one that does not lie in it."""
        limit = min(parent.end, len(self.data))
        for child in self.within(parent.start + skip, limit):
            if child.end > limit:
                return
            yield child

    def find(self, parent: Box, *path: bytes) -> Box | None:
        """The first box down this path of names."""
        found: Box | None = parent
        for name in path:
            if found is None:
                return None
            found = next((child for child in self.children(found) if child.name == name), None)
        return found

    def get(self, parent: Box, *path: bytes) -> Box:
        """As `find`; raises where there is none."""
        found = self.find(parent, *path)
        if found is None:
            raise unreadable(f"its {path[-1].decode('latin-1')!r} box is missing")
        return found

    def number(self, box: Box, offset: int, form: struct.Struct = U32) -> int:
        """The number at `offset` of the box's content."""
        start = box.start + offset
        end = start + form.size
        if end > box.end or end > len(self.data):
            raise unreadable(f"its {box.name.decode('latin-1')!r} box is cut short")
        value: int = form.unpack_from(self.data, start)[0]
        return value

    def rows(self, box: Box, offset: int, count: int, *, numbers: int = 1, wide: bool = False) -> Rows:
        """A table of `count` rows of so many unsigned 32-bit (64-bit if `wide`) numbers at `offset` of the content."""
        start = box.start + offset
        row_bytes = numbers * (8 if wide else 4)
        if start + count * row_bytes > min(box.end, len(self.data)):
            raise unreadable(f"its {box.name.decode('latin-1')!r} table is cut short")
        return Rows(self.data[start : start + count * row_bytes], numbers, "Q" if wide else "I")

    def compact_rows(self, box: Box, offset: int, count: int, bits: int) -> CompactRows:
        """A table of `count` unsigned numbers of 4, 8 or 16 bits at `offset` of the box's content."""
        start, byte_count = box.start + offset, -(-count * bits // 8)
        if bits not in (4, 8, 16) or start + byte_count > min(box.end, len(self.data)):
            raise unreadable(f"its {box.name.decode('latin-1')!r} table is not plausible")
        return CompactRows(self.data[start : start + byte_count], count, bits)


class Rows:
    """A table in the file, of which no more than `BLOCK_ROWS` rows are in memory at once."""

    def __init__(self, data: memoryview, numbers: int, code: str) -> None:
        self._data = data
        self._numbers = numbers
        self._code = code
        self._row_bytes = numbers * array(code).itemsize

    def __len__(self) -> int:
        return len(self._data) // self._row_bytes

    def blocks(self) -> Iterator[array[int]]:
        """The numbers of `BLOCK_ROWS` rows after the other."""
        step = BLOCK_ROWS * self._row_bytes
        for start in range(0, len(self._data), step):
            numbers = array(self._code, bytes(self._data[start : start + step]))
            if sys.byteorder == "little":
                numbers.byteswap()
            yield numbers

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        for block in self.blocks():
            yield from zip(*(block[n :: self._numbers] for n in range(self._numbers)), strict=True)


class CompactRows:
    """A table of numbers of 4, 8 or 16 bits (ISO/IEC 14496-12, section 8.7.3.3, `stz2`)."""

    def __init__(self, data: memoryview, count: int, bits: int) -> None:
        self._data = data
        self._count = count
        self._bits = bits

    def __len__(self) -> int:
        return self._count

    def blocks(self) -> Iterator[array[int]]:
        """The numbers of `BLOCK_ROWS` rows after the other."""
        step = BLOCK_ROWS * self._bits // 8
        for start in range(0, len(self._data), step):
            yield self._unpack(self._data[start : start + step])[: self._count - start * 8 // self._bits]

    def _unpack(self, packed: memoryview) -> array[int]:
        if self._bits == 4:
            return array("I", (half for byte in packed for half in (byte >> 4, byte & 0xF)))
        if self._bits == 8:
            return array("I", packed)
        return array("I", (number for (number,) in struct.iter_unpack(">H", packed)))
