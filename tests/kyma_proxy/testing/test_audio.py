"""The generated recordings, read back by parsers that are not ours."""

from __future__ import annotations

import io
import wave
from fractions import Fraction

import pytest
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4

from kyma_proxy.testing import audio


@pytest.mark.parametrize(("channels", "bits", "rate_hz"), [(1, 16, 8000), (2, 8, 44100), (2, 24, 48000)])
def test_silent_wav_has_the_samples_asked_for(channels: int, bits: int, rate_hz: int) -> None:
    data = audio.silent_wav(1.5, rate_hz=rate_hz, channels=channels, bits=bits)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth() * 8, file.getframerate()) == (channels, bits, rate_hz)
        assert file.getnframes() == rate_hz * 3 // 2
        silence = {0x80} if bits == 8 else {0}
        assert set(file.readframes(file.getnframes())) == silence


def test_wav_lengths_are_exact_to_the_sample() -> None:
    shorter, exact = (audio.silent_wav(seconds) for seconds in (Fraction(79_999, 8_000), 10))
    assert len(exact) - len(shorter) == 2


@pytest.mark.parametrize("seconds", [10, 300, 12.345, Fraction(479_999, 48_000)])
def test_silent_mp3_declares_its_length_to_the_sample(seconds: audio.Seconds) -> None:
    file = MP3(io.BytesIO(audio.silent_mp3(seconds)))
    assert file.info.length == pytest.approx(float(seconds), abs=1e-9)
    assert file.info.sample_rate == audio.MP3_RATE_HZ
    assert file.info.encoder_info.startswith("LAME")


def test_silent_mp3_without_header_is_whole_frames() -> None:
    assert audio.silent_mp3(300, info_header=False) == audio.MP3_FRAME * 12_500
    assert audio.silent_mp3(0.025, info_header=False) == audio.MP3_FRAME * 2


@pytest.mark.parametrize("index_last", [False, True])
def test_silent_m4a_is_one(index_last: bool) -> None:
    data = audio.silent_m4a(12.5, index_last=index_last)
    file = MP4(io.BytesIO(data))
    assert file.info.codec == "mp4a.40.2"
    assert file.info.length == pytest.approx(12.5 + 1024 / 48_000)
    assert (data.index(b"mdat") < data.index(b"moov")) is index_last


def test_fragmented_m4a_has_a_fragment_each_second() -> None:
    data = audio.silent_m4a(10, fragmented=True)
    assert data.count(b"moof") == data.count(b"mdat") == 12
