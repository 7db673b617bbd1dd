import io
import itertools
import shutil
import struct
import subprocess

import pytest
from mutagen.mp3 import MP3

from kyma_proxy.simulators.tone import Format

RATES = (8000, 16000, 22050, 24000, 32000, 44100)


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kilobits", [32, 64, 128])
def test_mp3_is_what_its_frames_say(rate_hz, channels, kilobits) -> None:
    sound = Format("mp3", rate_hz, kilobits, channels).tone(5)
    info = MP3(io.BytesIO(sound)).info

    assert (info.sample_rate, info.channels, info.bitrate) == (rate_hz, channels, pytest.approx(kilobits * 1000, 0.01))
    assert len(sound) * 8 / (kilobits * 1000) == pytest.approx(5, abs=0.08)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_player_hears_the_tone(rate_hz, channels) -> None:
    sound = Format("mp3", rate_hz, 64, channels).tone(2)
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", "pipe:0", "-f", "s16le", "-"]
    played = subprocess.run(command, input=sound, capture_output=True, timeout=30)
    assert (played.returncode, played.stderr) == (0, b"")
    samples = struct.unpack(f"<{len(played.stdout) // 2}h", played.stdout)[::channels]
    rises = sum(before < 0 <= after for before, after in itertools.pairwise(samples))

    assert rises / (len(samples) / rate_hz) == pytest.approx(440, rel=0.05)
    assert max(samples) > 5000


@pytest.mark.parametrize(("kind", "sample_bytes"), [("pcm", 2), ("ulaw", 1)])
@pytest.mark.parametrize("rate_hz", RATES)
def test_raw_samples_have_the_exact_length_in_one_channel_or_two(kind, sample_bytes, rate_hz) -> None:
    mono, stereo = (Format(kind, rate_hz, 0, channels).tone(1.3) for channels in (1, 2))

    assert len(mono) == round(1.3 * rate_hz) * sample_bytes
    assert len(stereo) == 2 * len(mono)
    for channel in (0, 1):
        at = channel * sample_bytes
        left = b"".join(stereo[i + at : i + at + sample_bytes] for i in range(0, 200, 2 * sample_bytes))
        assert mono.startswith(left)


def test_the_content_type_is_true() -> None:
    assert [Format(kind, 8000).content_type for kind in ("mp3", "pcm", "ulaw")] == [
        "audio/mpeg",
        "audio/pcm",
        "audio/basic",
    ]
