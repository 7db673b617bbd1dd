import asyncio

import pytest

from kyma_proxy.simulators.minimax import Behaviour

VOICE = "gw3f9a1c2b7e4d5566"


def code(said: dict) -> int:
    return said["base_resp"]["status_code"]


@pytest.fixture
async def source(caller, wav) -> int:
    return await caller.file_id(wav(12), "ref.wav")


async def test_a_clone_with_preview_answers_as_documented(caller, simulator, literal, source) -> None:
    request = literal("voice_clone.request.json") | {"file_id": source}

    said, documented = await caller.post("/v1/voice_clone", **request), literal("voice_clone.reply.json")

    assert said.keys() == documented.keys()
    assert said["extra_info"].keys() == documented["extra_info"].keys()
    assert said["extra_info"]["audio_length"] == documented["extra_info"]["audio_length"]
    assert said["extra_info"]["usage_characters"] == documented["extra_info"]["usage_characters"]
    assert said["base_resp"] == documented["base_resp"]
    assert not simulator.voices[VOICE].active


async def test_a_plain_clone_does_not_repeat_the_id(caller, simulator, source) -> None:
    said = await caller.clone(VOICE, source)

    assert said == {
        "input_sensitive": False,
        "input_sensitive_type": 0,
        "demo_audio": "",
        "base_resp": {"status_code": 0, "status_msg": "success"},
    }
    assert list(simulator.voices) == [VOICE]


@pytest.mark.parametrize("name", ["speech-12s.mp3", "speech-12s.m4a", "speech-12s-fragmented.m4a", "speech-12s.wav"])
async def test_all_three_formats_clone(caller, fixture_bytes, name) -> None:
    assert code(await caller.clone(VOICE, await caller.file_id(fixture_bytes(name), name))) == 0


@pytest.mark.parametrize(
    ("voice_id", "message"),
    [
        ("", "voice id wrong"),
        (None, "voice id wrong"),
        (7, "voice id wrong"),
        ("1voice-01", "voice_id first character"),
        ("évoice-01", "voice_id first character"),
        ("voice-1", "voice id wrong"),
        ("voice-01-", "voice id wrong"),
        ("voice-01_", "voice id wrong"),
        ("voice 01x", "voice id wrong"),
        ("voice-01\n", "voice id wrong"),
        ("v" * 257, "voice id wrong"),
    ],
)
async def test_a_bad_voice_id_is_refused(caller, simulator, source, voice_id, message) -> None:
    said = await caller.clone(voice_id, source)

    assert said["base_resp"] == {"status_code": 2013, "status_msg": f"invalid params, {message}"}
    assert not simulator.voices


@pytest.mark.parametrize("voice_id", ["voice-01", "v" * 256, "kyma_0123456789abcdef", "onlyletters"])
async def test_a_good_voice_id_is_taken(caller, source, voice_id) -> None:
    assert code(await caller.clone(voice_id, source)) == 0


async def test_the_older_rule_wants_a_digit(caller, simulator, source) -> None:
    simulator.behaviour = Behaviour(require_digit_in_voice_id=True)

    assert code(await caller.clone("onlyletters", source)) == 2013
    assert code(await caller.clone("letters1", source)) == 0


@pytest.mark.parametrize("filename", ["ref", "ref.ogg", "ref.wav.flac", "ref.aac", "wav"])
async def test_the_file_name_decides_the_format_when_cloning(caller, wav, filename) -> None:
    said = await caller.clone(VOICE, await caller.file_id(wav(12), filename))

    assert said["base_resp"]["status_msg"] == "invalid params, invalid file ext for voice clone"


async def test_a_right_name_lets_another_of_the_formats_pass(caller, wav) -> None:
    assert code(await caller.clone(VOICE, await caller.file_id(wav(12), "REF.MP3"))) == 0


@pytest.mark.parametrize(("seconds", "expected"), [(9.99, 2037), (10, 0), (300, 0), (300.01, 2037)])
async def test_the_duration_is_checked_when_cloning(caller, wav, seconds, expected) -> None:
    assert code(await caller.clone(VOICE, await caller.file_id(wav(seconds), "ref.wav"))) == expected


async def test_an_unreadable_sample_is_an_unknown_error_with_the_usual_fields(caller, fixture_bytes) -> None:
    said = await caller.clone(VOICE, await caller.file_id(fixture_bytes("tone-12s.ogg"), "tone.mp3"))

    assert code(said) == 1000
    assert said["demo_audio"] == ""
    assert said["input_sensitive"] is False


async def test_a_duplicate_id_is_refused(caller, source) -> None:
    await caller.clone(VOICE, source)

    assert code(await caller.clone(VOICE, source)) == 2039


async def test_the_file_must_be_there_for_this_purpose(caller, wav) -> None:
    prompt = await caller.file_id(wav(12), "ref.wav", "prompt_audio")

    assert code(await caller.clone(VOICE, 318207745120993412)) == 20132
    assert code(await caller.clone(VOICE, prompt)) == 20132


@pytest.mark.parametrize("file_id", [None, "318207745120993412", 1.5, True])
async def test_the_file_id_must_be_an_integer(caller, file_id) -> None:
    assert code(await caller.clone(VOICE, file_id)) == 2013


async def test_a_preview_needs_a_known_model_and_a_short_text(caller, source) -> None:
    assert code(await caller.clone(VOICE, source, text="Hello.")) == 2013
    unknown = await caller.clone(VOICE, source, text="Hello.", model="speech-9")
    assert unknown["base_resp"]["status_msg"] == "invalid params, method t2a-v2 not have model: speech-9"
    long = await caller.clone(VOICE, source, text="x" * 1001, model="speech-2.8-hd")
    assert long["base_resp"]["status_msg"] == "invalid params, text too long"


@pytest.mark.parametrize(
    "option", [{"need_noise_reduction": "yes"}, {"text_validation": "x" * 201}, {"accuracy": 1.5}, {"accuracy": True}]
)
async def test_options_out_of_range_are_refused(caller, source, option) -> None:
    assert code(await caller.clone(VOICE, source, **option)) == 2013


async def test_a_prompt_is_checked_like_a_source_but_shorter(caller, wav, source) -> None:
    async def clone_with(seconds: float, text: object = "As read.") -> int:
        prompt = await caller.file_id(wav(seconds), "prompt.wav", "prompt_audio")
        return code(await caller.clone(VOICE, source, clone_prompt={"prompt_audio": prompt, "prompt_text": text}))

    assert await clone_with(4) == 2037
    assert await clone_with(9) == 2048
    assert await clone_with(6, "no full stop") == 2013
    assert await clone_with(6, "") == 2013
    assert await clone_with(6) == 0


async def test_some_accounts_must_give_a_prompt(caller, simulator, source) -> None:
    simulator.behaviour = Behaviour(require_prompt_audio=True)

    said = await caller.clone(VOICE, source)

    assert said["base_resp"]["status_msg"] == "invalid params, prompt_audio or audio_url is required"


@pytest.mark.parametrize("prompt", ["text", {"prompt_audio": 5, "prompt_text": ""}, {"prompt_text": "Only this."}])
async def test_half_a_prompt_is_refused(caller, source, prompt) -> None:
    assert code(await caller.clone(VOICE, source, clone_prompt=prompt)) == 2013


async def test_a_body_that_is_no_object(caller) -> None:
    for body in (b"", b"{", b"[]", b"[" * 100_000):
        async with caller.session.post("/v1/voice_clone", data=body) as reply:
            assert code(await reply.json()) == 2013


async def test_a_slow_clone_outlives_a_delete_and_holds_its_id(caller, simulator, source) -> None:
    simulator.behaviour = Behaviour(clone_seconds=0.3)
    slow = asyncio.create_task(caller.clone(VOICE, source))
    await simulator.wait_for_call("/v1/voice_clone")

    assert code(await caller.post("/v1/delete_voice", voice_type="voice_cloning", voice_id=VOICE)) == 2013
    assert code(await caller.clone(VOICE, source)) == 2039
    assert code(await slow) == 0
    assert VOICE in simulator.voices


async def test_a_clone_ends_though_its_caller_left(caller, simulator, source) -> None:
    simulator.behaviour = Behaviour(clone_seconds=0.2)
    leaving = asyncio.create_task(caller.clone(VOICE, source))
    await simulator.wait_for_call("/v1/voice_clone")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert VOICE not in simulator.voices
    for _ in range(200):
        if VOICE in simulator.voices:
            break
        await asyncio.sleep(0.01)
    assert VOICE in simulator.voices
