from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import AAC_FRAME, box, silent_m4a
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.mp4 import measure

FIXTURES = Path(__file__).parents[3] / "fixtures"
UNIT = Fraction(1024, 48_000)
ALL_UNITS = 1_408 * UNIT
"""Of a recording of 30 s: delay and padding too."""
TRIMMED = "audio units counted, encoder delay trimmed"
CONTRADICTED = "audio units counted, time table contradicts"


def seconds(data: bytes) -> Fraction:
    return measure(memoryview(data), Deadline()).duration


def patched(data: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """`data` with `value` at `offset` behind the first box called `name`."""
    at = data.index(name) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize("length", [Fraction(479_999, 48_000), 10, 300, Fraction(14_400_001, 48_000)])
@pytest.mark.parametrize(("index_last", "fragmented"), [(False, False), (True, False), (False, True)])
def test_exact_to_the_sample(length: int | Fraction, index_last: bool, fragmented: bool) -> None:
    measured = measure(memoryview(silent_m4a(length, index_last=index_last, fragmented=fragmented)), Deadline())
    assert (measured.duration, measured.rule) == (length, TRIMMED)


@pytest.mark.parametrize("name", ["speech-12s.m4a", "speech-12s-fragmented.m4a"])
def test_real_recordings(name: str) -> None:
    assert float(seconds((FIXTURES / name).read_bytes())) == pytest.approx(12, abs=0.06)


@pytest.mark.parametrize("factor", [10, Fraction(1, 10)])
def test_false_durations_in_the_headers_change_nothing(factor: Fraction) -> None:
    data = silent_m4a(30)
    data = patched(data, b"mdhd", 16, struct.pack(">I", int(30 * 48_000 * factor)))
    data = patched(data, b"mvhd", 16, struct.pack(">I", int(30_000 * factor)))
    data = patched(data, b"tkhd", 20, struct.pack(">I", int(30_000 * factor)))
    assert seconds(data) == 30


@pytest.mark.parametrize("ticks_per_second", [24_000, 96_000, 480_000])
def test_a_false_time_scale_changes_nothing_where_no_edit_list_goes_by_it(ticks_per_second: int) -> None:
    data = with_edits(patched(silent_m4a(30, index_last=True), b"mdhd", 12, struct.pack(">I", ticks_per_second)), None)
    measured = measure(memoryview(data), Deadline())
    assert (measured.duration, measured.rule) == (ALL_UNITS, CONTRADICTED)


@pytest.mark.parametrize("ticks", [1, 100, 10_240])
def test_a_false_time_table_changes_nothing_where_no_edit_list_goes_by_it(ticks: int) -> None:
    data = with_edits(patched(silent_m4a(30, index_last=True), b"stts", 12, struct.pack(">I", ticks)), None)
    assert seconds(data) == ALL_UNITS


def with_edits(data: bytes, edits: bytes | None) -> bytes:
    """A file with its index last and another edit list, or none."""
    at = data.index(b"edts") - 4
    (size,) = struct.unpack_from(">I", data, at)
    new = b"" if edits is None else box(b"edts", box(b"elst", edits))
    changed = bytearray(data[:at] + new + data[at + size :])
    for name in (b"moov", b"trak"):
        place = changed.index(name) - 4
        (old,) = struct.unpack_from(">I", changed, place)
        struct.pack_into(">I", changed, place, old + len(new) - size)
    return bytes(changed)


def rows(*edits: tuple[int, int]) -> bytes:
    return struct.pack(">II", 0, len(edits)) + b"".join(struct.pack(">Iii", *edit, 0x10000) for edit in edits)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([(20_000, 1024)], 20),
        ([(1_000, 0)], 1),
        ([(60_000, 1024)], 30),
        ([(0, 1024)], 30),
        ([(30_000, 48_000 + 1024)], 29),
        ([(5_000, 1024), (5_000, 960_000)], 10),
        ([(3_000, -1), (20_000, 1024)], 20),
        ([(20_000, 1024), (20_000, 1024)], 40),
        ([(5_000, 48_000 * 60)], 0),
        ([(3_000, -1)], 30 + UNIT),
        ([], 30 + UNIT),
    ],
)
def test_an_edit_list_is_followed_as_players_do(edits: list[tuple[int, int]], expected: int | Fraction) -> None:
    assert seconds(with_edits(silent_m4a(30, index_last=True), rows(*edits))) == expected


def test_an_edit_list_on_a_false_time_table_plays_the_units_between() -> None:
    data = with_edits(silent_m4a(30, index_last=True), rows((10_000, 0)))
    double = patched(data, b"stts", 12, struct.pack(">I", 2048))
    assert float(seconds(double)) == pytest.approx(5, abs=0.03)


@pytest.mark.parametrize("edits", [struct.pack(">II", 0, 3) + bytes(12), struct.pack(">II", 0, 2) + bytes(20)])
def test_an_edit_list_that_is_cut_short_is_none(edits: bytes) -> None:
    assert seconds(with_edits(silent_m4a(30, index_last=True), edits)) == 30 + UNIT


def test_delay_and_padding_by_itunes_note_where_there_is_no_edit_list() -> None:
    data = with_edits(silent_m4a(30, index_last=True), None)
    note = b"data\0\0\0\1\0\0\0\0 00000000 00000200 00000180 000000000015F900 00000000"
    notes = box(b"udta", box(b"meta", b"----mean com.apple.iTunes name iTunSMPB" + note))
    at = data.index(b"moov") - 4
    noted = data[:at] + box(b"moov", data[at + 8 :], notes)
    assert seconds(noted) == ALL_UNITS - Fraction(0x380, 48_000)
    too_much = noted.replace(b"00000200", b"7FFFFFFF")
    assert seconds(too_much) == 30 + UNIT


def test_an_empty_edit_in_front_and_a_wide_edit_list() -> None:
    data = silent_m4a(30, index_last=True)
    edts = data[data.index(b"edts") - 4 :][:36]
    rows = struct.pack(">QqiQqi", 500, -1, 0x10000, 30_000, 1024, 0x10000)
    wide = box(b"edts", box(b"elst", struct.pack(">II", 0x01000000, 2), rows))
    trak = data[data.index(b"trak") - 4 :]
    trak = trak[: struct.unpack(">I", trak[:4])[0]]
    moov = data[data.index(b"moov") + 4 :].replace(trak, box(b"trak", trak[8:].replace(edts, wide)))
    assert seconds(data[: data.index(b"moov") - 4] + box(b"moov", moov)) == 30


def test_a_cut_file_counts_the_units_that_are_there() -> None:
    whole = silent_m4a(60)
    cut = whole[: whole.index(b"mdat") + 4 + 1_000 * len(AAC_FRAME) + 5]
    # The first of a thousand whole units is the encoder's delay.
    assert seconds(cut) == 999 * UNIT
    fragmented = silent_m4a(60, fragmented=True)
    assert 29 < seconds(fragmented[: len(fragmented) // 2]) < 31


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (silent_m4a(10, index_last=True)[:3_000], "`moov`"),
        (silent_m4a(10)[:300], "`moov`"),
        (box(b"ftyp", b"M4A \0\0\0\0"), "`moov`"),
        (silent_m4a(10)[: silent_m4a(10).index(b"mdat")], "none of its audio"),
        (silent_m4a(10).replace(b"mdia", b"mdix"), "'mdia' box is missing"),
        (silent_m4a(10).replace(b"mp4a", b"drms"), "copy-protected"),
        (silent_m4a(10).replace(b"mp4a", b"what"), "'what' is not supported"),
        (silent_m4a(10).replace(b"stco", b"stcx"), "'co64' box is missing"),
    ],
)
def test_what_cannot_be_timed_is_unreadable(data: bytes, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        measure(memoryview(data), Deadline())
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE
    assert says in caught.value.message


def with_picture_track(data: bytes) -> bytes:
    media = box(b"mdia", box(b"hdlr", bytes(8) + b"vide" + bytes(12)))
    picture = box(b"trak", box(b"tkhd", bytes(84)), media)
    at = data.index(b"moov") - 4
    size = struct.unpack_from(">I", data, at)[0]
    return data[:at] + box(b"moov", data[at + 8 : at + size], picture) + data[at + size :]


def test_a_picture_track_makes_a_video_unless_the_brand_says_audio() -> None:
    with_cover = with_picture_track(silent_m4a(12, index_last=True))
    assert seconds(with_cover) == 12
    with pytest.raises(GatewayError, match="a video") as caught:
        measure(memoryview(with_cover.replace(b"ftypM4A ", b"ftypisom")), Deadline())
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_an_index_whose_end_is_cut_off_is_enough_when_the_track_is_whole() -> None:
    whole = silent_m4a(12, index_last=True)
    at = whole.index(b"moov") - 4
    longer = whole[:at] + box(b"moov", whole[at + 8 :], box(b"udta", bytes(1_000)))
    assert seconds(longer[:-500]) == 12


def test_the_brand_must_be_exactly_that_of_audio() -> None:
    with pytest.raises(GatewayError, match="a video"):
        measure(memoryview(with_picture_track(silent_m4a(12)).replace(b"ftypM4A ", b"ftypM4B ")), Deadline())


def test_stray_bytes_behind_the_boxes_do_no_harm() -> None:
    for fragmented in (False, True):
        assert seconds(silent_m4a(12, fragmented=fragmented) + b"\0\0\0\3strays") == 12


def test_a_file_without_an_audio_track_is_not_a_recording() -> None:
    with pytest.raises(GatewayError, match="without audio") as caught:
        measure(memoryview(silent_m4a(12).replace(b"soun", b"text")), Deadline())
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_the_header_for_mutagen_is_small_whatever_the_file_weighs() -> None:
    assert len(measure(memoryview(silent_m4a(600)), Deadline()).header) < 500
