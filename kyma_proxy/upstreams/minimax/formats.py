"""The formats that speech can be asked for, and what the provider is told for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A format: its media type, the provider's `audio_setting`, and whether the provider can stream it."""

    content_type: str
    audio_setting: Mapping[str, str | int]
    streams: bool

    @property
    def bytes_per_second_max(self) -> int:
        """The most that a second of audio takes: what its bit rate says, elsewhere that of 16-bit samples."""
        bits_per_second = self.audio_setting.get("bitrate")
        return int(self.audio_setting["sample_rate"]) * 2 if bits_per_second is None else int(bits_per_second) // 8


def _format(content_type: str, setting: dict[str, str | int], *, streams: bool) -> AudioFormat:
    return AudioFormat(content_type, MappingProxyType({**setting, "channel": 1}), streams)


def _mp3(rate_hz: int, bits_per_second: int) -> AudioFormat:
    return _format("audio/mpeg", {"format": "mp3", "sample_rate": rate_hz, "bitrate": bits_per_second}, streams=True)


def _pcm(rate_hz: int) -> AudioFormat:
    return _format("audio/pcm", {"format": "pcm", "sample_rate": rate_hz}, streams=True)


def _whole(content_type: str, name: str, rate_hz: int) -> AudioFormat:
    return _format(content_type, {"format": name, "sample_rate": rate_hz}, streams=False)


DEFAULT_FORMAT = "mp3_44100_128"

FORMATS: Mapping[str, AudioFormat] = MappingProxyType(
    {
        "mp3_44100_128": _mp3(44_100, 128_000),
        "mp3_22050_32": _mp3(22_050, 32_000),
        "pcm_16000": _pcm(16_000),
        "pcm_22050": _pcm(22_050),
        "pcm_24000": _pcm(24_000),
        "pcm_44100": _pcm(44_100),
        "ulaw_8000": _whole("audio/basic", "pcmu_raw", 8_000),
        # OpenAI's names. Its `pcm` means 24 kHz, mono, signed 16-bit little-endian.
        "mp3": _mp3(44_100, 128_000),
        "pcm": _pcm(24_000),
        "wav": _whole("audio/wav", "wav", 24_000),
        "flac": _whole("audio/flac", "flac", 24_000),
        "opus": _whole("audio/ogg", "opus", 24_000),
    }
)
"""Public name to format: the documented ones of this API, then OpenAI's.

The provider has no `aac` and no 192 kbit/s; relabelling something else as those would be a lie, so they are not here.
"""
