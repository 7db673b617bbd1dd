"""Counting the access units of a track whose bytes are really in the file: by sample tables, or by fragments."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from kyma_voice_clone.audio.boxes import ROWS_MAX, Box, Boxes
from kyma_voice_clone.audio.judgement import unreadable


@dataclass(slots=True)
class Present:
    """Access units found so far, in file order, and the ticks that the time tables give them.

    Counting ends for good at the first unit that is not whole in the file (`cut`). Units may not share bytes:
    otherwise a second of audio could pass for an hour.
    """

    file_bytes: int
    units: int = 0
    ticks: int = 0
    end: int = 0
    cut: bool = False

    def add(self, offset: int, sizes: Sequence[int]) -> int:
        """Count units that lie one behind the other from `offset` on; how many of them are present."""
        if self.cut or not sizes:
            return 0
        if offset < self.end:
            raise unreadable("its index points to the same bytes twice")
        total = sum(sizes)
        present = len(sizes)
        if total > self.file_bytes - offset or 0 in sizes:
            present = bisect_right(list(accumulate(sizes)), self.file_bytes - offset)
            if 0 in sizes:
                present = min(present, sizes.index(0))
            self.cut = True
        self.units += present
        self.end = offset + total
        if self.units > ROWS_MAX:
            raise unreadable(f"it has more than {ROWS_MAX} audio frames")
        return present


def count_tables(boxes: Boxes, sample_table: Box, present: Present) -> None:
    """Count the units of an `stbl` box into `present`."""
    sizes = _sizes(boxes, boxes.get(sample_table, b"stsz"))
    offsets = _chunk_offsets(boxes, sample_table)
    in_chunk = _units_per_chunk(boxes, boxes.get(sample_table, b"stsc"), len(offsets))
    first = 0
    for offset, count in zip(offsets, in_chunk, strict=False):
        if first >= len(sizes) or present.cut:
            break
        present.add(offset, sizes[first : first + count])
        first += count
    present.ticks += _ticks_of_first(boxes, boxes.get(sample_table, b"stts"), present.units)


def _sizes(boxes: Boxes, box: Box) -> array[int]:
    """The size in bytes of every unit; one that all share is written out, since units are few."""
    shared, count = boxes.number(box, 4), boxes.number(box, 8)
    if count > ROWS_MAX:
        raise unreadable(f"it has more than {ROWS_MAX} audio frames")
    return array("I", [shared]) * count if shared else boxes.table(box, 12, count)


def _chunk_offsets(boxes: Boxes, sample_table: Box) -> array[int]:
    narrow = boxes.find(sample_table, b"stco")
    box = narrow or boxes.get(sample_table, b"co64")
    return boxes.table(box, 8, boxes.number(box, 4), wide=narrow is None)


def _units_per_chunk(boxes: Boxes, box: Box, chunks: int) -> list[int]:
    """How many units each chunk holds; the table has a row only where that changes."""
    rows = boxes.table(box, 8, 3 * boxes.number(box, 4))
    firsts, counts = rows[0::3], rows[1::3]
    per_chunk: list[int] = []
    for index, (first, count) in enumerate(zip(firsts, counts, strict=True)):
        following = firsts[index + 1] if index + 1 < len(firsts) else chunks + 1
        if first != len(per_chunk) + 1 or not first < following <= chunks + 1:
            raise unreadable("its chunk table is not in order")
        per_chunk += [count] * (following - first)
    return per_chunk


def _ticks_of_first(boxes: Boxes, box: Box, units: int) -> int:
    """The ticks that an `stts` box gives to the first `units` units."""
    rows = boxes.table(box, 8, 2 * boxes.number(box, 4))
    ticks = 0
    for count, delta in zip(rows[0::2], rows[1::2], strict=True):
        counted = min(count, units)
        ticks += counted * delta
        units -= counted
        if not units:
            break
    return ticks


_BASE_OFFSET, _DESCRIPTION, _DEFAULT_TICKS, _DEFAULT_SIZE = 0x1, 0x2, 0x8, 0x10
"""Optional fields of `tfhd`, in their order."""
_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4
"""Optional fields of `trun`."""
_UNIT_TICKS, _UNIT_SIZE = 0x100, 0x200
_ROW_FIELDS: Final = (_UNIT_TICKS, _UNIT_SIZE, 0x400, 0x800)
"""Optional fields of every row of `trun`; the last two are flags and a composition offset."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Ticks and bytes of a unit where a fragment gives none."""

    ticks: int
    size: int


def count_fragment(boxes: Boxes, fragment: Box, track_id: int, defaults: Defaults, present: Present) -> None:
    """Count the units of one track in a `moof` box into `present`."""
    for traf in boxes.children(fragment):
        if traf.name != b"traf":
            continue
        base = position = fragment.offset
        own: Defaults | None = None
        for box in boxes.children(traf):
            if present.cut:
                return
            if box.name == b"tfhd" and boxes.number(box, 4) == track_id:
                base, own = _read_fragment_header(boxes, box, fragment.offset, defaults)
                position = base
            elif box.name == b"trun" and own is not None:
                position = _count_run(boxes, box, (base, position), own, present)


def _read_fragment_header(boxes: Boxes, box: Box, fragment_offset: int, defaults: Defaults) -> tuple[int, Defaults]:
    """Where offsets in a track's part of a fragment count from, and its defaults, by its `tfhd` box."""
    flags, position = boxes.number(box, 0), 8
    base, ticks, size = fragment_offset, defaults.ticks, defaults.size
    if flags & _BASE_OFFSET:
        base, position = boxes.number(box, position, ">Q"), position + 8
    position += 4 if flags & _DESCRIPTION else 0
    if flags & _DEFAULT_TICKS:
        ticks, position = boxes.number(box, position), position + 4
    if flags & _DEFAULT_SIZE:
        size = boxes.number(box, position)
    return base, Defaults(ticks, size)


def _count_run(boxes: Boxes, run: Box, at: tuple[int, int], defaults: Defaults, present: Present) -> int:
    """Count one `trun`, which begins at its own offset from the base or behind the previous run; where it ends."""
    base, offset = at
    flags, count, position = boxes.number(run, 0), boxes.number(run, 4), 8
    if flags & _DATA_OFFSET:
        offset, position = base + boxes.number(run, position, ">i"), position + 4
    position += 4 if flags & _FIRST_FLAGS else 0
    if offset < 0 or count > ROWS_MAX:
        raise unreadable("a fragment in it is not plausible")
    fields = [field for field in _ROW_FIELDS if flags & field]
    rows = boxes.table(run, position, count * len(fields))

    def column(field: int, default: int) -> array[int]:
        return rows[fields.index(field) :: len(fields)] if field in fields else array("I", [default]) * count

    sizes = column(_UNIT_SIZE, defaults.size)
    counted = present.add(offset, sizes)
    present.ticks += sum(column(_UNIT_TICKS, defaults.ticks)[:counted])
    return offset + sum(sizes)
