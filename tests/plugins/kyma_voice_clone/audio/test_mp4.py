from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import AAC_FRAME, box, silent_m4a
from kyma_voice_clone.audio.mp4 import measure

FIXTURES = Path(__file__).parents[3] / "fixtures"
UNIT = Fraction(1024, 48_000)
TRIMMED = "audio units counted, encoder delay trimmed"
CONTRADICTED = "audio units counted, time table contradicts"


def seconds(data: bytes) -> Fraction:
    return measure(memoryview(data)).duration


def patched(data: bytes, name: bytes, offset: int, value: bytes) -> bytes:
    """`data` with `value` at `offset` behind the first box called `name`."""
    at = data.index(name) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize("length", [Fraction(479_999, 48_000), 10, 300, Fraction(14_400_001, 48_000)])
@pytest.mark.parametrize(("index_last", "fragmented"), [(False, False), (True, False), (False, True)])
def test_exact_to_the_sample(length: int | Fraction, index_last: bool, fragmented: bool) -> None:
    measured = measure(memoryview(silent_m4a(length, index_last=index_last, fragmented=fragmented)))
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


@pytest.mark.parametrize("ticks_per_second", [4_800, 24_000, 96_000, 480_000])
def test_a_false_time_scale_changes_nothing_but_the_trimming(ticks_per_second: int) -> None:
    data = patched(silent_m4a(30), b"mdhd", 12, struct.pack(">I", ticks_per_second))
    assert 30 <= seconds(data) < 30 + 2 * UNIT


@pytest.mark.parametrize("ticks", [1, 100, 10_240])
def test_a_false_time_table_changes_nothing_but_the_trimming(ticks: int) -> None:
    data = patched(silent_m4a(30), b"stts", 12, struct.pack(">I", ticks))
    assert 30 <= seconds(data) < 30 + 2 * UNIT


@pytest.mark.parametrize("shown_ms", [1_000, 20_000, 29_000])
def test_an_edit_list_cannot_hide_audio(shown_ms: int) -> None:
    measured = measure(memoryview(patched(silent_m4a(30), b"elst", 8, struct.pack(">I", shown_ms))))
    assert measured.rule == CONTRADICTED
    assert measured.duration > 30


@pytest.mark.parametrize(
    "edit",
    [
        struct.pack(">II", 0, 0),
        struct.pack(">II", 0, 3) + bytes(60),
        struct.pack(">IIIiI", 0, 9, 30_000, 1024, 0x10000),
        struct.pack(">IIIiIIiI", 0, 2, 10_000, 0, 0x10000, 20_000, 1024, 0x10000),
    ],
)
def test_edit_lists_of_another_kind_trim_nothing(edit: bytes) -> None:
    data = silent_m4a(30, index_last=True)
    old = box(b"elst", data[data.index(b"elst") + 4 :][:20])
    data = data.replace(box(b"edts", old), box(b"free", bytes(len(old))))
    trak = data[data.index(b"trak") - 4 :]
    trak = trak[: struct.unpack(">I", trak[:4])[0]]
    more = box(b"edts", box(b"elst", edit))
    moov = data[data.index(b"moov") + 4 :].replace(trak, box(b"trak", trak[8:], more))
    changed = data[: data.index(b"moov") - 4] + box(b"moov", moov)
    assert Fraction(30) + UNIT == seconds(changed)


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
        (silent_m4a(10).replace(b"mp4a", b"ac-3"), "'ac-3' is not supported"),
        (silent_m4a(10).replace(b"stco", b"stcx"), "'co64' box is missing"),
    ],
)
def test_what_cannot_be_timed_is_unreadable(data: bytes, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        measure(memoryview(data))
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
        measure(memoryview(with_cover.replace(b"ftypM4A ", b"ftypisom")))
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_a_file_without_an_audio_track_is_not_a_recording() -> None:
    with pytest.raises(GatewayError, match="without audio") as caught:
        measure(memoryview(silent_m4a(12).replace(b"soun", b"text")))
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_the_header_for_mutagen_is_small_whatever_the_file_weighs() -> None:
    assert len(measure(memoryview(silent_m4a(600))).header) < 500
