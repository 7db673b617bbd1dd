"""Counting the access units of a track whose bytes are really in the file: by sample tables, or by fragments."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain, repeat
from typing import Final

from kyma_voice_clone.audio.boxes import BLOCK_ROWS, I32, U64, Box, Boxes, Rows
from kyma_voice_clone.audio.judgement import unreadable

UNITS_MAX: Final = 131_072
"""Units counted in one file: 46 minutes of AAC at 48 kHz. What is longer is long enough for any refusal."""
ROWS_MAX: Final = UNITS_MAX
"""Rows that are read of a table of chunks or times: none has use for more than there are units."""
_Blocks = Iterable["array[int]"]


@dataclass(slots=True)
class Present:
    """Access units found so far, in file order, and the ticks that the time tables give them.

    Counting ends for good at the first unit that is not whole in the file (`cut`). Units may not share bytes, with each
    other or with the `index` (where it begins and ends): otherwise a second of audio could pass for an hour.
    """

    file_bytes: int
    index: tuple[int, int] = (0, 0)
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
        if offset < self.index[1] and offset + total > self.index[0]:
            raise unreadable("its index points to itself")
        present = len(sizes)
        if total > self.file_bytes - offset or 0 in sizes:
            present = bisect_right(list(accumulate(sizes)), self.file_bytes - offset)
            if 0 in sizes:
                present = min(present, sizes.index(0))
            self.cut = True
        self.units += present
        self.end = offset + total
        if self.units >= UNITS_MAX:
            self.cut = True
        return present


class _Sizes:
    """Takes the sizes of units from a table in turn, a block in memory at a time."""

    def __init__(self, blocks: _Blocks) -> None:
        self._blocks = iter(blocks)
        self._block: array[int] = array("I")
        self._position = 0

    def take(self, count: int) -> Iterator[Sequence[int]]:
        """The sizes of the next `count` units in pieces; fewer where the table ends."""
        while count > 0:
            if self._position == len(self._block):
                self._block, self._position = next(self._blocks, array("I")), 0
                if not self._block:
                    return
            piece = self._block[self._position : self._position + count]
            self._position += len(piece)
            count -= len(piece)
            yield piece


def count_tables(boxes: Boxes, sample_table: Box, present: Present) -> None:
    """Count the units of an `stbl` box into `present`."""
    blocks, units = _size_blocks(boxes, sample_table)
    sizes = _Sizes(blocks)
    offsets, chunks = _chunk_offsets(boxes, sample_table)
    in_chunk = _units_per_chunk(boxes, boxes.get(sample_table, b"stsc"), chunks)
    for offset, count in zip(offsets, in_chunk, strict=False):
        if units <= 0 or present.cut:
            break
        for piece in sizes.take(min(count, units)):
            present.add(offset, piece)
            offset = present.end
        units -= count
    present.ticks += _ticks_of_first(boxes, boxes.get(sample_table, b"stts"), present.units)


def _size_blocks(boxes: Boxes, sample_table: Box) -> tuple[_Blocks, int]:
    """The size in bytes of every unit, and how many there are."""
    compact = boxes.find(sample_table, b"stz2")
    box = compact or boxes.get(sample_table, b"stsz")
    shared, count = boxes.number(box, 4), boxes.number(box, 8)
    if compact is not None:
        return boxes.compact_rows(box, 12, count, shared & 0xFF).blocks(), count
    if shared:
        block = array("I", [shared]) * BLOCK_ROWS
        return repeat(block, -(-count // BLOCK_ROWS)), count
    return boxes.rows(box, 12, count).blocks(), count


def _chunk_offsets(boxes: Boxes, sample_table: Box) -> tuple[Iterator[int], int]:
    narrow = boxes.find(sample_table, b"stco")
    box = narrow or boxes.get(sample_table, b"co64")
    rows = boxes.rows(box, 8, min(boxes.number(box, 4), ROWS_MAX), wide=narrow is None)
    return chain.from_iterable(rows.blocks()), len(rows)


def _units_per_chunk(boxes: Boxes, box: Box, chunks: int) -> Iterator[int]:
    """How many units each chunk holds; the table has a row only where that changes."""
    begun = count = 0
    for first, units, _ in boxes.rows(box, 8, min(boxes.number(box, 4), ROWS_MAX), numbers=3):
        if first <= begun or (not begun and first != 1):
            raise unreadable("its chunk table is not in order")
        yield from repeat(count, first - begun if begun else 0)
        begun, count = first, units
    yield from repeat(count, max(0, chunks + 1 - begun) if begun else 0)


def time_rows(boxes: Boxes, sample_table: Box, present: Present) -> Iterable[tuple[int, ...]]:
    """The rows (count, ticks of each) of an `stts` box; a single one over all units where fragments gave the ticks."""
    box = boxes.get(sample_table, b"stts")
    rows = _time_rows(boxes, box)
    return rows if len(rows) else [(present.units, max(1, present.ticks // present.units))]


def _time_rows(boxes: Boxes, box: Box) -> Rows:
    return boxes.rows(box, 8, min(boxes.number(box, 4), ROWS_MAX), numbers=2)


def _ticks_of_first(boxes: Boxes, box: Box, units: int) -> int:
    """The ticks that an `stts` box gives to the first `units` units."""
    ticks = 0
    for count, delta in _time_rows(boxes, box):
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
_ROW_FLAGS: Final = 0xF00
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
        base, position = boxes.number(box, position, U64), position + 8
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
        offset, position = base + boxes.number(run, position, I32), position + 4
    position += 4 if flags & _FIRST_FLAGS else 0
    if offset < 0:
        raise unreadable("a fragment in it is not plausible")
    width, size_at, ticks_at = _row_layout(flags & _ROW_FLAGS)
    for block, rows in _run_blocks(boxes, run, position, count, width):
        sizes = array("I", [defaults.size]) * rows if size_at is None else block[size_at::width]
        counted = present.add(offset, sizes)
        if ticks_at is None:
            present.ticks += counted * defaults.ticks
        else:
            present.ticks += sum(block[ticks_at::width][:counted])
        if present.cut:
            break
        offset = present.end
    return offset


@cache
def _row_layout(flags: int) -> tuple[int, int | None, int | None]:
    """How many numbers a row of `trun` has, and where in it the size and the ticks of the unit are, if they are."""
    fields = [field for field in _ROW_FIELDS if flags & field]
    place = {field: index for index, field in enumerate(fields)}
    return len(fields), place.get(_UNIT_SIZE), place.get(_UNIT_TICKS)


def _run_blocks(boxes: Boxes, run: Box, position: int, count: int, fields: int) -> Iterator[tuple[array[int], int]]:
    """The rows of a `trun`, and how many rows they are: without fields a row takes no bytes."""
    if fields:
        for block in boxes.rows(run, position, count, numbers=fields).blocks():
            yield block, len(block) // fields
    else:
        for start in range(0, min(count, UNITS_MAX), BLOCK_ROWS):
            yield array("I"), min(BLOCK_ROWS, count - start)
