"""From the public shape to the provider's, and every request that is refused instead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.upstreams.minimax.formats import FORMATS
from kyma_proxy.upstreams.minimax.speech_fields import FIELDS
from kyma_proxy.upstreams.minimax.speech_request import read_speech_request

MODELS = {"minimax-speech-hd": "speech-02-hd", "minimax-speech-turbo": "speech-02-turbo"}
PLAIN = {"model": "minimax-speech-hd", "input": "Platform four.", "voice_id": "English_Graceful_Lady"}


def read(**changes: Any) -> dict[str, Any]:
    """The provider's body for PLAIN with these changes; a field set to `...` is left out."""
    document = {name: value for name, value in {**PLAIN, **changes}.items() if value is not ...}
    return read_speech_request(document, MODELS, 5000).provider_fields()


def refusal(**changes: Any) -> ErrorCode:
    with pytest.raises(GatewayError) as caught:
        read(**changes)
    assert caught.value.message.endswith(".")
    return caught.value.code


def test_the_least_that_can_be_asked_for() -> None:
    assert read() == {
        "model": "speech-02-hd",
        "text": "Platform four.",
        "stream": False,
        "output_format": "hex",
        "voice_setting": {"voice_id": "English_Graceful_Lady"},
        "audio_setting": {"format": "mp3", "sample_rate": 44100, "bitrate": 128000, "channel": 1},
    }


def test_a_stream_asks_not_to_repeat_the_audio_at_its_end() -> None:
    fields = read(stream=True)
    assert fields["stream"] is True
    assert fields["stream_options"] == {"exclude_aggregated_audio": True}


@pytest.mark.parametrize(
    "model", [..., None, 7, "", "eleven-v3", "minimax-music", "speech-02-hd", ["minimax-speech-hd"]]
)
def test_a_model_that_is_not_listed_does_not_speak(model: Any) -> None:
    assert refusal(model=model) is ErrorCode.NOT_A_TTS_MODEL


@pytest.mark.parametrize(
    "changes",
    [
        {"input": ...},
        {"input": None},
        {"input": ""},
        {"input": " \n\t\u3000"},
        {"input": 7},
        {"input": ["a"]},
        {"input": {"text": "a"}},
        {"text": "Another."},
        {"text": 7},
    ],
)
def test_a_text_that_cannot_be_spoken(changes: dict[str, Any]) -> None:
    assert refusal(**changes) is ErrorCode.INVALID_REQUEST


def test_text_is_another_name_of_input() -> None:
    assert read(input=..., text="Hello")["text"] == "Hello"
    assert read(text=PLAIN["input"]) == read()
    assert read(text=None) == read()


def test_the_text_is_counted_in_code_points_and_goes_on_unchanged() -> None:
    longest = " " + "𝄞" * 4998 + "\n"
    assert read(input=longest)["text"] == longest
    assert refusal(input=longest + "x") is ErrorCode.INPUT_TOO_LONG


@pytest.mark.parametrize(
    "voice",
    [
        {"voice_id": "v"},
        {"voice": "v"},
        {"voice": {"id": "v"}},
        {"voice": {"voice_id": "v"}},
        {"voice_setting": {"voice_id": "v"}},
        {"voice_id": "v", "voice": "v", "voice_setting": {"voice_id": "v"}},
        {"voice_id": "", "voice": "v", "voice_setting": {}},
        {"voice_id": None, "voice": {"id": "v", "name": "w"}},
    ],
)
def test_the_places_where_one_voice_may_stand(voice: dict[str, Any]) -> None:
    assert read(**{"voice_id": ..., **voice})["voice_setting"]["voice_id"] == "v"


@pytest.mark.parametrize("voice_id", ["Chinese (Mandarin)_Lyrical_Voice", " trailing ", "（全角）", "v" * 256])
def test_a_voice_id_goes_on_byte_for_byte(voice_id: str) -> None:
    assert read(voice_id=voice_id)["voice_setting"]["voice_id"] == voice_id


@pytest.mark.parametrize("voice", [{}, {"voice_id": ""}, {"voice": None}, {"voice": {}}, {"timbre_weights": []}])
def test_no_voice(voice: dict[str, Any]) -> None:
    assert refusal(**{"voice_id": ..., **voice}) is ErrorCode.VOICE_REQUIRED


@pytest.mark.parametrize(
    "voice",
    [
        {"voice": "w"},
        {"voice": {"id": "w"}},
        {"voice": {"id": PLAIN["voice_id"], "voice_id": "w"}},
        {"voice_setting": {"voice_id": "w"}},
        {"voice_id": 7},
        {"voice": 7},
        {"voice": ["v"]},
        {"voice": {"id": 7}},
        {"voice": {"id": {"id": "v"}}},
        {"voice_setting": "v"},
        {"voice_setting": {"voice_id": ["v"]}},
        {"voice_id": "v" * 257},
        {"timbre_weights": [{"voice_id": "w", "weight": 1}]},
    ],
)
def test_voices_that_are_ambiguous_or_no_voices(voice: dict[str, Any]) -> None:
    assert refusal(**voice) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("name", ["timbre_weights", "timber_weights"])
def test_voices_can_be_mixed(name: str) -> None:
    mix = [{"voice_id": f"v{weight}", "weight": weight} for weight in (1, 50.0, 99, 100)]
    fields = read(**{"voice_id": ..., name: mix, "voice_setting": {"voice_id": ""}})
    assert fields["timbre_weights"] == mix
    assert fields["voice_setting"] == {"voice_id": ""}
    assert "timber_weights" not in fields
    assert "extra" not in str(read(**{"voice_id": ..., name: [{**mix[0], "extra": 1}]}))


@pytest.mark.parametrize(
    "mix",
    [
        "v",
        {"voice_id": "v", "weight": 1},
        ["v"],
        [{"voice_id": "v"}],
        [{"weight": 1}],
        [{"voice_id": "", "weight": 1}],
        [{"voice_id": 7, "weight": 1}],
        [{"voice_id": "v" * 257, "weight": 1}],
        *([{"voice_id": "v", "weight": weight}] for weight in (0, 101, -1, 1.5, "1", True, None)),
        [{"voice_id": f"v{number}", "weight": 1} for number in range(5)],
    ],
)
def test_a_mix_that_cannot_be_honoured(mix: Any) -> None:
    assert refusal(voice_id=..., timbre_weights=mix) is ErrorCode.INVALID_REQUEST


def test_both_spellings_of_a_mix_must_agree() -> None:
    mix = [{"voice_id": "v", "weight": 1}]
    assert read(voice_id=..., timbre_weights=mix, timber_weights=mix)["timbre_weights"] == mix
    other = [{"voice_id": "w", "weight": 1}]
    assert refusal(voice_id=..., timbre_weights=mix, timber_weights=other) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_asked_for_as_the_table_says(name: str) -> None:
    assert read(response_format=name)["audio_setting"] == dict(FORMATS[name].audio_setting)
    if FORMATS[name].streams:
        assert read(response_format=name, stream=True)["audio_setting"] == dict(FORMATS[name].audio_setting)
    else:
        assert refusal(response_format=name, stream=True) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("name", ["aac", "mp3_44100_192", "MP3", "", "ogg", 7, ["mp3"], {"type": "mp3"}])
def test_a_format_that_nobody_makes(name: Any) -> None:
    assert refusal(response_format=name) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("speed", [0.5, 1, 1.25, 2, 2.0])
def test_a_speed_goes_into_the_voice_setting(speed: float) -> None:
    assert read(speed=speed)["voice_setting"]["speed"] == speed


@pytest.mark.parametrize("speed", [0.49, 2.01, 0, -1, 4, 10**400, "1", True, [1]])
def test_a_speed_that_cannot_be_honoured(speed: Any) -> None:
    assert refusal(speed=speed) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("stream", ["true", 1, 0, "", []])
def test_stream_is_true_or_false(stream: Any) -> None:
    assert refusal(stream=stream) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("stream_format", ["sse", "other", 7, []])
def test_only_plain_audio_is_streamed(stream_format: Any) -> None:
    assert refusal(stream_format=stream_format) is ErrorCode.INVALID_REQUEST
    assert read(stream_format="audio") == read()


def test_null_counts_as_left_out() -> None:
    left_out = (
        "text",
        "voice",
        "voice_setting",
        "timbre_weights",
        "response_format",
        *(place.name for field in FIELDS for place in field.places),
        "audio_setting",
        "voice_settings",
        "stream",
        "stream_format",
    )
    assert read(**dict.fromkeys(left_out)) == read()


KNOWN = {"model", "input", "text", "voice", "voice_id", "voice_setting", "timbre_weights", "timber_weights"}
KNOWN |= {"id", "response_format", "audio_setting", "voice_settings", "stream", "stream_format"}
KNOWN |= {place.name for field in FIELDS for place in field.places}
OTHER_NAMES = st.sampled_from(["metadata", "extra_body", "group_id", "Voice_Setting", "output_format"]) | st.text(
    max_size=8
).filter(lambda name: name not in KNOWN)
VALUES = st.recursive(
    st.sampled_from(["kyma_ffffffffffffffff", "url", 7, None, True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(OTHER_NAMES, VALUES))
def test_nothing_that_is_not_known_goes_on(unknown: dict[str, Any]) -> None:
    assert read(**unknown) == read()
    assert read(voice_setting={"voice_id": PLAIN["voice_id"], **unknown}) == read()
    assert read(voice_id=..., voice={"id": PLAIN["voice_id"], **unknown}) == read()


@pytest.mark.parametrize("char", ["\x00", "\n", "\x1b", "\x7f", "\u200b", "\u202e", "\ud800"])
def test_a_voice_id_with_what_cannot_be_printed_is_no_voice(char: str) -> None:
    for changes in (
        {"voice_id": f"v{char}"},
        {"voice_id": ..., "voice": {"id": char}},
        {"voice_id": ..., "timbre_weights": [{"voice_id": f"{char}v", "weight": 1}]},
    ):
        assert refusal(**changes) is ErrorCode.VOICE_NOT_FOUND


def bound(**changes: Any) -> int:
    return read_speech_request({**PLAIN, **changes}, MODELS, 9999).answer_bytes_max()


def test_a_whole_answer_may_be_as_long_as_the_speech_that_was_asked_for() -> None:
    # Chinese at half the speed is about half a second a character; hexadecimal takes two bytes for each one.
    assert bound(input="\u56db" * 5000, response_format="wav", speed=0.5) > 2 * 5000 * 0.5 * 48_000
    assert bound(input="\u56db" * 5000, response_format="pcm_44100", speed=0.5) > 2 * 5000 * 0.5 * 88_200
    assert bound(input="a<#99.99#>b" * 3, response_format="wav") > 2 * 3 * 99.99 * 48_000
    assert bound(input="a", response_format="mp3_22050_32") < 2 * 1024 * 1024
    assert bound(input="a" * 9999, response_format="pcm_44100", speed=0.5) == 512 * 1024 * 1024
    assert bound(speed=0.5) > bound() == bound(speed=1) > bound(speed=2)
