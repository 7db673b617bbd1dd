"""The table of formats, held against what the provider documents."""

from __future__ import annotations

import pytest

from kyma_proxy.upstreams.minimax.formats import DEFAULT_FORMAT, FORMATS, format_of_setting

RATES_HZ = {8000, 16000, 22050, 24000, 32000, 44100}
BITRATES = {32000, 64000, 128000, 256000}


def test_the_documented_formats_are_there_and_those_nobody_makes_are_not() -> None:
    documented = {"mp3_44100_128", "mp3_22050_32", "pcm_16000", "pcm_22050", "pcm_24000", "pcm_44100", "ulaw_8000"}
    assert set(FORMATS) == documented | {"mp3", "pcm", "wav", "flac", "opus", "pcmu_raw", "pcmu_wav"}
    assert DEFAULT_FORMAT == "mp3_44100_128"


@pytest.mark.parametrize("name", FORMATS)
def test_the_provider_can_make_it(name: str) -> None:
    setting = FORMATS[name].audio_setting
    assert setting["format"] in {"mp3", "pcm", "flac", "wav", "pcmu_raw", "pcmu_wav", "opus"}
    assert setting["sample_rate"] in (RATES_HZ if name != "opus" else {8000, 12000, 16000, 24000, 48000})
    assert setting["channel"] == 1
    assert ("bitrate" in setting) is (setting["format"] == "mp3")
    assert setting.get("bitrate", 32000) in BITRATES
    assert FORMATS[name].streams is (setting["format"] in {"mp3", "pcm"})


@pytest.mark.parametrize(
    ("name", "content_type", "rate_hz"),
    [
        ("mp3_44100_128", "audio/mpeg", 44100),
        ("mp3_22050_32", "audio/mpeg", 22050),
        ("pcm_16000", "audio/pcm", 16000),
        ("pcm", "audio/pcm", 24000),
        ("ulaw_8000", "audio/basic", 8000),
        ("wav", "audio/wav", 24000),
        ("flac", "audio/flac", 24000),
        ("opus", "audio/ogg", 24000),
    ],
)
def test_the_media_type_is_true_to_the_bytes(name: str, content_type: str, rate_hz: int) -> None:
    assert (FORMATS[name].content_type, FORMATS[name].audio_setting["sample_rate"]) == (content_type, rate_hz)


def test_nobody_can_change_the_table() -> None:
    with pytest.raises(TypeError):
        FORMATS["mp3"].audio_setting["format"] = "wav"  # type: ignore[index]


def test_what_a_second_takes_at_most() -> None:
    expected = {
        "mp3": 16_000,
        "mp3_22050_32": 4_000,
        "pcm_44100": 88_200,
        "wav": 48_000,
        "flac": 48_000,
        "opus": 48_000,
    }
    assert {name: FORMATS[name].bytes_per_second_max for name in expected} == expected
    assert FORMATS["ulaw_8000"].bytes_per_second_max >= 8_000


@pytest.mark.parametrize(
    ("setting", "content_type", "made", "streams"),
    [
        ({}, "audio/mpeg", {"format": "mp3", "sample_rate": 32000, "bitrate": 128000, "channel": 1}, True),
        (
            {"format": "mp3", "sample_rate": 44100, "bitrate": 256000, "channel": 2},
            "audio/mpeg",
            {"format": "mp3", "sample_rate": 44100, "bitrate": 256000, "channel": 2},
            True,
        ),
        ({"format": "pcm", "channel": 2}, "audio/pcm", {"format": "pcm", "sample_rate": 32000, "channel": 2}, True),
        ({"format": "flac"}, "audio/flac", {"format": "flac", "sample_rate": 32000, "channel": 1}, False),
        ({"format": "pcmu_wav"}, "audio/wav", {"format": "pcmu_wav", "sample_rate": 8000, "channel": 1}, False),
        (
            {"format": "opus", "sample_rate": 48000},
            "audio/ogg",
            {"format": "opus", "sample_rate": 48000, "channel": 1},
            False,
        ),
    ],
)
def test_the_providers_own_words_for_a_format(
    setting: dict[str, object], content_type: str, made: dict[str, object], streams: bool
) -> None:
    found = format_of_setting({**setting, "unknown": 1})
    assert (found.content_type, dict(found.audio_setting), found.streams) == (content_type, made, streams)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"format": "aac"}, "format"),
        ({"format": 1}, "format"),
        ({"format": ["mp3"]}, "format"),
        ({"sample_rate": 48000}, "sample_rate"),
        ({"sample_rate": "32000"}, "sample_rate"),
        ({"format": "opus", "sample_rate": 44100}, "sample_rate"),
        ({"format": "pcmu_raw", "sample_rate": 16000}, "sample_rate"),
        ({"bitrate": 192000}, "bitrate"),
        ({"format": "wav", "bitrate": 128000}, "bitrate"),
        ({"channel": 3}, "channel"),
        ({"channel": True}, "channel"),
        ({"force_cbr": True}, "force_cbr"),
    ],
)
def test_what_the_provider_does_not_make_is_refused_by_name(setting: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}`"):
        format_of_setting(setting)


def test_two_channels_take_twice_the_bytes() -> None:
    one, two = (format_of_setting({"format": "pcm", "channel": channel}) for channel in (1, 2))
    assert two.bytes_per_second_max == 2 * one.bytes_per_second_max == 128_000
