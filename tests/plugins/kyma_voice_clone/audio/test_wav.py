from __future__ import annotations

import struct
from fractions import Fraction

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import MP3_FRAME, chunk, riff, silent_wav
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.wav import CHUNKS_MAX, measure

TO_THE_END = "audio bytes to the end"


def fmt(
    codec: int = 1, channels: int = 1, rate: int = 8000, block: int = 2, bits: int = 16, more: bytes = b""
) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", codec, channels, rate, rate * block, block, bits) + more)


def seconds(data: bytes) -> Fraction:
    return measure(memoryview(data), Deadline()).duration


def unreadable(data: bytes) -> str:
    with pytest.raises(GatewayError) as caught:
        measure(memoryview(data), Deadline())
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE
    return caught.value.message


def with_data_size(data: bytes, size: int) -> bytes:
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


@pytest.mark.parametrize("length", [Fraction(79_999, 8_000), 10, 300, Fraction(2_400_001, 8_000)])
def test_pcm_is_exact_to_the_sample(length: int | Fraction) -> None:
    assert seconds(silent_wav(length)) == length


@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (2, 16), (6, 24), (2, 32)])
def test_every_sample_size_counts(channels: int, bits: int) -> None:
    measured = measure(memoryview(silent_wav(2, rate_hz=44_100, channels=channels, bits=bits)), Deadline())
    assert (measured.duration, measured.rule) == (2, "data chunk")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFF0, 10 * 160_000, 160_002])
def test_a_data_size_beyond_the_file_counts_what_is_there(size: int) -> None:
    measured = measure(memoryview(with_data_size(silent_wav(10), size)), Deadline())
    assert (measured.duration, measured.rule) == (10, f"{TO_THE_END}, data chunk")


def test_a_data_size_below_the_bytes_that_follow_is_believed_as_every_decoder_does() -> None:
    measured = measure(memoryview(with_data_size(silent_wav(400), 16_000 * 60)), Deadline())
    assert (measured.duration, measured.rule) == (60, "data chunk")


def test_an_empty_data_chunk_in_front_of_whole_chunks_is_empty() -> None:
    assert seconds(riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO"), chunk(b"data", bytes(16_000)))) == 1
    assert seconds(riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO"))) == 0


def test_a_cut_file_counts_what_is_there() -> None:
    whole = silent_wav(20)
    assert seconds(whole[: 44 + 16_000 * 9]) == 9


def test_chunks_around_the_audio_are_not_audio() -> None:
    audio = chunk(b"data", bytes(16_000))
    before = chunk(b"JUNK", b"x" * 200_001) + chunk(b"LIST", b"INFOISFT\4\0\0\0abcd")
    assert seconds(riff(before, fmt(), audio, chunk(b"id3 ", b"ID3" * 999), chunk(b"cue ", bytes(28)))) == 1


@pytest.mark.parametrize("tail", [b"", b"\0"])
def test_an_odd_data_chunk_may_lack_its_padding(tail: bytes) -> None:
    data = riff(fmt(block=1, bits=8), b"data" + struct.pack("<I", 8_001) + bytes(8_001)) + tail
    measured = measure(memoryview(data), Deadline())
    assert (measured.duration, measured.rule) == (Fraction(8_001, 8_000), "data chunk")


def test_an_odd_chunk_without_padding_in_front_of_the_audio_is_read_over() -> None:
    note = b"note" + struct.pack("<I", 3) + b"abc"
    assert seconds(riff(fmt(), note, chunk(b"data", bytes(16_000)))) == 1


def test_several_data_chunks_add_up() -> None:
    assert (
        seconds(riff(fmt(), chunk(b"data", bytes(16_000)), chunk(b"note", b"x"), chunk(b"data", bytes(8_000)))) == 1.5
    )


def test_rf64_takes_the_size_from_ds64() -> None:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, 16_000, 8_000, 0))
    data = riff(ds64, fmt(), b"data" + b"\xff" * 4 + bytes(16_000), chunk(b"LIST", b"abcd"))
    measured = measure(memoryview(b"RF64" + data[4:]), Deadline())
    assert (measured.duration, measured.rule) == (1, "data chunk")


def test_a_false_byte_rate_changes_nothing() -> None:
    data = bytearray(silent_wav(10))
    data[28:32] = struct.pack("<I", 160)
    assert seconds(bytes(data)) == 10


def test_extensible_names_its_codec_further_down() -> None:
    more = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    assert seconds(riff(fmt(0xFFFE, 2, 8000, 4, 16, more), chunk(b"data", bytes(32_000)))) == 1


@pytest.mark.parametrize(("codec", "block", "bits"), [(3, 4, 32), (3, 8, 64), (6, 1, 8), (7, 1, 0)])
def test_float_and_telephone_codecs(codec: int, block: int, bits: int) -> None:
    assert seconds(riff(fmt(codec, 1, 8000, block, bits), chunk(b"data", bytes(8000 * block)))) == 1


def test_a_block_size_left_unsaid_is_that_of_the_samples() -> None:
    assert seconds(riff(fmt(block=0), chunk(b"data", bytes(16_000)))) == 1


def test_ima_adpcm_by_blocks() -> None:
    # A block of 256 bytes and one channel: 4 bytes of header that hold a sample, then two samples a byte.
    header = fmt(0x11, 1, 8000, 256, 4, struct.pack("<HH", 2, 505))
    assert seconds(riff(header, chunk(b"data", bytes(256 * 16)))) == Fraction(505 * 16, 8000)
    assert seconds(riff(header, chunk(b"data", bytes(256 + 14)))) == Fraction(505 + 21, 8000)


def test_ms_adpcm_by_blocks() -> None:
    header = fmt(2, 2, 8000, 512, 4, struct.pack("<HH", 32, 500))
    assert seconds(riff(header, chunk(b"data", bytes(512 * 10)))) == Fraction(500 * 10, 8000)


@pytest.mark.parametrize(
    ("fact", "expected"), [(505 * 16 - 100, 505 * 16 - 100), (505 * 160, 505 * 16), (10, 505 * 16)]
)
def test_a_fact_chunk_only_trims_the_last_adpcm_block(fact: int, expected: int) -> None:
    header = fmt(0x11, 1, 8000, 256, 4) + chunk(b"fact", struct.pack("<I", fact))
    assert seconds(riff(header, chunk(b"data", bytes(256 * 16)))) == Fraction(expected, 8000)


def test_mp3_in_wav_is_counted_by_its_frames() -> None:
    measured = measure(memoryview(riff(fmt(0x55, 1, 48_000, 1, 0), chunk(b"data", MP3_FRAME * 1000))), Deadline())
    assert measured.duration == 24
    assert "frames counted" in measured.rule


def test_a_header_without_audio_is_nothing() -> None:
    assert seconds(silent_wav(0)) == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"RIFF\0\0\0\0WAVE", "missing"),
        (riff(fmt()), "missing"),
        (riff(chunk(b"data", bytes(100))), "missing"),
        (riff(chunk(b"fmt ", b"\1\0\1\0"), chunk(b"data", bytes(100))), "cut short"),
        (riff(fmt(channels=0), chunk(b"data", bytes(100))), "0 channels"),
        (riff(fmt(rate=0), chunk(b"data", bytes(100))), "0 Hz"),
        (riff(fmt(rate=1), chunk(b"data", bytes(100))), "1 Hz"),
        (riff(fmt(rate=768_001), chunk(b"data", bytes(100))), "768001 Hz"),
        (riff(fmt(block=8), chunk(b"data", bytes(100))), "contradicts itself"),
        (riff(fmt(bits=0, block=0), chunk(b"data", bytes(100))), "contradicts itself"),
        (riff(fmt(0x11, 1, 8000, 4, 4), chunk(b"data", bytes(100))), "contradicts itself"),
        (riff(fmt(0x31, 1, 8000, 66, 0), chunk(b"data", bytes(660))), "0x0031"),
        (riff(fmt(0xF1AC, 1, 8000, 4, 16), chunk(b"data", bytes(660))), "FLAC"),
        (riff(fmt(0x55), chunk(b"data", bytes(650))), "no sequence of MP3 frames"),
        (riff(fmt(0x55), *[chunk(b"data", MP3_FRAME * 5)] * 2), "several `data` chunks"),
        (riff(fmt(), chunk(b"abcd", b"") * CHUNKS_MAX), "more than 1024 chunks"),
    ],
)
def test_what_cannot_be_timed_is_unreadable(data: bytes, says: str) -> None:
    assert says in unreadable(data)


def test_the_header_for_mutagen_ends_where_the_audio_begins() -> None:
    data = silent_wav(10)
    assert bytes(measure(memoryview(data), Deadline()).header) == data[:44]
