"""The formats that speech can be asked for, and what the provider is told for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")


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
        if bits_per_second is not None:
            return int(bits_per_second) // 8
        return int(self.audio_setting["sample_rate"]) * int(self.audio_setting["channel"]) * 2


def _format(content_type: str, setting: dict[str, str | int], *, streams: bool) -> AudioFormat:
    return AudioFormat(content_type, MappingProxyType({"channel": 1, **setting}), streams)


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
        # The provider's own names, where they are others.
        "pcmu_raw": _whole("audio/basic", "pcmu_raw", 8_000),
        "pcmu_wav": _whole("audio/wav", "pcmu_wav", 8_000),
    }
)
"""Public name to format: the documented ones of this API, then OpenAI's, then the provider's.

The provider has no `aac` and no 192 kbit/s; relabelling something else as those would be a lie, so they are not here.
"""

PROVIDER_FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "mp3": "audio/mpeg",
        "pcm": "audio/pcm",
        "flac": "audio/flac",
        "wav": "audio/wav",
        "opus": "audio/ogg",
        "pcmu_raw": "audio/basic",
        "pcmu_wav": "audio/wav",
    }
)
"""What `audio_setting.format` may be, and the media type of each."""
SAMPLE_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100)
SAMPLE_RATES_OF_OPUS = (8_000, 12_000, 16_000, 24_000, 48_000)
BITRATES = (32_000, 64_000, 128_000, 256_000)
_STREAMED = ("mp3", "pcm")


def format_of_setting(setting: Mapping[str, object]) -> AudioFormat:
    """The format that an `audio_setting` in the provider's words asks for; null counts as left out.

    Raises ValueError with a message that begins with the field's name.
    """
    name = _chosen(setting, "format", tuple(PROVIDER_FORMATS), "mp3")
    is_mu_law, is_opus = name.startswith("pcmu"), name == "opus"
    rates = (8_000,) if is_mu_law else SAMPLE_RATES_OF_OPUS if is_opus else SAMPLE_RATES
    rate_hz = _chosen(setting, "sample_rate", rates, 8_000 if is_mu_law else 24_000 if is_opus else 32_000)
    made: dict[str, str | int] = {"format": name, "sample_rate": rate_hz}
    if name == "mp3":
        made["bitrate"] = _chosen(setting, "bitrate", BITRATES, 128_000)
    elif setting.get("bitrate") is not None:
        raise ValueError("bitrate` counts for mp3 alone.")
    made["channel"] = _chosen(setting, "channel", (1, 2), 1)
    if setting.get("force_cbr") is not None:
        raise ValueError("force_cbr` is not served.")
    return _format(PROVIDER_FORMATS[name], made, streams=name in _STREAMED)


def _chosen(setting: Mapping[str, object], name: str, allowed: tuple[T, ...], default: T) -> T:
    value = setting.get(name)
    if value is None:
        return default
    for each in allowed:
        if each == value and not isinstance(value, bool):
            return each
    raise ValueError(f"{name}` must be one of: {', '.join(map(str, allowed))}.")
