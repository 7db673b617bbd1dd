from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import MP3_FRAME, mp3_info_frame, silent_mp3
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.mp3 import measure
from kyma_voice_clone.audio.mpeg import CANDIDATES_MAX

FIXTURES = Path(__file__).parents[3] / "fixtures"
ID3V1 = b"TAG" + bytes(125)


def frame(third_byte: int, size: int, second_byte: int = 0xFB) -> bytes:
    return bytes([0xFF, second_byte, third_byte, 0xC0]) + bytes(size - 4)


CBR_128_44 = frame(0x90, 417), frame(0x92, 418)
V2_24K_8 = frame(0x14, 24, 0xF3)
V25_8K_8 = frame(0x18, 72, 0xE3)
EMPTY_ID3 = b"ID3\x04\0\0\0\0\0\0"


def seconds(data: bytes) -> Fraction:
    return measure(memoryview(data), Deadline()).duration


@pytest.mark.parametrize("length", [Fraction(479_999, 48_000), 10, 300, Fraction(14_400_001, 48_000)])
def test_declared_delay_makes_it_exact_to_the_sample(length: int | Fraction) -> None:
    measured = measure(memoryview(silent_mp3(length)), Deadline())
    assert (measured.duration, measured.rule) == (length, "frames counted, encoder delay trimmed")


def test_without_a_header_frame_all_frames_count() -> None:
    assert seconds(MP3_FRAME * 12_500) == 300
    assert seconds(MP3_FRAME * 12_501) == Fraction(300_024, 1000)


@pytest.mark.parametrize(
    ("frames", "rate_hz", "samples"),
    [
        ([*CBR_128_44] * 100, 44_100, 1152),
        ([V2_24K_8] * 200, 24_000, 576),
        ([V25_8K_8] * 200, 8_000, 576),
        ([frame(0x10, 104), frame(0xE0, 1044)] * 100, 44_100, 1152),
        ([frame(0x14, 96, 0xFA)] * 200, 48_000, 1152),
        ([frame(0x14, 96), frame(0x15, 96), frame(0x14, 96, 0xFA), frame(0x14, 96)] * 50, 48_000, 1152),
    ],
)
def test_versions_rates_and_variable_bit_rates(frames: list[bytes], rate_hz: int, samples: int) -> None:
    assert seconds(b"".join(frames)) == Fraction(len(frames) * samples, rate_hz)


@pytest.mark.parametrize(("name", "about"), [("speech-12s.mp3", 12.0), ("speech-12s-vbr-noxing.mp3", 12.0)])
def test_real_recordings(name: str, about: float) -> None:
    assert float(seconds((FIXTURES / name).read_bytes())) == pytest.approx(about, abs=0.06)


@pytest.mark.parametrize("declared", [1, 125, 4_000, 40_000_000])
def test_a_false_frame_count_changes_nothing(declared: int) -> None:
    data = mp3_info_frame(declared, delay=4_000, padding=4_000) + MP3_FRAME * 1_250
    measured = measure(memoryview(data), Deadline())
    assert (measured.duration, measured.rule) == (30, "frames counted")


def test_a_cut_file_counts_its_complete_frames() -> None:
    whole = silent_mp3(30)
    assert seconds(whole[: 96 + 500 * 96 + 95]) == Fraction(500 * 1152, 48_000)


def test_a_declared_count_that_agrees_trims_also_behind_a_lead_in() -> None:
    assert seconds(b"\x01\x02" * 500 + silent_mp3(12)) == 12


def test_a_delay_longer_than_the_recording_is_not_believed() -> None:
    assert seconds(mp3_info_frame(4, delay=4_095, padding=4_095) + MP3_FRAME * 4) == Fraction(4 * 1152, 48_000)


def test_a_xing_frame_of_another_encoder_holds_no_audio_and_trims_nothing() -> None:
    xing = MP3_FRAME[:21] + b"Xing" + struct.pack(">II", 1, 100) + bytes(63)
    vbri = MP3_FRAME[:36] + b"VBRI" + bytes(56)
    assert seconds(xing + MP3_FRAME * 100) == seconds(vbri + MP3_FRAME * 100) == Fraction(100 * 1152, 48_000)


@pytest.mark.parametrize(("second", "offset"), [(0xFB, 36), (0xF3, 21)])
def test_the_header_frame_of_stereo_stands_behind_its_side_information(second: int, offset: int) -> None:
    stereo = bytes([0xFF, second, 0x54, 0x00]).ljust(offset, b"\0")
    plain = bytes([0xFF, second, 0x54, 0x00])
    size = 192
    with_info = (stereo + b"Info" + struct.pack(">II", 1, 50)).ljust(size, b"\0")
    rate_hz, samples = (48_000, 1152) if second == 0xFB else (24_000, 576)
    size_of_frame = size if second == 0xFB else 120
    data = with_info[:size_of_frame] + plain.ljust(size_of_frame, b"\0") * 50
    assert seconds(data) == Fraction(50 * samples, rate_hz)


def test_two_joined_files_count_both() -> None:
    one = silent_mp3(6, info_header=False)
    tagged = b"ID3\x03\0\0\0\0\x27\x10" + b"\xff\xfb tag text " * 357 + bytes(2)
    assert seconds(one + tagged + one) == 12
    assert seconds(one + b"".join(CBR_128_44) * 50) == 6 + Fraction(100 * 1152, 44_100)


@pytest.mark.parametrize("tail", [ID3V1, b"APETAGEX" + bytes(1000), b"\0" * 5000, os.urandom(3000)])
def test_what_follows_the_frames_is_not_audio(tail: bytes) -> None:
    assert seconds(MP3_FRAME * 1_250 + tail) == 30


def test_garbage_between_frames_is_passed_over() -> None:
    stretch = MP3_FRAME * 125
    assert seconds(stretch + b"\xff\xfb\xf4" + bytes(100) + stretch + b"StreamTitle='x';" + stretch) == 9


def test_a_few_frames_are_a_recording_when_nothing_else_is_there() -> None:
    for data in (MP3_FRAME, MP3_FRAME * 2, EMPTY_ID3 + MP3_FRAME * 2, MP3_FRAME * 3 + ID3V1):
        assert seconds(data) == Fraction(data.count(MP3_FRAME[:4]) * 1152, 48_000)


def test_a_frame_header_alone_is_not_measured() -> None:
    with pytest.raises(GatewayError) as caught:
        seconds(MP3_FRAME[:4] + b"junk" * 100)
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE


@pytest.mark.parametrize("layer", [0xFD, 0xFF])
def test_another_layer_inside_a_wav_is_not_mp3(layer: int) -> None:
    with pytest.raises(GatewayError, match="no sequence of MP3 frames"):
        seconds(frame(0x10, 104 if layer == 0xFD else 32, layer) * 50)


@pytest.mark.parametrize("zeros", [100, 1 << 20])
def test_zeros_behind_the_tag_are_passed_over(zeros: int) -> None:
    assert seconds(EMPTY_ID3 + bytes(zeros) + MP3_FRAME * 1_250) == 30


def test_free_format_is_timed_by_the_distance_of_its_headers() -> None:
    free = frame(0x00, 300), frame(0x02, 301)
    assert seconds(EMPTY_ID3 + b"".join(free) * 50 + ID3V1) == Fraction(100 * 1152, 44_100)
    assert seconds(b"".join(free) * 50 + b"garbage" + b"".join(free) * 50) == Fraction(200 * 1152, 44_100)


def test_a_file_broken_in_too_many_places_is_unreadable() -> None:
    data = MP3_FRAME * 10 + b"\xff\xfb\x92" * (CANDIDATES_MAX + 1)
    with pytest.raises(GatewayError, match="too many places"):
        measure(memoryview(data), Deadline())
    assert seconds(MP3_FRAME * 1_250 + b"\xff\xfb\x92" * CANDIDATES_MAX) == 30
