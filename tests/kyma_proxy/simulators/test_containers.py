import io
import shutil
import subprocess
import wave

import pytest
from mutagen.flac import FLAC
from mutagen.oggopus import OggOpus

from kyma_proxy.simulators.containers import flac_tone, ogg_opus_silence, wav
from kyma_proxy.simulators.tone import Format

RATES = (8000, 16000, 22050, 24000, 32000, 44100)
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def played_bytes(sound: bytes) -> int:
    """How many bytes of 16-bit samples a player makes of a file without a complaint."""
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", "pipe:0", "-f", "s16le", "-"]
    played = subprocess.run(command, input=sound, capture_output=True, timeout=30)
    assert (played.returncode, played.stderr) == (0, b"")
    return len(played.stdout)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_has_the_samples_it_was_given(channels) -> None:
    samples = Format("pcm", 24000, 0, channels).tone(1.5)

    with wave.open(io.BytesIO(wav(samples, "pcm", 24000, channels))) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (24000, channels, 2)
        assert reader.readframes(10**6) == samples


def test_a_wav_of_mu_law_says_so_and_is_padded_to_an_even_length() -> None:
    made = wav(b"\xff" * 801, "ulaw", 8000, 1)

    assert made[20:22] == b"\x07\0"
    assert len(made) == 44 + 802
    assert int.from_bytes(made[4:8], "little") == len(made) - 8
    assert int.from_bytes(made[40:44], "little") == 801


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_flac_declares_its_length(rate_hz, channels) -> None:
    info = FLAC(io.BytesIO(flac_tone(1.234, rate_hz, channels))).info

    assert (info.sample_rate, info.channels, info.bits_per_sample) == (rate_hz, channels, 16)
    assert info.length == pytest.approx(1.234, abs=1 / rate_hz)


@needs_ffmpeg
@pytest.mark.parametrize("rate_hz", RATES)
def test_flac_plays_in_full(rate_hz) -> None:
    assert played_bytes(flac_tone(1.234, rate_hz, 1)) == 2 * round(1.234 * rate_hz)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.5, 1, 3.21])
def test_opus_declares_its_length(channels, seconds) -> None:
    info = OggOpus(io.BytesIO(ogg_opus_silence(seconds, channels))).info

    assert (info.channels, info.length) == (channels, pytest.approx(seconds, abs=0.001))


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 2])
def test_opus_plays_in_full(channels) -> None:
    assert played_bytes(ogg_opus_silence(3.21, channels)) == 2 * channels * round(3.21 * 48000)
