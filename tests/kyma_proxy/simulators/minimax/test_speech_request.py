from typing import Any

import pytest

from kyma_proxy.simulators.minimax.replies import RefusalError
from kyma_proxy.simulators.minimax.speech_request import AudioSetting, read_speech_request

VOICE = {"voice_id": "English_Graceful_Lady"}


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "speech-2.8-turbo", "text": "Platform four.", "voice_setting": VOICE} | fields


def refusal(fields: Any) -> str:
    with pytest.raises(RefusalError) as refused:
        read_speech_request(fields)
    assert refused.value.code == 2013
    return refused.value.message.removeprefix("invalid params, ")


def test_what_is_not_said_is_the_documented_default() -> None:
    request = read_speech_request(asked())

    assert request.audio == AudioSetting("mp3", 32000, 128000, 1)
    assert (request.stream, request.excludes_aggregate, request.as_url, request.speed) == (False, False, False, 1)
    assert request.voice_ids == ("English_Graceful_Lady",)


@pytest.mark.parametrize("model", [None, "", 7, "speech-02", "minimax-speech-hd"])
def test_an_unknown_model_is_named(model) -> None:
    assert refusal(asked(model=model)) == f"method t2a-v2 not have model: {model or ''}"


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "empty field"), ("", "empty field"), (" \n", "empty field"), (7, "text"), ("a" * 10_000, "text too long")],
)
def test_the_text_is_there_and_not_too_long(text, message) -> None:
    assert refusal(asked(text=text)) == message
    assert read_speech_request(asked(text="a" * 9_999)).text


def test_a_body_that_is_no_object_has_no_fields() -> None:
    assert refusal(None) == "empty field"


def test_a_tenth_of_the_text_may_be_invisible() -> None:
    assert read_speech_request(asked(text="123456789\u200b")).invisible_ratio == 0.1
    with pytest.raises(RefusalError) as refused:
        read_speech_request(asked(text="12345678\u200b\x00"))
    assert refused.value.code == 1042


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("speed", (0.49, 2.01, "1", True), (0.5, 2, 1.25)),
        ("vol", (0, 10.1, "1"), (0.1, 10)),
        ("pitch", (-13, 13, 0.5), (-12, 12)),
        ("emotion", ("neutral", "fluent", 1), ("happy", "calm", None)),
        ("text_normalization", ("yes", 1), (True, None)),
    ],
)
def test_the_voice_setting_is_within_its_ranges(name, bad, good) -> None:
    for value in bad:
        assert name in refusal(asked(voice_setting=VOICE | {name: value}))
    for value in good:
        read_speech_request(asked(voice_setting=VOICE | {name: value}))


def test_some_emotions_belong_to_one_model() -> None:
    setting = VOICE | {"emotion": "whisper"}
    assert refusal(asked(voice_setting=setting)) == "voice_setting emotion"
    read_speech_request(asked(voice_setting=setting, model="speech-2.6-hd"))


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("format", ("aac", "ogg", 1), ("mp3", "pcm", "flac", "wav", "pcmu_raw", "pcmu_wav", "opus")),
        ("sample_rate", (48000, "24000", 1), (8000, 16000, 22050, 24000, 32000, 44100)),
        ("bitrate", (192000, 128), (32000, 64000, 128000, 256000)),
        ("channel", (0, 3, True), (1, 2)),
        ("force_cbr", ("no",), (True, False)),
    ],
)
def test_the_audio_setting_is_of_its_enums(name, bad, good) -> None:
    for value in bad:
        assert refusal(asked(audio_setting={name: value})) == name
    for value in good:
        read_speech_request(asked(audio_setting={name: value}))


def test_opus_has_rates_of_its_own() -> None:
    assert read_speech_request(asked(audio_setting={"format": "opus", "sample_rate": 48000})).audio.rate_hz == 48000
    assert refusal(asked(audio_setting={"format": "opus", "sample_rate": 44100})) == "sample_rate"


@pytest.mark.parametrize("form", ["wav", "flac", "pcmu_raw", "pcmu_wav", "opus"])
def test_only_mp3_and_pcm_are_streamed(form) -> None:
    assert refusal(asked(stream=True, audio_setting={"format": form})) == "audio_setting format"
    for streamed in ("mp3", "pcm"):
        assert read_speech_request(asked(stream=True, audio_setting={"format": streamed})).stream


def test_a_link_is_for_whole_replies() -> None:
    assert read_speech_request(asked(output_format="url")).as_url
    assert not read_speech_request(asked(output_format="url", stream=True)).as_url
    assert refusal(asked(output_format="base64")) == "output_format"


@pytest.mark.parametrize("voice_id", [None, "", 7, ["x"], "v" * 257, "a\nb", "a\0"])
def test_a_voice_id_that_is_none(voice_id) -> None:
    assert refusal(asked(voice_setting={"voice_id": voice_id})) == "voice id wrong"


def test_a_voice_is_needed() -> None:
    assert refusal(asked(voice_setting=None)) == "voice id wrong"
    assert refusal(asked(voice_setting="English_Graceful_Lady")) == "voice_setting"


@pytest.mark.parametrize("name", ["timbre_weights", "timber_weights"])
def test_up_to_four_voices_are_mixed_in_the_place_of_one(name) -> None:
    weights = [{"voice_id": f"voice-{number}", "weight": 25} for number in range(5)]
    mixed = asked(voice_setting={"voice_id": ""}, **{name: weights[:4]})
    assert read_speech_request(mixed).voice_ids == ("voice-0", "voice-1", "voice-2", "voice-3")
    assert refusal(asked(voice_setting={"voice_id": ""}, **{name: weights})) == "timbre_weights"
    assert refusal(asked(**{name: weights[:1]})) == "timbre_weights"
    for weight in (0, 101, 1.5, None, True):
        with pytest.raises(RefusalError):
            read_speech_request(asked(voice_setting={}, **{name: [{"voice_id": "voice-0", "weight": weight}]}))
    assert refusal(asked(voice_setting={}, **{name: ["voice-0"]})) == "timbre_weights"
    assert refusal(asked(voice_setting={}, **{name: [{"weight": 1}]})) == "voice id wrong"


def test_effects_are_for_some_formats() -> None:
    effect = {"pitch": 100, "sound_effects": "robotic"}
    for form in ("mp3", "wav", "flac"):
        read_speech_request(asked(voice_modify=effect, audio_setting={"format": form}))
    for form, stream in (("pcm", False), ("opus", False), ("pcm", True)):
        said = refusal(asked(voice_modify=effect, audio_setting={"format": form}, stream=stream))
        assert said == "voice_modify"
    assert refusal(asked(voice_modify={"pitch": 101})) == "pitch"
    assert refusal(asked(voice_modify={"sound_effects": "echo"})) == "sound_effects"


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("stream", "true"),
        ("stream_options", []),
        ("language_boost", 1),
        ("subtitle_type", "word_streaming"),
        ("subtitle_enable", 1),
        ("pronunciation_dict", {"tone": ["omg"]}),
        ("aigc_watermark", "no"),
    ],
)
def test_other_fields_have_their_types(name, bad) -> None:
    assert name in refusal(asked(**{name: bad}))


def test_a_lenient_reader_finds_voices_elsewhere() -> None:
    odd = {"Model": "speech-02-hd", "TEXT": "Hello", "Voice_Setting": {"Voice_ID": "a-1"}}
    assert read_speech_request(odd, lenient_names=True).voice_ids == ("a-1",)
    at_top = {"model": "speech-02-hd", "text": "Hello", "voice_id": "b-1"}
    assert read_speech_request(at_top, lenient_names=True).voice_ids == ("b-1",)
    assert refusal(at_top) == "voice id wrong"
