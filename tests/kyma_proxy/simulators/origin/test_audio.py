import io
import itertools
import struct

import pytest
from mutagen.mp3 import MP3

from kyma_proxy.simulators.origin.audio import FORMATS, upload_seconds
from kyma_proxy.testing.audio import silent_wav


@pytest.mark.parametrize(
    ("name", "rate_hz", "bits_per_second"),
    [("mp3", 44100, 128000), ("mp3_44100_192", 44100, 192000), ("mp3_22050_32", 22050, 32000)],
)
def test_mp3_is_what_its_name_says(name, rate_hz, bits_per_second) -> None:
    sound = FORMATS[name].tone(10)
    info = MP3(io.BytesIO(sound)).info

    assert (info.sample_rate, info.channels) == (rate_hz, 1)
    assert info.bitrate == pytest.approx(bits_per_second, rel=0.001)
    assert len(sound) * 8 / bits_per_second == pytest.approx(10, abs=0.05)
    assert FORMATS[name].content_type == "audio/mpeg"


def test_every_mp3_frame_follows_on_the_last() -> None:
    sound = FORMATS["mp3_44100_128"].tone(2)
    at, frames = 0, 0
    while at < len(sound):
        assert sound[at : at + 2] == b"\xff\xfb"
        at, frames = at + 417 + (sound[at + 2] >> 1 & 1), frames + 1

    assert at == len(sound)
    assert frames == 77


@pytest.mark.parametrize("rate_hz", [16000, 22050, 24000, 44100])
def test_pcm_is_a_tone(rate_hz) -> None:
    sound = FORMATS[f"pcm_{rate_hz}"].tone(1.5)
    samples = struct.unpack(f"<{len(sound) // 2}h", sound)
    rises = sum(before < 0 <= after for before, after in itertools.pairwise(samples))

    assert len(samples) == round(1.5 * rate_hz)
    assert rises == pytest.approx(660, abs=1)
    assert max(samples) == 8000
    assert FORMATS[f"pcm_{rate_hz}"].content_type == "audio/pcm"


def test_ulaw_is_one_byte_per_sample_and_loud() -> None:
    sound = FORMATS["ulaw_8000"].tone(1.5)

    assert len(sound) == 12000
    assert sound[0] == 0xFF  # silence, where the sine begins
    assert min(byte & 0x7F for byte in sound) == 0x20  # 8000 of 32768, the loudest sample
    assert FORMATS["ulaw_8000"].content_type == "audio/basic"


def test_the_length_of_an_upload() -> None:
    wav = silent_wav(90)

    assert upload_seconds(wav[:4096], len(wav)) == pytest.approx(90, abs=0.01)
    assert upload_seconds(b"\xff\xfb", 160_000) == 10
    assert upload_seconds(b"RIFF", 16_000) == 1
