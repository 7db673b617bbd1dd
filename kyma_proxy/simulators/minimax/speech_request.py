"""What `/v1/t2a_v2` is asked for, after every check that the provider is known to make."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kyma_proxy.simulators.minimax.replies import RefusalError, invalid_params

MODELS = frozenset(f"speech-{version}-{kind}" for version in ("2.8", "2.6", "02", "01") for kind in ("hd", "turbo"))
TEXT_CHARS_MAX = 10_000
STREAMED_FORMATS = ("mp3", "pcm")
_EFFECT_FORMATS = ("mp3", "wav", "flac")
_FORMATS = ("mp3", "pcm", "flac", "wav", "pcmu_raw", "pcmu_wav", "opus")
_RATES_HZ = (8000, 16000, 22050, 24000, 32000, 44100)
_OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
_BITRATES = (32000, 64000, 128000, 256000)
_EMOTIONS = ("happy", "sad", "angry", "fearful", "disgusted", "surprised", "calm")
_EMOTIONS_OF_26 = ("fluent", "whisper")
_EFFECTS = ("spacious_echo", "auditorium_echo", "lofi_telephone", "robotic")
_VOICE_ID_CHARS_MAX = 256
_WEIGHTS_MAX = 4
_INVISIBLE_RATIO_MAX = 0.1


@dataclass(frozen=True, slots=True)
class AudioSetting:
    """The wanted audio; `bitrate` in bits per second counts for mp3 only."""

    form: str = "mp3"
    rate_hz: int = 32000
    bitrate: int = 128000
    channels: int = 1


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """A request without faults. `voice_ids` are one voice, or up to four that are mixed; none was looked up yet."""

    model: str
    text: str
    voice_ids: tuple[str, ...]
    speed: float
    audio: AudioSetting
    stream: bool
    excludes_aggregate: bool
    as_url: bool
    wants_subtitles: bool
    invisible_ratio: float


def read_speech_request(fields: Mapping[str, Any] | None, *, lenient_names: bool = False) -> SpeechRequest:
    """Check the JSON of a call. Raises RefusalError 2013, which names the field, or 1042 for invisible text.

    With `lenient_names` fields count whatever their case, and voices count at the top level as well.
    """
    if fields is None:
        raise invalid_params("empty field")
    fields = _lower_names(fields) if lenient_names else fields
    model, text = _model(fields), _text(fields)
    stream = _flag(fields, "stream")
    audio = _audio_setting(_object(fields, "audio_setting"), stream=stream)
    _check_options(fields, audio, stream=stream)
    voice_setting = _object(fields, "voice_setting")
    return SpeechRequest(
        model=model,
        text=text,
        voice_ids=_voice_ids(fields, voice_setting, at_top=lenient_names),
        speed=_voice_speed(voice_setting, model),
        audio=audio,
        stream=stream,
        excludes_aggregate=_flag(_object(fields, "stream_options"), "exclude_aggregated_audio"),
        as_url=not stream and _one_of(fields, "output_format", ("hex", "url"), "hex") == "url",
        wants_subtitles=_flag(fields, "subtitle_enable"),
        invisible_ratio=_invisible_ratio(text),
    )


def _model(fields: Mapping[str, Any]) -> str:
    model = fields.get("model") or ""
    if not isinstance(model, str) or model not in MODELS:
        raise invalid_params(f"method t2a-v2 not have model: {model}")
    return model


def _text(fields: Mapping[str, Any]) -> str:
    text = fields.get("text") or ""
    if not isinstance(text, str):
        raise invalid_params("text")
    if not text.strip():
        raise invalid_params("empty field")
    if len(text) >= TEXT_CHARS_MAX:
        raise invalid_params("text too long")
    return text


def _invisible_ratio(text: str) -> float:
    """The share of characters that nothing can be said of. Raises RefusalError 1042 above a tenth."""
    invisible = sum(
        unicodedata.category(each) in ("Cc", "Cf", "Cn", "Co", "Cs") for each in text if each not in "\r\n\t"
    )
    ratio = invisible / len(text)
    if ratio > _INVISIBLE_RATIO_MAX:
        raise RefusalError(1042)
    return round(ratio, 4)


def _audio_setting(fields: Mapping[str, Any], *, stream: bool) -> AudioSetting:
    form = _one_of(fields, "format", _FORMATS, "mp3")
    rates: tuple[int, ...] = _RATES_HZ
    rate_hz = 32000
    if form == "opus":
        rates, rate_hz = _OPUS_RATES_HZ, 24000
    elif form.startswith("pcmu"):
        rate_hz = 8000
    if stream and form not in STREAMED_FORMATS:
        raise invalid_params("audio_setting format")
    _flag(fields, "force_cbr")
    return AudioSetting(
        form,
        _one_of(fields, "sample_rate", rates, rate_hz),
        _one_of(fields, "bitrate", _BITRATES, 128000),
        _one_of(fields, "channel", (1, 2), 1),
    )


def _voice_speed(voice_setting: Mapping[str, Any], model: str) -> float:
    _number(voice_setting, "vol", 0, 10, 1, above=True)
    if not isinstance(_number(voice_setting, "pitch", -12, 12, 0), int):
        raise invalid_params("pitch")
    emotions = (*_EMOTIONS, *(_EMOTIONS_OF_26 if "2.6" in model else ()))
    if (voice_setting.get("emotion") or emotions[0]) not in emotions:
        raise invalid_params("voice_setting emotion")
    for name in ("text_normalization", "english_normalization", "latex_read"):
        _flag(voice_setting, name)
    return _number(voice_setting, "speed", 0.5, 2, 1)


def _voice_ids(fields: Mapping[str, Any], voice_setting: Mapping[str, Any], *, at_top: bool) -> tuple[str, ...]:
    weights = next((fields[name] for name in ("timbre_weights", "timber_weights") if fields.get(name)), None)
    voice_id = voice_setting.get("voice_id") or (at_top and fields.get("voice_id")) or ""
    if weights is None:
        return (_voice_id(voice_id),)
    if not isinstance(weights, list) or len(weights) > _WEIGHTS_MAX or voice_id:
        raise invalid_params("timbre_weights")
    for weighted in weights:
        if not isinstance(weighted, dict) or type(weighted.get("weight")) is not int:
            raise invalid_params("timbre_weights")
        _number(weighted, "weight", 1, 100, 1)
    return tuple(_voice_id(weighted.get("voice_id")) for weighted in weights)


def _voice_id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _VOICE_ID_CHARS_MAX or not value.isprintable():
        raise invalid_params("voice id wrong")
    return value


def _check_options(fields: Mapping[str, Any], audio: AudioSetting, *, stream: bool) -> None:
    if not isinstance(fields.get("language_boost"), str | None):
        raise invalid_params("language_boost")
    _one_of(fields, "subtitle_type", ("sentence", "word", *(("word_streaming",) if stream else ())), "sentence")
    _flag(fields, "aigc_watermark")
    tones = _object(fields, "pronunciation_dict").get("tone") or []
    if not isinstance(tones, list) or not all(isinstance(tone, str) and "/" in tone for tone in tones):
        raise invalid_params("pronunciation_dict")
    modify = _object(fields, "voice_modify")
    for name in ("pitch", "intensity", "timbre"):
        _number(modify, name, -100, 100, 0)
    _one_of(modify, "sound_effects", (*_EFFECTS, ""), "")
    if modify and audio.form not in (("mp3",) if stream else _EFFECT_FORMATS):
        raise invalid_params("voice_modify")


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid_params(name)
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool | None):
        raise invalid_params(name)
    return bool(value)


def _number(
    fields: Mapping[str, Any], name: str, least: float, most: float, default: float, *, above: bool = False
) -> float:
    value = default if fields.get(name) is None else fields[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise invalid_params(name)
    if above and value == least:
        raise invalid_params(name)
    return value


def _one_of(fields: Mapping[str, Any], name: str, allowed: tuple[Any, ...], default: Any) -> Any:
    value = default if fields.get(name) is None else fields[name]
    if isinstance(value, bool) or value not in allowed:
        raise invalid_params(name)
    return value


def _lower_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {name.lower(): _lower_names(inner) for name, inner in value.items()}
    return [_lower_names(inner) for inner in value] if isinstance(value, list) else value
