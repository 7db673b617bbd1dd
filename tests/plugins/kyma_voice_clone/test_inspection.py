"""The verdict on a file is the one that a client would get for it."""

from __future__ import annotations

import pytest

from kyma_proxy.testing.audio import silent_m4a, silent_mp3, silent_wav
from kyma_voice_clone.config import VoiceCloneConfig
from kyma_voice_clone.inspection import inspect_recording

LIMITS = VoiceCloneConfig(upstream="minimax", max_file_bytes=1_000_000, min_seconds=2, max_seconds=4)


@pytest.mark.parametrize(
    ("data", "audio_format", "seconds", "verdict", "status"),
    [
        (silent_wav(2), "wav", 2, "accepted", 200),
        (silent_mp3(3), "mp3", 3, "accepted", 200),
        (silent_m4a(4), "m4a", 4, "accepted", 200),
        (silent_wav(1), "wav", 1, "reference_too_short", 400),
        (silent_wav(5), "wav", 5, "reference_too_long", 400),
        (silent_wav(400), "wav", 400, "too_large", 413),
        (b"", None, None, "invalid_request", 400),
        (b"OggS" + bytes(60), None, None, "unsupported_format", 415),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav", None, "audio_unreadable", 400),
    ],
)
def test_verdicts(data: bytes, audio_format: str | None, seconds: float | None, verdict: str, status: int) -> None:
    found = inspect_recording(LIMITS, memoryview(data))
    assert (found.format, found.verdict, found.status) == (audio_format, verdict, status)
    assert found.seconds == (None if seconds is None else pytest.approx(seconds, abs=0.001))
    assert (found.message is None) == (verdict == "accepted")
    assert (found.rule is None) == (seconds is None)


def test_without_a_config_the_documented_limits_count() -> None:
    for seconds, verdict in ((9.99, "reference_too_short"), (10, "accepted"), (301, "reference_too_long")):
        assert inspect_recording(None, memoryview(silent_mp3(seconds))).verdict == verdict
