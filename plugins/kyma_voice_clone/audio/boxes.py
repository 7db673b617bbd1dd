"""Walking the boxes of an ISO base media file (ISO/IEC 14496-12) without recursion and within a budget."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kyma_voice_clone.audio.judgement import unreadable

BOXES_MAX: Final = 65_536
"""Boxes visited in one file: five minutes of audio in fragments of two frames fit."""
ROWS_MAX: Final = 131_072
"""Rows of one table: 46 minutes of AAC at 48 kHz."""
_HEADER: Final = struct.Struct(">I4s")


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its name, where it and its content begin, and where it says that it ends."""

    name: bytes
    offset: int
    start: int
    end: int


class Boxes:
    """The boxes of one file. Every visit counts against `BOXES_MAX`; all refusals are AUDIO_UNREADABLE."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._left = BOXES_MAX

    def within(self, start: int, end: int) -> Iterator[Box]:
        """The boxes that begin between two offsets; the last one may say that it ends later."""
        position = start
        while position + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise unreadable(f"it has more than {BOXES_MAX} boxes")
            size, name = _HEADER.unpack_from(self.data, position)
            content = position + 8
            if size == 1 and position + 16 <= end:
                size, content = struct.unpack_from(">Q", self.data, content)[0], position + 16
            elif size == 0:
                size = end - position
            if position + size < content:
                raise unreadable("a box in it is smaller than its own header")
            yield Box(name, position, content, position + size)
            position += size

    def children(self, parent: Box, skip: int = 0) -> Iterator[Box]:
        """The boxes in `parent`, behind `skip` bytes of its own fields; each must lie in it whole."""
        for child in self.within(parent.start + skip, min(parent.end, len(self.data))):
            if child.end > min(parent.end, len(self.data)):
                raise unreadable("a box in it is cut short")
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

    def number(self, box: Box, offset: int, form: str = ">I") -> int:
        """The number at `offset` of the box's content."""
        if box.start + offset + struct.calcsize(form) > min(box.end, len(self.data)):
            raise unreadable(f"its {box.name.decode('latin-1')!r} box is cut short")
        value: int = struct.unpack_from(form, self.data, box.start + offset)[0]
        return value

    def table(self, box: Box, offset: int, numbers: int, wide: bool = False) -> array[int]:
        """`numbers` unsigned 32-bit (64-bit if `wide`) numbers at `offset` of the box's content."""
        width = 8 if wide else 4
        start = box.start + offset
        if numbers > 3 * ROWS_MAX:
            raise unreadable(f"its {box.name.decode('latin-1')!r} table has too many rows")
        if start + numbers * width > min(box.end, len(self.data)):
            raise unreadable(f"its {box.name.decode('latin-1')!r} table is cut short")
        rows = array("Q" if wide else "I")
        rows.frombytes(self.data[start : start + numbers * width])
        if sys.byteorder == "little":
            rows.byteswap()
        return rows
