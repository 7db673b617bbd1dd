"""How something is to be said: the public fields, the provider's, and which values go through.

Source: the provider's documents of t2a_v2, and the public API. What cannot be honoured is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kyma_proxy.errors import ErrorCode, GatewayError

SPEED_MIN, SPEED_MAX = 0.5, 2.0
VOLUME_MAX: Final = 10
PITCH_MAX: Final = 12

EMOTIONS: Final = ("happy", "sad", "angry", "fearful", "disgusted", "surprised", "calm")
EMOTIONS_OF_26: Final = ("fluent", "whisper")
"""Of the models speech-2.6 alone."""
LANGUAGES: Final = (
    "auto",
    *("Chinese", "Chinese,Yue", "English", "Arabic", "Russian", "Spanish", "French", "Portuguese", "German", "Turkish"),
    *("Dutch", "Ukrainian", "Vietnamese", "Indonesian", "Japanese", "Italian", "Korean", "Thai", "Polish", "Romanian"),
    *("Greek", "Czech", "Finnish", "Hindi", "Bulgarian", "Danish", "Hebrew", "Malay", "Slovak", "Swedish", "Croatian"),
    *("Hungarian", "Norwegian", "Slovenian", "Catalan", "Nynorsk", "Afrikaans"),
)
LANGUAGES_SINCE_25: Final = ("Persian", "Filipino", "Tamil")
"""Not of the models speech-01 and speech-02."""
NO_MEANING_HERE: Final = ("stability", "similarity_boost", "style", "use_speaker_boost")
"""Of `voice_settings`: what the voices of another provider have."""


@dataclass(frozen=True, slots=True)
class Place:
    """One of the places where a field may stand: at the top, or inside an object; `name` as clients see it."""

    name: str
    within: str | None = None

    @property
    def path(self) -> str:
        """As messages and documents name it."""
        return self.name if self.within is None else f"{self.within}.{self.name}"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the provider: where a request may say it, and what it may be; in words, and as a check."""

    provider_name: str
    places: tuple[Place, ...]
    words: str
    fits: Callable[[Any, str], bool]
    """Whether a value that is not null may go to a model (the provider's name)."""
    in_voice_setting: bool = True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_speed(value: Any, _model: str) -> bool:
    return _is_number(value) and SPEED_MIN <= value <= SPEED_MAX


def _is_volume(value: Any, _model: str) -> bool:
    return _is_number(value) and 0 < value <= VOLUME_MAX


def _is_pitch(value: Any, _model: str) -> bool:
    return _is_number(value) and float(value).is_integer() and -PITCH_MAX <= value <= PITCH_MAX


def _is_emotion(value: Any, model: str) -> bool:
    return value in EMOTIONS or (value in EMOTIONS_OF_26 and model.startswith("speech-2.6"))


def _is_language(value: Any, model: str) -> bool:
    return value in LANGUAGES or (value in LANGUAGES_SINCE_25 and not model.startswith(("speech-01", "speech-02")))


FIELDS: Final = (
    Field(
        "speed",
        (Place("speed"), Place("speed", "voice_setting"), Place("speed", "voice_settings")),
        f"a number from {SPEED_MIN:g} to {SPEED_MAX:g}",
        _is_speed,
    ),
    Field(
        "vol",
        (Place("volume"), Place("vol"), Place("vol", "voice_setting")),
        f"a number above 0, at most {VOLUME_MAX}",
        _is_volume,
    ),
    Field(
        "pitch",
        (Place("pitch"), Place("pitch", "voice_setting")),
        f"a whole number from {-PITCH_MAX} to {PITCH_MAX}",
        _is_pitch,
    ),
    Field(
        "emotion",
        (Place("emotion"), Place("emotion", "voice_setting")),
        f"one of {', '.join(EMOTIONS)}; with the models speech-2.6 also {' and '.join(EMOTIONS_OF_26)}",
        _is_emotion,
    ),
    Field(
        "language_boost",
        (Place("language_boost"),),
        f"one of {'; '.join(LANGUAGES)}; with models after speech-02 also {', '.join(LANGUAGES_SINCE_25)}",
        _is_language,
        in_voice_setting=False,
    ),
)
"""Every field but those of the voice, the text, the format and the model."""


def read_fields(document: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """What a checked JSON body says of these fields, under the provider's names; `model` is the provider's.

    A value that is null counts as left out. Raises GatewayError INVALID_REQUEST for a value that cannot be honoured,
    and for one field that says two things.
    """
    _refuse_what_has_no_meaning(document)
    values: dict[str, Any] = {}
    for field in FIELDS:
        given = [(place, value) for place in field.places if (value := _value(document, place)) is not None]
        for place, value in given:
            if isinstance(value, dict | list) or not field.fits(value, model):
                raise _invalid(f"`{place.path}` must be {field.words}.")
        if any(value != given[0][1] for _, value in given):
            raise _invalid(
                f"`{given[0][0].path}` and `{given[1][0].path}` are the same field and say different things."
            )
        if given:
            value = given[0][1]
            values[field.provider_name] = int(value) if field.provider_name == "pitch" else value
    return values


def _refuse_what_has_no_meaning(document: Mapping[str, Any]) -> None:
    settings = document.get("voice_settings")
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        raise _invalid("`voice_settings` must be an object.")
    for name in NO_MEANING_HERE:
        if settings.get(name) is not None:
            raise _invalid(f"`voice_settings.{name}` means nothing to the voices of this model. Leave it out.")


def _value(document: Mapping[str, Any], place: Place) -> Any:
    if place.within is None:
        return document.get(place.name)
    outer = document.get(place.within)
    return outer.get(place.name) if isinstance(outer, Mapping) else None


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
