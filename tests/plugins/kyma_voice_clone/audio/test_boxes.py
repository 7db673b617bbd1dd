from __future__ import annotations

import struct

import pytest

from kyma_proxy.api import GatewayError
from kyma_proxy.testing.audio import box
from kyma_voice_clone.audio.boxes import BLOCK_ROWS, BOXES_MAX, U64, Box, Boxes
from kyma_voice_clone.audio.deadline import Deadline


def top(data: bytes) -> list[Box]:
    return list(Boxes(memoryview(data), Deadline()).within(0, len(data)))


def first(data: bytes) -> tuple[Boxes, Box]:
    boxes = Boxes(memoryview(data), Deadline())
    return boxes, next(boxes.within(0, len(data)))


def test_walks_plain_long_and_open_boxes() -> None:
    data = (
        box(b"ftyp", b"abcd") + struct.pack(">I4sQ", 1, b"mdat", 19) + b"xyz" + struct.pack(">I4s", 0, b"free") + b"!"
    )
    assert top(data) == [Box(b"ftyp", 0, 8, 12), Box(b"mdat", 12, 28, 31), Box(b"free", 31, 39, 40)]


def test_a_box_at_the_top_may_say_that_it_ends_behind_the_file() -> None:
    assert top(box(b"mdat", bytes(100))[:50]) == [Box(b"mdat", 0, 8, 108)]
    assert top(b"\0\0\0\x10mda") == []


@pytest.mark.parametrize("size", [2, 7])
def test_a_box_smaller_than_its_header_is_unreadable(size: int) -> None:
    with pytest.raises(GatewayError, match="smaller than its own header"):
        top(struct.pack(">I4s", size, b"free") + bytes(50))
    with pytest.raises(GatewayError, match="smaller than its own header"):
        top(struct.pack(">I4sQ", 1, b"free", 15) + bytes(50))


@pytest.mark.parametrize("beyond", ["parent", "file"])
def test_a_child_must_lie_in_its_parent(beyond: str) -> None:
    whole, cut = box(b"mvhd", b"abcd"), struct.pack(">I4s", 100, b"trak")
    data = (
        box(b"moov", whole, cut) + bytes(200) if beyond == "parent" else struct.pack(">I4s", 500, b"moov") + whole + cut
    )
    boxes, parent = first(data)
    assert [child.name for child in boxes.children(parent)] == [b"mvhd"]


def test_visits_are_counted() -> None:
    data = memoryview(box(b"free") * (BOXES_MAX // 2))
    boxes = Boxes(data, Deadline())
    for _ in range(2):
        list(boxes.within(0, len(data)))
    with pytest.raises(GatewayError, match="more than 112000 boxes"):
        next(boxes.within(0, len(data)))


def test_finds_down_a_path() -> None:
    boxes, movie = first(box(b"moov", box(b"free"), box(b"trak", box(b"mdia", b"x"))))
    found = boxes.find(movie, b"trak", b"mdia")
    assert found is not None
    assert bytes(boxes.data[found.start : found.end]) == b"x"
    assert boxes.get(movie, b"trak", b"mdia") == found
    assert boxes.find(movie, b"udta", b"meta") is None
    with pytest.raises(GatewayError, match="'mdhd' box is missing"):
        boxes.get(movie, b"trak", b"mdhd")


def test_nested_without_end_is_no_recursion() -> None:
    depth = 50_000
    data = b"".join(struct.pack(">I4s", (depth - n) * 8, b"moov") for n in range(depth))
    boxes, movie = first(data)
    assert boxes.find(movie, *[b"moov"] * 1_000) is not None


def test_where_strays_are_expected_boxes_end_before_bytes_that_are_none() -> None:
    data = box(b"moof", b"abcd") + b"\0\0\0\1stray bytes"
    boxes = Boxes(memoryview(data), Deadline())
    assert [found.name for found in boxes.within(0, len(data), strays=True)] == [b"moof"]


def test_the_walk_ends_at_the_deadline() -> None:
    data = box(b"free") * 10_000
    with pytest.raises(GatewayError, match="takes too long"):
        list(Boxes(memoryview(data), Deadline(seconds=0)).within(0, len(data)))


def test_reads_numbers_and_tables_within_the_box_only() -> None:
    boxes, stsz = first(box(b"stsz", struct.pack(">IQII", 7, 8, 9, 10)) + bytes(100))
    assert (boxes.number(stsz, 0), boxes.number(stsz, 4, U64)) == (7, 8)
    assert list(boxes.rows(stsz, 12, 2)) == [(9,), (10,)]
    assert list(boxes.rows(stsz, 4, 1, wide=True)) == [(8,)]
    assert list(boxes.rows(stsz, 4, 2, numbers=2)) == [(0, 8), (9, 10)]
    with pytest.raises(GatewayError, match="'stsz' box is cut short"):
        boxes.number(stsz, 18)
    with pytest.raises(GatewayError, match="'stsz' table is cut short"):
        boxes.rows(stsz, 12, 3)


def test_a_long_table_is_read_in_blocks() -> None:
    numbers = range(2 * BLOCK_ROWS + 3)
    boxes, stsz = first(box(b"stsz", struct.pack(f">{len(numbers)}I", *numbers)))
    rows = boxes.rows(stsz, 0, len(numbers))
    assert len(rows) == len(numbers)
    assert [len(block) for block in rows.blocks()] == [BLOCK_ROWS, BLOCK_ROWS, 3]
    assert [number for (number,) in rows] == list(numbers)
    pairs = boxes.rows(stsz, 0, len(numbers) // 2, numbers=2)
    assert [number for pair in pairs for number in pair] == list(numbers)[:-1]


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("count", [1, 2, 3, BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
def test_compact_tables_hold_numbers_of_few_bits(bits: int, count: int) -> None:
    numbers = [number % (1 << bits) for number in range(count)]
    packed = int("".join(f"{number:0{bits}b}" for number in numbers).ljust(-(-count * bits // 8) * 8, "0"), 2)
    boxes, stz2 = first(box(b"stz2", packed.to_bytes(-(-count * bits // 8), "big")))
    rows = boxes.compact_rows(stz2, 0, count, bits)
    assert len(rows) == count
    assert [number for block in rows.blocks() for number in block] == numbers
    assert max(map(len, rows.blocks())) <= BLOCK_ROWS


def test_compact_tables_that_are_cut_or_of_another_width_are_unreadable() -> None:
    boxes, stz2 = first(box(b"stz2", bytes(10)) + bytes(10))
    for count, bits in ((21, 4), (11, 8), (6, 16), (1, 32), (1, 0)):
        with pytest.raises(GatewayError, match="not plausible"):
            boxes.compact_rows(stz2, 0, count, bits)
