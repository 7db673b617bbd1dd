from __future__ import annotations

import random

import pytest

from kyma_proxy.testing.audio import MP3_FRAME
from kyma_voice_clone.audio.mpeg import CHAIN_FRAMES, LEAD_IN_BYTES_MAX, Frames

ID3V1 = b"TAG" + bytes(125)


def frame(second_byte: int, third_byte: int, size: int) -> bytes:
    return bytes([0xFF, second_byte, third_byte, 0xC0]) + bytes(size - 4)


@pytest.mark.parametrize(
    ("header", "size", "rate_hz", "samples", "is_mp3"),
    [
        ((0xFB, 0x90), 417, 44_100, 1152, True),
        ((0xFB, 0x92), 418, 44_100, 1152, True),
        ((0xFA, 0x94), 384, 48_000, 1152, True),
        ((0xFB, 0xE8), 1440, 32_000, 1152, True),
        ((0xF3, 0x14), 24, 24_000, 576, True),
        ((0xE3, 0x18), 72, 8_000, 576, True),
        ((0xFD, 0x90), 522, 44_100, 1152, False),
        ((0xFD, 0xE4), 1152, 48_000, 1152, False),
        ((0xF5, 0x10), 52, 22_050, 1152, False),
        ((0xFF, 0x10), 32, 44_100, 384, False),
        ((0xFF, 0x12), 36, 44_100, 384, False),
        ((0xFF, 0xE4), 448, 48_000, 384, False),
        ((0xF7, 0xE4), 512, 24_000, 384, False),
    ],
)
def test_sizes_and_rates_of_every_layer(
    header: tuple[int, int], size: int, rate_hz: int, samples: int, is_mp3: bool
) -> None:
    stream, frame_bytes = Frames(memoryview(frame(*header, size))).at(0)
    assert stream is not None
    assert (frame_bytes, stream.rate_hz, stream.frame_samples, stream.is_mp3) == (size, rate_hz, samples, is_mp3)


@pytest.mark.parametrize("header", [(0xFB, 0xF0), (0xFB, 0x9C), (0xEB, 0x90), (0xF9, 0x90), (0xFB, 0x00), (0x7B, 0x90)])
def test_reserved_values_are_no_header(header: tuple[int, int]) -> None:
    assert Frames(memoryview(frame(*header, 417))).at(0) == (None, 0)


def test_the_first_frame_begins_a_chain() -> None:
    data = b"\xff\xfb\x90\xc0" + bytes(100) + MP3_FRAME * CHAIN_FRAMES
    found = Frames(memoryview(data)).first(0)
    assert found is not None
    assert found[0] == 104
    assert Frames(memoryview(data[:-1])).first(0) is None


@pytest.mark.parametrize("tail", [b"", ID3V1, b"APETAGEX" + bytes(50)])
def test_fewer_frames_count_when_nothing_else_is_there(tail: bytes) -> None:
    assert Frames(memoryview(MP3_FRAME + tail)).first(0) is not None
    assert Frames(memoryview(MP3_FRAME + b"x" + tail)).first(0) is None


def test_the_lead_in_is_bounded() -> None:
    for lead_in, known in ((LEAD_IN_BYTES_MAX - 3, True), (LEAD_IN_BYTES_MAX + 1, False)):
        data = b"\x01" * lead_in + MP3_FRAME * CHAIN_FRAMES
        assert (Frames(memoryview(data)).first(0) is not None) is known


def test_counting_ends_with_the_stream_and_with_the_file() -> None:
    for tail in (b"", b"\xff", b"\xff\xfb\x94", MP3_FRAME[:-1], frame(0xFB, 0x90, 417), bytes(10)):
        frames = Frames(memoryview(b"x" + MP3_FRAME * 100 + tail))
        stream, _ = frames.at(1)
        assert stream is not None
        assert frames.count(1, stream) == (100, 1 + 100 * len(MP3_FRAME))


def test_a_free_format_stream_is_known_by_the_distance_of_its_headers() -> None:
    free = frame(0xFB, 0x00, 300) + frame(0xFB, 0x02, 301)
    frames = Frames(memoryview(free * 10))
    found = frames.first(0)
    assert found is not None
    assert found[0] == 0
    assert frames.count(0, found[1]) == (20, 6010)
    # Headers that do not come back at one distance are none.
    uneven = b"".join(frame(0xFB, 0x00, 100 + 7 * n) for n in range(50))
    assert Frames(memoryview(uneven)).first(0) is None


def test_random_bytes_hold_no_first_frame() -> None:
    noise = random.Random(7).randbytes(4 * 1024 * 1024)
    assert all(Frames(memoryview(noise)[start:]).first(0) is None for start in range(0, len(noise), 64 * 1024))
