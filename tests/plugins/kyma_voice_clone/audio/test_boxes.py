from __future__ import annotations

import struct
from array import array

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import box
from kyma_voice_clone.audio.boxes import BOXES_MAX, ROWS_MAX, Box, Boxes


def top(data: bytes) -> list[Box]:
    return list(Boxes(memoryview(data)).within(0, len(data)))


def first(data: bytes) -> tuple[Boxes, Box]:
    boxes = Boxes(memoryview(data))
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


def test_a_child_must_lie_in_its_parent() -> None:
    boxes, parent = first(box(b"moov", struct.pack(">I4s", 100, b"trak")) + bytes(200))
    with pytest.raises(GatewayError, match="cut short") as caught:
        list(boxes.children(parent))
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE


def test_visits_are_counted() -> None:
    data = memoryview(box(b"free") * (BOXES_MAX // 2))
    boxes = Boxes(data)
    for _ in range(2):
        list(boxes.within(0, len(data)))
    with pytest.raises(GatewayError, match="more than 65536 boxes"):
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


def test_reads_numbers_and_tables_within_the_box_only() -> None:
    boxes, stsz = first(box(b"stsz", struct.pack(">IQII", 7, 8, 9, 10)) + bytes(100))
    assert (boxes.number(stsz, 0), boxes.number(stsz, 4, ">Q")) == (7, 8)
    assert boxes.table(stsz, 12, 2) == array("I", [9, 10])
    assert boxes.table(stsz, 4, 1, wide=True) == array("Q", [8])
    with pytest.raises(GatewayError, match="'stsz' box is cut short"):
        boxes.number(stsz, 18)
    with pytest.raises(GatewayError, match="'stsz' table is cut short"):
        boxes.table(stsz, 12, 3)
    with pytest.raises(GatewayError, match="too many rows"):
        boxes.table(stsz, 0, 3 * ROWS_MAX + 1)
