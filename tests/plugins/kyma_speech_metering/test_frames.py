"""The first whole frame: found in what the simulator makes, at every cut of it, and in nothing else."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_speech_metering.frames import (
    LOOKED_AT_BYTES_MAX,
    FirstFrame,
    end_of_flac_sample,
    end_of_mp3_frame,
    end_of_ogg_audio,
    end_of_wav_sample,
)

MP3_FRAME = bytes.fromhex("fffb9064") + bytes(413)
"""MPEG-1 layer III, 128 kbit/s, 44.1 kHz, no padding: 417 bytes."""
WAV_HEAD = b"RIFF\x00\x00\x00\x00WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 24_000, 48_000, 2, 16)
FLAC = b"fLaC\x00\x00\x00\x22" + bytes(34) + b"\x84\x00\x00\x04" + bytes(4) + b"\xff\xf8" + bytes(60)


def page(position: int, body: bytes) -> bytes:
    segments = [255] * (len(body) // 255) + [len(body) % 255]
    head = b"OggS\x00\x00" + position.to_bytes(8, "little") + bytes(12) + bytes([len(segments)])
    return head + bytes(segments) + body


@pytest.mark.parametrize(
    ("find", "audio", "end"),
    [
        (end_of_mp3_frame, MP3_FRAME * 2, 417),
        (end_of_mp3_frame, b"junk" + MP3_FRAME, 421),
        (
            end_of_mp3_frame,
            b"ID3\x04\x00\x00\x00\x00\x01\x02" + b"\xff\xfb\x90\x64" + bytes(126) + MP3_FRAME,
            10 + 130 + 417,
        ),
        (end_of_mp3_frame, b"\xff\xff\xff\xff" + MP3_FRAME, 421),
        (end_of_mp3_frame, bytes.fromhex("fff36064") + bytes(152), 156),
        (end_of_wav_sample, WAV_HEAD + b"data\x10\x00\x00\x00" + bytes(16), 46),
        (end_of_wav_sample, WAV_HEAD + b"LIST\x03\x00\x00\x00abc\x00data\xff\xff\xff\xff" + bytes(4), 58),
        (end_of_flac_sample, FLAC, 4 + 38 + 8 + 24),
        (end_of_ogg_audio, page(0, b"OpusHead") + page(0, b"OpusTags") + page(960, bytes(300)), 36 + 36 + 329),
    ],
)
def test_where_it_ends(find, audio: bytes, end: int) -> None:  # type: ignore[no-untyped-def]
    assert find(audio) == end
    for cut in range(end):
        assert find(audio[:cut]) is None
    for cut in range(end, len(audio)):
        assert find(audio[:cut]) == end


@pytest.mark.parametrize("find", [end_of_mp3_frame, end_of_wav_sample, end_of_flac_sample, end_of_ogg_audio])
@given(junk=st.binary(max_size=64))
def test_whatever_comes_is_survived(find, junk: bytes) -> None:  # type: ignore[no-untyped-def]
    end = find(junk)
    assert end is None or 0 < end <= len(junk)


def test_a_wav_without_samples_has_no_frame() -> None:
    assert end_of_wav_sample(WAV_HEAD + b"data\x00\x00\x00\x00") is None
    assert end_of_wav_sample(WAV_HEAD + b"data\x00\x00\x00\x00LIST") is None


@given(cuts=st.lists(st.integers(1, 200), min_size=1, max_size=20))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    audio = MP3_FRAME * 3
    first = FirstFrame("audio/mpeg; charset=x")
    at = 0
    for size in cuts:
        first.feed(audio[at : at + size])
        at += size
        assert (first.end is not None) == (at >= 417)
    assert first.end in (None, 417)
    assert first.watching == (at < 417)


@pytest.mark.parametrize(("content_type", "size"), [("audio/pcm", 2), ("AUDIO/BASIC", 1)])
def test_raw_samples(content_type: str, size: int) -> None:
    first = FirstFrame(content_type)
    for _ in range(size - 1):
        first.feed(b"x")
    assert first.end is None
    first.feed(b"x")
    assert first.end == size


def test_an_unknown_type_has_no_frame_and_is_not_kept() -> None:
    first = FirstFrame("text/html")
    first.feed(MP3_FRAME)
    assert (first.end, first.watching) == (None, False)


def test_looking_ends_somewhere() -> None:
    first = FirstFrame("audio/mpeg")
    for _ in range(LOOKED_AT_BYTES_MAX // 1024):
        first.feed(bytes(1024))
    assert (first.end, first.watching) == (None, False)
