from __future__ import annotations

import struct
from contextlib import nullcontext

import pytest

from kyma_proxy.api import GatewayError
from kyma_proxy.testing.audio import box
from kyma_voice_clone.audio.boxes import BLOCK_ROWS, Boxes
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.mp4_units import UNITS_MAX, Defaults, Present, count_fragment, count_tables, time_rows


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def tables(sizes: bytes, chunks: bytes, offsets: bytes, times: bytes, offsets_name: bytes = b"stco") -> bytes:
    return box(b"stbl", box(b"stsz", sizes), box(b"stsc", chunks), box(offsets_name, offsets), box(b"stts", times))


def counted(stbl: bytes, file_bytes: int) -> Present:
    boxes, present = Boxes(memoryview(stbl), Deadline()), Present(file_bytes)
    count_tables(boxes, next(boxes.within(0, len(stbl))), present)
    return present


EACH_ITS_SIZE = tables(
    numbers(0, 0, 5, 10, 20, 30, 40, 50),
    numbers(0, 2, 1, 2, 1, 3, 1, 1),
    numbers(0, 3, 100, 200, 300),
    numbers(0, 2, 4, 1024, 1, 500),
)


@pytest.mark.parametrize(
    ("file_bytes", "units", "ticks", "cut"),
    [
        (350, 5, 4 * 1024 + 500, False),
        (349, 4, 4 * 1024, True),
        (270, 4, 4 * 1024, True),
        (269, 3, 3 * 1024, True),
        (110, 1, 1024, True),
        (100, 0, 0, True),
    ],
)
def test_only_units_whole_in_the_file_count(file_bytes: int, units: int, ticks: int, cut: bool) -> None:
    present = counted(EACH_ITS_SIZE, file_bytes)
    assert (present.units, present.ticks, present.cut) == (units, ticks, cut)


def test_a_size_that_all_share_and_wide_offsets() -> None:
    wide = numbers(0, 1) + struct.pack(">Q", 100)
    stbl = tables(numbers(0, 6, 1000), numbers(0, 1, 1, 1000, 1), wide, numbers(0, 1, 1000, 1024), b"co64")
    assert counted(stbl, 6_100).units == 1_000
    assert counted(stbl, 6_099).units == 999
    assert counted(stbl, 105).units == 0


def test_units_without_bytes_are_not_audio() -> None:
    stbl = tables(numbers(0, 0, 4, 10, 0, 0, 10), numbers(0, 1, 1, 4, 1), numbers(0, 1, 0), numbers(0, 1, 4, 1024))
    assert counted(stbl, 1_000).units == 1


def test_a_time_table_that_gives_fewer_units_gives_fewer_ticks() -> None:
    stbl = tables(numbers(0, 1, 10), numbers(0, 1, 1, 10, 1), numbers(0, 1, 0), numbers(0, 1, 3, 1024))
    assert (counted(stbl, 100).units, counted(stbl, 100).ticks) == (10, 3 * 1024)


@pytest.mark.parametrize(
    ("index", "allowed"), [((0, 100), True), ((350, 400), True), ((0, 101), False), ((349, 400), False)]
)
def test_the_index_is_not_audio(index: tuple[int, int], allowed: bool) -> None:
    boxes = Boxes(memoryview(EACH_ITS_SIZE), Deadline())
    present = Present(1_000, index)
    with nullcontext() if allowed else pytest.raises(GatewayError, match="points to itself"):
        count_tables(boxes, next(boxes.within(0, len(EACH_ITS_SIZE))), present)


@pytest.mark.parametrize(
    ("stbl", "says"),
    [
        (tables(numbers(0, 10, 4), numbers(0, 1, 1, 2, 1), numbers(0, 2, 50, 60), numbers(0, 0)), "same bytes twice"),
        (tables(numbers(0, 10, 4), numbers(0, 1, 1, 2, 1), numbers(0, 2, 50, 0), numbers(0, 0)), "same bytes twice"),
        (tables(numbers(0, 1, 4), numbers(0, 1, 0, 4, 1), numbers(0, 1, 0), numbers(0, 0)), "not in order"),
        (tables(numbers(0, 0, 9), numbers(0, 0), numbers(0, 0), numbers(0, 0)), "'stsz' table is cut short"),
        (tables(numbers(0, 1, 4), numbers(0, 1, 2, 4, 1), numbers(0, 1, 0), numbers(0, 0)), "not in order"),
        (tables(numbers(0, 1, 4), numbers(0, 2, 1, 4, 1, 1, 4, 1), numbers(0, 1, 0), numbers(0, 0)), "not in order"),
        (tables(numbers(0, 1, 4), numbers(0, 1, 1, 4, 1), numbers(0, 1, 0), numbers(0, 9)), "'stts' table is cut"),
        (box(b"stbl", box(b"stsz", numbers(0, 1, 4))), "missing"),
    ],
)
def test_tables_that_contradict_themselves_are_unreadable(stbl: bytes, says: str) -> None:
    with pytest.raises(GatewayError, match=says):
        counted(stbl, 10_000)


def test_counting_ends_with_the_number_of_units_that_is_long_enough_for_any_refusal() -> None:
    times = numbers(0, 1, 9_999_999, 1024)
    stbl = tables(numbers(0, 1, 9_999_999), numbers(0, 1, 1, 9_999_999, 1), numbers(0, 1, 0), times)
    present = counted(stbl, 10_000_000)
    assert UNITS_MAX <= present.units < UNITS_MAX + BLOCK_ROWS
    assert (present.ticks, present.cut) == (present.units * 1024, True)


def test_a_chunk_may_hold_more_units_than_are_in_memory_at_once() -> None:
    count = 3 * BLOCK_ROWS + 5
    stbl = tables(
        numbers(0, 0, count, *[7] * count),
        numbers(0, 3, 1, count - 9, 1, 2, 8, 1, 3, 1, 1),
        numbers(0, 3, 0, 7 * count, 8 * count),
        numbers(0, 1, count, 1024),
    )
    present = counted(stbl, 10 * count)
    assert (present.units, present.end) == (count, 8 * count + 7)


def test_chunks_without_rows_hold_nothing() -> None:
    assert counted(tables(numbers(0, 1, 4), numbers(0, 0), numbers(0, 1, 0), numbers(0, 0)), 100).units == 0


def test_compact_sizes() -> None:
    stz2 = box(b"stz2", numbers(0, 8, 5) + bytes((10, 20, 30, 40, 50)))
    stbl = box(
        b"stbl",
        stz2,
        box(b"stsc", numbers(0, 1, 1, 5, 1)),
        box(b"stco", numbers(0, 1, 100)),
        box(b"stts", numbers(0, 1, 5, 1024)),
    )
    assert (counted(stbl, 250).units, counted(stbl, 249).units) == (5, 4)


def test_time_rows_are_those_of_the_table_or_one_for_fragments() -> None:
    boxes = Boxes(memoryview(EACH_ITS_SIZE), Deadline())
    stbl = next(boxes.within(0, len(EACH_ITS_SIZE)))
    assert list(time_rows(boxes, stbl, Present(0))) == [(4, 1024), (1, 500)]
    empty = tables(numbers(0, 0, 0), numbers(0, 0), numbers(0, 0), numbers(0, 0))
    boxes = Boxes(memoryview(empty), Deadline())
    stbl = next(boxes.within(0, len(empty)))
    assert list(time_rows(boxes, stbl, Present(0, units=10, ticks=10_245))) == [(10, 1024)]


def fragment(*content: bytes) -> bytes:
    return box(b"moof", box(b"mfhd", bytes(8)), *content)


def counted_fragments(data: bytes, file_bytes: int = 10_000) -> Present:
    boxes, present = Boxes(memoryview(data), Deadline()), Present(file_bytes)
    for moof in boxes.within(0, len(data)):
        count_fragment(boxes, moof, 1, Defaults(1024, 10), present)
    return present


PLAIN_TFHD = box(b"tfhd", numbers(0x020000, 1))


def test_a_fragment_takes_what_it_does_not_say_from_the_defaults() -> None:
    data = fragment(box(b"traf", PLAIN_TFHD, box(b"trun", numbers(0x1, 7, 500))))
    present = counted_fragments(data)
    assert (present.units, present.ticks, present.end) == (7, 7 * 1024, 570)
    present = counted_fragments(data, file_bytes=569)
    assert (present.units, present.ticks, present.cut) == (6, 6 * 1024, True)


def test_all_optional_fields() -> None:
    tfhd = box(b"tfhd", numbers(0x3B, 1), struct.pack(">Q", 4_000), numbers(1, 960, 20, 0))
    rows = numbers(100, 5, 0, 0, 200, 6, 0, 0)
    trun = box(b"trun", numbers(0xF05, 2), struct.pack(">i", 50), numbers(9), rows)
    following = box(b"trun", numbers(0, 3))
    present = counted_fragments(fragment(box(b"traf", tfhd, trun, following)))
    assert (present.units, present.ticks, present.end) == (5, 300 + 3 * 960, 4_000 + 50 + 11 + 60)


@pytest.mark.parametrize("flags", [0x1, 0x201])
def test_a_long_run_is_read_in_blocks(flags: int) -> None:
    count = 2 * BLOCK_ROWS + 7
    rows = numbers(*[10] * count) if flags & 0x200 else b""
    data = fragment(box(b"traf", PLAIN_TFHD, box(b"trun", numbers(flags, count, 500), rows)))
    present = counted_fragments(data, file_bytes=10**6)
    assert (present.units, present.ticks, present.end) == (count, count * 1024, 500 + 10 * count)


def test_other_tracks_do_not_count() -> None:
    other = box(b"traf", box(b"tfhd", numbers(0, 2)), box(b"trun", numbers(1, 7, 500)))
    assert counted_fragments(fragment(other)).units == 0


def test_nothing_counts_behind_a_cut() -> None:
    run = box(b"trun", numbers(0x1, 7, 500))
    late = box(b"trun", numbers(0x1, 1, 100))
    present = counted_fragments(fragment(box(b"traf", PLAIN_TFHD, run, late)), file_bytes=520)
    assert present.units == 2


@pytest.mark.parametrize(
    "trun",
    [
        box(b"trun", numbers(0x1, 7), struct.pack(">i", -500)),
        box(b"trun", numbers(0x201, 3, 500, 10)),
        box(b"trun", numbers(0x1, 7, 500)) * 2,
    ],
)
def test_runs_that_are_not_plausible_are_unreadable(trun: bytes) -> None:
    with pytest.raises(GatewayError):
        counted_fragments(fragment(box(b"traf", PLAIN_TFHD, trun)))
