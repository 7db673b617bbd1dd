"""A request for speech, from the public shape to the provider's.

The provider's body is written afresh from what is listed here; no key or value that was not looked at goes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.speech import spoken_text
from kyma_proxy.upstreams.minimax.formats import DEFAULT_FORMAT, FORMATS, AudioFormat, format_of_setting
from kyma_proxy.upstreams.minimax.speech_fields import FIELDS, read_fields
from kyma_proxy.upstreams.minimax.speech_refusals import no_such_voice

VOICE_ID_CHARS_MAX = 256
"""The provider's limit on a voice id, and how long a text may be to be looked up as one before it comes here."""
VOICES_MIXED_MAX = 4
WEIGHT_MAX = 100
CHARACTER_SECONDS_MAX = 1.0
"""Longer than a code point takes to speak at speed 1, in any language."""
ENVELOPE_BYTES_MAX = 1024 * 1024
"""What a whole answer may have besides its audio."""
WHOLE_BYTES_MAX = 512 * 1024 * 1024
"""What no whole answer may exceed, whatever is to be spoken."""

_PAUSE = re.compile(r"<#(\d{1,2}(?:\.\d+)?)#>")
"""The provider's mark for silence, in seconds."""


@dataclass(frozen=True, slots=True)
class WeightedVoice:
    """A voice of a mix; `weight` is 1 to 100, relative to the others."""

    voice_id: str
    weight: int


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What is to be spoken. Either `voice_id` is set or `mix` has voices."""

    model: str
    """The provider's name of it."""
    text: str
    voice_id: str
    mix: tuple[WeightedVoice, ...]
    format: AudioFormat
    manner: Mapping[str, Any]
    """How it is to be said: the fields of `speech_fields`, by the provider's names."""
    stream: bool

    @property
    def voice_ids(self) -> tuple[str, ...]:
        """The voices that speak."""
        return tuple(it.voice_id for it in self.mix) or (self.voice_id,)

    def with_names(self, names: Mapping[str, str]) -> SpeechRequest:
        """The same with voices under the ids that they have at the provider."""
        if not names:
            return self
        mix = tuple(WeightedVoice(names.get(it.voice_id, it.voice_id), it.weight) for it in self.mix)
        return replace(self, voice_id=names.get(self.voice_id, self.voice_id), mix=mix)

    def answer_bytes_max(self) -> int:
        """The longest that an answer with all of this speech can be; audio takes two bytes there for each of its own.

        Generous, because the provider has charged for what is refused by it.
        """
        pauses = sum(float(seconds) for seconds in _PAUSE.findall(self.text))
        seconds: float = len(self.text) * CHARACTER_SECONDS_MAX / self.manner.get("speed", 1.0) + pauses
        audio_bytes = math.ceil(seconds * self.format.bytes_per_second_max)
        return min(ENVELOPE_BYTES_MAX + 2 * audio_bytes, WHOLE_BYTES_MAX)

    def provider_fields(self) -> dict[str, object]:
        """The body of `POST /v1/t2a_v2`."""
        manner = [(field, self.manner[field.provider_name]) for field in FIELDS if field.provider_name in self.manner]
        voice_setting: dict[str, object] = {"voice_id": self.voice_id}
        voice_setting |= {field.provider_name: value for field, value in manner if field.in_voice_setting}
        fields: dict[str, object] = {
            "model": self.model,
            "text": self.text,
            "stream": self.stream,
            "output_format": "hex",
            "voice_setting": voice_setting,
            "audio_setting": dict(self.format.audio_setting),
        }
        fields |= {field.provider_name: value for field, value in manner if not field.in_voice_setting}
        if self.stream:
            fields["stream_options"] = {"exclude_aggregated_audio": True}
        if self.mix:
            fields["timbre_weights"] = [{"voice_id": it.voice_id, "weight": it.weight} for it in self.mix]
        return fields


def read_speech_request(document: Mapping[str, Any], models: Mapping[str, str], input_chars_max: int) -> SpeechRequest:
    """Read a checked JSON body. A field that is null counts as left out; fields that are not known are ignored.

    `models` is public name to provider's name. Raises GatewayError: NOT_A_TTS_MODEL, VOICE_REQUIRED, INPUT_TOO_LONG
    (over `input_chars_max` code points), VOICE_NOT_FOUND (an id with characters that no id has), otherwise
    INVALID_REQUEST with what to change.
    """
    model = document.get("model")
    if not isinstance(model, str) or model not in models:
        raise GatewayError(ErrorCode.NOT_A_TTS_MODEL, f"`model` must be one of: {', '.join(sorted(models))}.")
    text = spoken_text(document, input_chars_max)
    mix = _mix(document)
    voice_id = _voice_id(document)
    if not voice_id and not mix:
        raise GatewayError(ErrorCode.VOICE_REQUIRED, "Name a voice in `voice_id` (or `voice`).")
    if voice_id and mix:
        raise _invalid("Give either one voice or `timbre_weights`, not both.")
    stream = _stream(document)
    manner = read_fields(document, models[model])
    return SpeechRequest(models[model], text, voice_id, mix, _format(document, stream), manner, stream)


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)


def _voice_id(document: Mapping[str, Any]) -> str:
    """The one voice that is named, wherever it stands; empty if none is."""
    named = set()
    for place, voice_id in _named_voices(document):
        if voice_id is not None and not isinstance(voice_id, str):
            raise _invalid(f"`{place}` must be a string.")
        if voice_id:
            named.add(_checked_id(place, voice_id))
    if len(named) > 1:
        raise _invalid("The request names more than one voice; name one, in `voice_id`.")
    return named.pop() if named else ""


def _named_voices(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "voice_id", document.get("voice_id")
    voice = document.get("voice")
    if isinstance(voice, Mapping):
        yield "voice.id", voice.get("id")
        yield "voice.voice_id", voice.get("voice_id")
    else:
        yield "voice", voice
    setting = document.get("voice_setting")
    if isinstance(setting, Mapping):
        yield "voice_setting.voice_id", setting.get("voice_id")
    elif setting is not None:
        raise _invalid("`voice_setting` must be an object.")


def _checked_id(place: str, voice_id: str) -> str:
    """The id, byte for byte: ids of system voices contain spaces and brackets."""
    if len(voice_id) > VOICE_ID_CHARS_MAX:
        raise _invalid(f"`{place}` has over {VOICE_ID_CHARS_MAX} characters.")
    if not voice_id.isprintable():
        raise no_such_voice()
    return voice_id


def _mix(document: Mapping[str, Any]) -> tuple[WeightedVoice, ...]:
    """The voices to mix, under either spelling of the field."""
    given = [document[name] for name in ("timbre_weights", "timber_weights") if document.get(name) is not None]
    if not given:
        return ()
    if len(given) == 2 and given[0] != given[1]:
        raise _invalid("`timbre_weights` and `timber_weights` are the same field and say different things.")
    if not isinstance(given[0], list) or len(given[0]) > VOICES_MIXED_MAX:
        raise _invalid(f"`timbre_weights` must be a list of at most {VOICES_MIXED_MAX} voices.")
    return tuple(map(_weighted_voice, given[0]))


def _weighted_voice(item: object) -> WeightedVoice:
    place = "timbre_weights[].voice_id"
    voice_id = item.get("voice_id") if isinstance(item, Mapping) else None
    weight = item.get("weight") if isinstance(item, Mapping) else None
    if not isinstance(voice_id, str) or not voice_id:
        raise _invalid(f"`{place}` must be a string.")
    if isinstance(weight, float) and weight.is_integer():
        weight = int(weight)  # JSON knows no difference between 50.0 and 50
    if not isinstance(weight, int) or isinstance(weight, bool) or not 1 <= weight <= WEIGHT_MAX:
        raise _invalid(f"`timbre_weights[].weight` must be an integer from 1 to {WEIGHT_MAX}.")
    return WeightedVoice(_checked_id(place, voice_id), weight)


def _stream(document: Mapping[str, Any]) -> bool:
    stream = document.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _invalid("`stream` must be true or false.")
    if document.get("stream_format") not in (None, "audio"):
        raise _invalid("`stream_format` must be audio: what is streamed is the plain audio.")
    return bool(stream)


def _format(document: Mapping[str, Any], stream: bool) -> AudioFormat:
    name, setting = document.get("response_format"), document.get("audio_setting")
    if name is not None and setting is not None:
        raise _invalid("Give either `response_format` or `audio_setting`, not both.")
    if setting is not None:
        found = _provider_format(setting)
    else:
        known = FORMATS.get(DEFAULT_FORMAT if name is None else name) if isinstance(name, str | None) else None
        if known is None:
            raise _invalid(f"`response_format` must be one of: {', '.join(FORMATS)}.")
        found = known
    if stream and not found.streams:
        streamed = ", ".join(name for name, each in FORMATS.items() if each.streams)
        raise _invalid(f"This `response_format` cannot be streamed; with `stream` it must be one of: {streamed}.")
    return found


def _provider_format(setting: object) -> AudioFormat:
    """The format in the provider's own words."""
    if not isinstance(setting, Mapping):
        raise _invalid("`audio_setting` must be an object.")
    try:
        return format_of_setting(setting)
    except ValueError as error:
        raise _invalid(f"`audio_setting.{error}") from error
