from __future__ import annotations

import struct
from fractions import Fraction

import pytest

from kyma_proxy.api import GatewayError
from kyma_proxy.testing.audio import box
from kyma_voice_clone.audio.boxes import Box, Boxes
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.mp4_edits import EDITS_MAX, Edit, played_units, read_edits, read_gapless

MVHD = box(b"mvhd", struct.pack(">IIII", 0, 0, 0, 1_000))
WIDE_MVHD = box(b"mvhd", struct.pack(">IQQI", 0x01000000, 0, 0, 1_000))


def movie(*content: bytes) -> tuple[Boxes, Box]:
    data = box(b"moov", *content)
    boxes = Boxes(memoryview(data), Deadline())
    return boxes, next(boxes.within(0, len(data)))


def edits_of(elst: bytes, header: bytes = MVHD) -> list[Edit]:
    boxes, moov = movie(header, box(b"trak", box(b"edts", box(b"elst", elst))))
    return read_edits(boxes, moov, boxes.get(moov, b"trak"), 48_000)


def edit(start: int | Fraction, length: int | Fraction | None) -> Edit:
    return Edit(Fraction(start), None if length is None else Fraction(length), Fraction(1, 1_000))


@pytest.mark.parametrize("header", [MVHD, WIDE_MVHD])
def test_rows_narrow_and_wide(header: bytes) -> None:
    expected = [edit(Fraction(1024, 48_000), 12), edit(0, None)]
    narrow = struct.pack(">IIIiiIiiIii", 0, 3, 500, -1, 65536, 12_000, 1024, 65536, 0, 0, 65536)
    wide = struct.pack(">IIQqiQqiQqi", 1 << 24, 3, 500, -1, 65536, 12_000, 1024, 65536, 0, 0, 65536)
    assert edits_of(narrow, header) == edits_of(wide, header) == expected


def test_lists_that_make_no_sense_are_none() -> None:
    row = struct.pack(">Iii", 1_000, 0, 65536)
    assert edits_of(struct.pack(">II", 0, 2) + row) == []
    assert edits_of(struct.pack(">II", 0, 1) + row, box(b"mvhd", bytes(16))) == []
    boxes, moov = movie(MVHD, box(b"trak"))
    assert read_edits(boxes, moov, boxes.get(moov, b"trak"), 48_000) == []
    with pytest.raises(GatewayError, match="edit list has more than 64 rows"):
        edits_of(struct.pack(">II", 0, EDITS_MAX + 1) + row * (EDITS_MAX + 1))


@pytest.mark.parametrize(
    ("one", "whole", "played"),
    [
        (edit(0, None), 30, 30),
        (edit(10, None), 30, 20),
        (edit(40, None), 30, 0),
        (edit(0, 12), 30, 12),
        (edit(25, 12), 30, 5),
        # A length is rounded to the movie's ticks: within one of them the media's end is the exact one.
        (edit(0, 30), Fraction(300_005, 10_000), Fraction(300_005, 10_000)),
        (edit(0, 30), Fraction(300_011, 10_000), 30),
    ],
)
def test_an_edit_plays_what_of_it_lies_in_the_media(one: Edit, whole: int | Fraction, played: int | Fraction) -> None:
    assert one.seconds_of(Fraction(whole)) == played


@pytest.mark.parametrize(
    ("edits", "played"),
    [
        ([edit(0, None)], 100),
        ([edit(1, None)], 90),
        ([edit(1, 2)], 20),
        ([edit(8, 9)], Fraction(100 - 80)),
        ([edit(Fraction(1, 20), Fraction(1, 20))], Fraction(1, 2)),
        ([edit(0, 2), edit(0, 2)], 40),
        ([edit(99, 1)], 0),
    ],
)
def test_units_between_by_a_table_that_lies(edits: list[Edit], played: int | Fraction) -> None:
    # A unit takes 100 ticks of 1000 a second by the table, and 60 units at the end take none.
    rows = [(40, 100), (40, 100), (20, 100), (1_000, 100)]
    assert played_units(edits, rows, 100, 1_000) == played


def test_units_behind_the_end_of_the_table_belong_to_an_edit_without_end() -> None:
    assert played_units([edit(0, None)], [(10, 100)], 50, 1_000) == 50
    assert played_units([edit(0, 1)], [(10, 100), (5, 0)], 50, 1_000) == 50


def test_gapless_notes_add_delay_and_padding() -> None:
    text = b" 00000000 00000840 000001CA 00000000003F31F6 00000000"
    boxes, moov = movie(MVHD, box(b"udta", b"iTunSMPB\0\0\0\x84data\0\0\0\1\0\0\0\0" + text))
    assert read_gapless(boxes, moov) == 0x840 + 0x1CA
    boxes, moov = movie(MVHD, box(b"udta", b"iTunSMPB 00000000 0000084x 000001CA 00000000003F31F6"))
    assert read_gapless(boxes, moov) == 0
    boxes, moov = movie(MVHD)
    assert read_gapless(boxes, moov) == 0
