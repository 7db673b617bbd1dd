"""Every field from every place where it may stand, to the provider's place; nothing else goes through."""

from __future__ import annotations

from typing import Any

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.upstreams.minimax.speech_fields import FIELDS, LANGUAGES, NO_MEANING_HERE, Place, read_fields
from kyma_proxy.upstreams.minimax.speech_request import read_speech_request

MODELS = {"old": "speech-02-hd", "26": "speech-2.6-turbo", "28": "speech-2.8-hd"}
GOOD: dict[str, Any] = {"speed": 1.5, "vol": 2.5, "pitch": -3, "emotion": "sad", "language_boost": "English"}
OTHER: dict[str, Any] = {"speed": 1.0, "vol": 1, "pitch": 3, "emotion": "calm", "language_boost": "auto"}


def at(place: Place, value: Any) -> dict[str, Any]:
    return {place.name: value} if place.within is None else {place.within: {place.name: value}}


def body(model: str = "old", **fields: Any) -> dict[str, object]:
    document = {"model": model, "input": "Hello.", "voice_id": "kyma_1", **fields}
    return read_speech_request(document, MODELS, 5000).provider_fields()


def refusal(**fields: Any) -> str:
    with pytest.raises(GatewayError) as caught:
        body(**fields)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    return caught.value.message


PLACES = [(field.provider_name, place) for field in FIELDS for place in field.places]


@pytest.mark.parametrize(("name", "place"), PLACES, ids=lambda value: getattr(value, "path", value))
def test_each_place_becomes_the_providers(name: str, place: Place) -> None:
    sent = body(**at(place, GOOD[name]))
    if name == "language_boost":
        assert sent["language_boost"] == GOOD[name]
        assert sent["voice_setting"] == {"voice_id": "kyma_1"}
    else:
        assert sent["voice_setting"] == {"voice_id": "kyma_1", name: GOOD[name]}
        assert "language_boost" not in sent


@pytest.mark.parametrize(("name", "place"), PLACES, ids=lambda value: getattr(value, "path", value))
def test_null_counts_as_left_out(name: str, place: Place) -> None:
    assert body(**at(place, None)) == body()


@pytest.mark.parametrize(
    "field", [each for each in FIELDS if len(each.places) > 1], ids=lambda each: each.provider_name
)
def test_two_places_must_agree(field: Any) -> None:
    first, second = field.places[0], field.places[-1]
    name = field.provider_name
    assert body(**at(first, GOOD[name]), **at(second, GOOD[name])) == body(**at(first, GOOD[name]))
    assert "say different things" in refusal(**at(first, GOOD[name]), **at(second, OTHER[name]))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("speed", [0.49, 2.01, "1", True, [1], {}, ""]),
        ("volume", [0, -1, 10.1, "5", False, []]),
        ("pitch", [13, -13, 0.5, "1", True, 1e300]),
        ("emotion", ["neutral", "Happy", "fluent", "whisper", "", 1, ["sad"], {}]),
        ("language_boost", ["Klingon", "english", "Persian", "Tamil", "", 1, ["English"], {}]),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(name: str, wrong: list[Any]) -> None:
    for value in wrong:
        assert f"`{name}` must be" in refusal(**{name: value})


def test_what_only_later_models_have_goes_to_those() -> None:
    assert body("26", emotion="whisper")["voice_setting"] == {"voice_id": "kyma_1", "emotion": "whisper"}
    assert "emotion" in refusal(model="28", emotion="whisper")
    assert body("28", language_boost="Tamil")["language_boost"] == "Tamil"
    for language in LANGUAGES:
        assert body(language_boost=language)["language_boost"] == language


def test_a_pitch_is_a_whole_number_however_it_is_written() -> None:
    sent = read_fields({"pitch": 2.0}, "speech-02-hd")["pitch"]
    assert (sent, type(sent)) == (2, int)


@pytest.mark.parametrize("name", NO_MEANING_HERE)
def test_what_means_nothing_to_these_voices_is_said(name: str) -> None:
    assert name in refusal(voice_settings={name: 0.5})
    assert body(voice_settings={name: None}) == body()


@pytest.mark.parametrize("settings", [1, "x", [], True])
def test_settings_that_are_none(settings: Any) -> None:
    assert "voice_settings" in refusal(voice_settings=settings)


def test_everything_at_once() -> None:
    sent = body(speed=1.5, volume=2.5, pitch=-3, emotion="sad", language_boost="English", response_format="wav")
    assert sent["voice_setting"] == {"voice_id": "kyma_1", "speed": 1.5, "vol": 2.5, "pitch": -3, "emotion": "sad"}
    assert sent["language_boost"] == "English"
