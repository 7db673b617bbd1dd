"""Voices and their recordings, speech with all its quirks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.simulators.minimax import Behaviour, MiniMaxSimulator
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.minimax.upstream import MiniMaxUpstream
from kyma_proxy.voices.provider import MakesVoices, ProviderError, Recording, StoredUpload, VoiceDesign, VoiceProvider

RECORDING = Recording(bytearray(b"RIFF" + bytes(1000)), "wav")
VOICE = "kyma_0123456789abcdef"
FILE = 318207745120993412
SPOKEN = {"data": {"audio": "494433", "status": 2, "ced": ""}, "extra_info": {"usage_characters": 27}}


def account_of(upstream: MiniMaxUpstream) -> VoiceProvider:
    return upstream.voice_accounts.choose()


@pytest.fixture
async def make(settings: Any) -> AsyncIterator[Callable[..., Awaitable[tuple[MiniMaxUpstream, Tasks]]]]:
    opened: list[tuple[MiniMaxUpstream, Tasks]] = []

    async def start(base_url: str, **more: Any) -> tuple[MiniMaxUpstream, Tasks]:
        tasks = Tasks()
        upstream = MiniMaxUpstream("minimax", settings(base_url, **more), tasks)
        opened.append((upstream, tasks))
        await upstream.start()
        return upstream, tasks

    yield start
    for upstream, tasks in opened:
        await tasks.drain(5)
        await upstream.stop()


def paths(provider: Any) -> list[str]:
    return [path for path, _ in provider.calls]


async def failure(call: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call
    return caught.value


async def test_a_clone_uploads_under_the_voice_id_and_deletes_the_upload(make: Any, provider: Any) -> None:
    upstream, tasks = await make(provider.base_url, provider_account="team-a")
    assert isinstance(upstream, MakesVoices)
    assert (upstream.name, account_of(upstream).provider_account) == ("minimax", "team-a")
    await account_of(upstream).clone_voice(VOICE, RECORDING)
    assert await tasks.drain(5)
    assert paths(provider) == ["/v1/files/upload", "/v1/voice_clone", "/v1/files/delete"]
    assert f'filename="{VOICE}.wav"'.encode() in provider.calls[0][1]
    assert provider.json_of("/v1/voice_clone") == [{"file_id": FILE, "voice_id": VOICE}]
    assert provider.json_of("/v1/files/delete") == [{"file_id": FILE, "purpose": "voice_clone"}]


@pytest.mark.parametrize(
    ("more", "longest"),
    [
        ({}, 300),
        ({"clone_timeout_seconds": 400}, 400),
        ({"longest_clone_seconds": 90, "clone_timeout_seconds": 60}, 90),
    ],
)
async def test_how_long_the_provider_may_still_make_a_voice(more: dict[str, float], longest: float, make: Any) -> None:
    upstream, _ = await make("http://127.0.0.1:1", **more)
    assert account_of(upstream).longest_clone_seconds == longest


async def test_what_a_lost_answer_left_is_listed_and_deleted(make: Any, provider: Any) -> None:
    provider.answers["/v1/files/list"] = {"files": [{"file_id": FILE, "filename": f"{VOICE}.m4a"}]}
    upstream, _ = await make(provider.base_url)
    assert list(await account_of(upstream).list_uploads()) == [StoredUpload(FILE, VOICE)]
    await account_of(upstream).delete_upload(FILE)
    assert provider.json_of("/v1/files/delete") == [{"file_id": FILE, "purpose": "voice_clone"}]
    provider.answers["/v1/files/delete"] = {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}
    assert (await failure(account_of(upstream).delete_upload(FILE))).code == 1004


async def test_deleting_a_voice(make: Any, provider: Any) -> None:
    upstream, _ = await make(provider.base_url)
    await account_of(upstream).delete_voice(VOICE, "clone")
    provider.answers["/v1/delete_voice"] = {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}
    assert (await failure(account_of(upstream).delete_voice(VOICE, "clone"))).code == 1004
    assert provider.json_of("/v1/delete_voice")[0] == {"voice_type": "voice_cloning", "voice_id": VOICE}


async def test_speech_is_spoken_from_the_checked_document(make: Any, provider: Any, wire: Any) -> None:
    provider.answers["/v1/t2a_v2"] = {"data": {"audio": "494433", "status": 2}}
    upstream, _ = await make(provider.base_url, models={"minimax-speech-hd": "speech-02-hd"}, max_input_chars=5)
    flow = wire.flow("POST", "/v1/audio/speech")
    flow.document = {"model": "minimax-speech-hd", "input": "Hello", "voice": "v"}
    reply = await upstream.send(flow)
    assert (reply.status, reply.headers["Content-Type"], reply.body) == (200, "audio/mpeg", b"ID3")
    (sent,) = provider.json_of("/v1/t2a_v2")
    assert (sent["model"], sent["text"], sent["voice_setting"]) == ("speech-02-hd", "Hello", {"voice_id": "v"})
    flow.document = {**flow.document, "input": "Hello!"}
    with pytest.raises(GatewayError) as caught:
        await upstream.send(flow)
    assert caught.value.code is ErrorCode.INPUT_TOO_LONG
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("POST", "/v1/audio/speech", None),
        ("GET", "/v1/audio/speech", {"input": "x"}),
        ("POST", "/v1/audio/voices", {"input": "x"}),
    ],
)
async def test_nothing_else_is_served_to_clients(
    method: str, path: str, document: dict[str, str] | None, make: Any, provider: Any, wire: Any
) -> None:
    upstream, _ = await make(provider.base_url, models={"minimax-speech-hd": "speech-02-hd"})
    flow = wire.flow(method, path)
    flow.document = document
    with pytest.raises(GatewayError) as caught:
        await upstream.send(flow)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert provider.calls == []


# The habits that speech at this provider was seen to have, one by one.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1000, ErrorCode.PROVIDER_ERROR),
        (1001, ErrorCode.UPSTREAM_TIMEOUT),
        (1002, ErrorCode.RATE_LIMITED),
        (1008, ErrorCode.PROVIDER_ERROR),
        (1026, ErrorCode.CONTENT_POLICY),
        (2013, ErrorCode.INVALID_REQUEST),
        (2054, ErrorCode.VOICE_NOT_FOUND),
    ],
)
async def test_quirk_01_a_failure_stands_under_http_200(
    code: int, expected: ErrorCode, stream: bool, speak: Any, provider: Any, spoken: Any
) -> None:
    provider.answers["/v1/t2a_v2"] = {"base_resp": {"status_code": code, "status_msg": "secret words"}}
    error = await spoken.failure(speak(provider.base_url, stream=stream))
    assert error.code is expected
    assert "secret" not in error.message


async def test_quirk_02_audio_beside_a_failure_is_not_used(speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers["/v1/t2a_v2"] = {**SPOKEN, "base_resp": {"status_code": 1027, "status_msg": ""}}
    assert (await spoken.failure(speak(provider.base_url))).code is ErrorCode.CONTENT_POLICY
    piece = spoken.piece(b"ID3", base_resp={"status_code": 1027, "status_msg": ""})
    provider.answers["/v1/t2a_v2"] = spoken.streaming(piece, spoken.closing())
    assert (await spoken.failure(speak(provider.base_url, stream=True))).code is ErrorCode.CONTENT_POLICY


async def test_quirk_03_a_stream_is_rejected_in_json(speak: Any, provider: Any, spoken: Any) -> None:
    body = b'{"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded(RPM)"}}'
    assert len(body) == 74
    provider.answers["/v1/t2a_v2"] = spoken.raw(b"200 OK", b"application/json", body)
    error = await spoken.failure(speak(provider.base_url, stream=True))
    assert (error.code, error.should_retry) == (ErrorCode.RATE_LIMITED, True)
    assert int(error.headers["Retry-After"]) > 0


async def test_quirk_04_a_stream_is_rejected_in_one_event(speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers["/v1/t2a_v2"] = spoken.streaming(spoken.refusal(2054, "voice id not exist"))
    assert (await spoken.failure(speak(provider.base_url, stream=True))).code is ErrorCode.VOICE_NOT_FOUND


@pytest.mark.parametrize("with_audio", [False, True])
async def test_quirk_05_a_failure_in_the_middle_breaks_off(
    with_audio: bool, speak: Any, provider: Any, spoken: Any
) -> None:
    bad = spoken.refusal(1000, data={"audio": "ffff", "status": 1}) if with_audio else spoken.refusal(1000, data=None)
    provider.answers["/v1/t2a_v2"] = spoken.streaming(spoken.piece(b"ID3"), bad, spoken.closing(), pause_seconds=0.01)
    audio, error = await spoken.play(await speak(provider.base_url, stream=True))
    assert audio == b"ID3"
    assert error is not None
    assert error.code is ErrorCode.PROVIDER_ERROR


async def test_quirk_05_a_failure_in_the_closing_event_breaks_off(speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers["/v1/t2a_v2"] = spoken.streaming(
        spoken.piece(b"ID3"), spoken.closing(code=1000), pause_seconds=0.01
    )
    audio, error = await spoken.play(await speak(provider.base_url, stream=True))
    assert (audio, error is not None) == (b"ID3", True)


@pytest.mark.parametrize("repeated", [b"ID3\xff\xf3", b"ID3 in other bytes"])
async def test_quirk_06_and_07_the_repeated_audio_is_left_out(
    repeated: bytes, speak: Any, provider: Any, spoken: Any
) -> None:
    chunks = (spoken.piece(b"ID3"), spoken.piece(b"\xff\xf3"), spoken.closing(repeated))
    provider.answers["/v1/t2a_v2"] = spoken.streaming(*chunks)
    assert await spoken.play(await speak(provider.base_url, stream=True)) == (b"ID3\xff\xf3", None)


async def test_quirk_08_lines_of_megabytes(speak: Any, provider: Any, spoken: Any) -> None:
    megabyte = bytes(range(256)) * 4096
    provider.answers["/v1/t2a_v2"] = spoken.streaming(
        spoken.piece(megabyte), spoken.piece(b"."), spoken.closing(4 * megabyte)
    )
    audio, error = await spoken.play(await speak(provider.base_url, stream=True))
    assert (audio == megabyte + b".", error) == (True, None)


async def test_quirk_08_but_not_of_any_length(
    speak: Any, provider: Any, spoken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kyma_proxy.upstreams.minimax.speech_stream.EVENT_BYTES_MAX", 100_000)
    provider.answers["/v1/t2a_v2"] = spoken.streaming(
        spoken.piece(b"ID3"), spoken.piece(bytes(60_000)), spoken.closing()
    )
    audio, error = await spoken.play(await speak(provider.base_url, stream=True))
    assert (audio, error is not None) == (b"ID3", True)


async def test_quirk_09_good_events_in_all_their_shapes(speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers["/v1/t2a_v2"] = spoken.streaming(
        spoken.event(data={"audio": "49", "status": 1}),
        spoken.event(data={"audio": "44", "status": 1}, base_resp=None),
        spoken.piece(b"3", trace_id="another"),
        spoken.closing(),
    )
    assert await spoken.play(await speak(provider.base_url, stream=True)) == (b"ID3", None)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_quirk_10_edges_anywhere_and_no_done(size: int, speak: Any, provider: Any, spoken: Any) -> None:
    whole = spoken.piece(b"ID3", note="\u2603") + spoken.piece(b"\xff\xf3") + spoken.closing()
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    provider.answers["/v1/t2a_v2"] = spoken.streaming(*chunks)
    assert await spoken.play(await speak(provider.base_url, stream=True)) == (b"ID3\xff\xf3", None)


@pytest.mark.parametrize("fields", [{"data": None}, {"data": {}}, {"data": {"audio": "", "status": 2}}, {}])
async def test_quirk_11_no_data_is_no_success(fields: dict[str, Any], speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers["/v1/t2a_v2"] = fields
    assert (await spoken.failure(speak(provider.base_url))).code is ErrorCode.PROVIDER_ERROR


async def test_quirk_11_frames_without_data_keep_a_stream_alive(speak: Any, provider: Any, spoken: Any) -> None:
    alive = spoken.event(data=None, base_resp={"status_code": 0, "status_msg": ""})
    provider.answers["/v1/t2a_v2"] = spoken.streaming(alive, spoken.piece(b"ID3"), alive, spoken.closing())
    assert await spoken.play(await speak(provider.base_url, stream=True)) == (b"ID3", None)


@pytest.mark.parametrize("audio", ["https://cdn.test/speech.mp3?sig=1", "494", "49 44", "4944zz", 7, ["494433"]])
async def test_quirk_12_and_13_what_is_not_whole_hex_is_not_guessed_at(
    audio: Any, speak: Any, provider: Any, spoken: Any
) -> None:
    provider.answers["/v1/t2a_v2"] = {"data": {"audio": audio, "status": 2}}
    assert (await spoken.failure(speak(provider.base_url))).code is ErrorCode.PROVIDER_ERROR
    bad = spoken.event(data={"audio": audio, "status": 1}, base_resp={"status_code": 0})
    provider.answers["/v1/t2a_v2"] = spoken.streaming(spoken.piece(b"ID3"), bad, spoken.closing(), pause_seconds=0.01)
    sound, error = await spoken.play(await speak(provider.base_url, stream=True))
    assert (sound, error is not None) == (b"ID3", True)


async def test_quirk_14_an_end_without_the_closing_event_breaks_off(speak: Any, provider: Any, spoken: Any) -> None:
    provider.answers["/v1/t2a_v2"] = spoken.streaming(spoken.piece(b"ID3"))
    audio, error = await spoken.play(await speak(provider.base_url, stream=True))
    assert audio == b"ID3"
    assert error is not None
    assert (error.code, error.should_retry) == (ErrorCode.PROVIDER_ERROR, False)


@pytest.mark.parametrize("status", [b"200 OK", b"429 Too Many Requests"])
async def test_quirk_28_a_used_up_plan_is_ours_and_nobody_hears_of_it(
    status: bytes, speak: Any, provider: Any, spoken: Any
) -> None:
    words = "usage limit reached (59/60 used), resets at 2026-11-23T00:00:00Z"
    body = json.dumps({"base_resp": {"status_code": 2056, "status_msg": words}}).encode()
    provider.answers["/v1/t2a_v2"] = spoken.raw(status, b"application/json", body)
    with capture_logs() as logs:
        error = await spoken.failure(speak(provider.base_url))
    assert (error.code, error.should_retry, error.headers) == (ErrorCode.PROVIDER_ERROR, False, {})
    assert not set("0123456789") & set(error.message)
    assert [(line["event"], line["log_level"]) for line in logs] == [("provider_operator_fault", "error")]


async def test_quirk_31_a_legacy_field_is_no_error(speak: Any, provider: Any) -> None:
    provider.answers["/v1/t2a_v2"] = {"data": {"audio": "494433", "status": 2, "ced": "an old word"}}
    assert (await speak(provider.base_url)).body == b"ID3"


@pytest.mark.parametrize("habit", ["asked", "own"])
async def test_a_voice_is_designed_and_deleted(make: Any, habit: Any) -> None:
    async with MiniMaxSimulator(behaviour=Behaviour(design_ids=habit)) as simulator:
        upstream, _ = await make(simulator.base_url, api_key=simulator.api_key)
        made = await account_of(upstream).design_voice(VOICE, VoiceDesign("Calm.", "Hello."))
        assert (made == VOICE) is (habit == "asked")
        (call,) = [call for call in simulator.calls if call.path == "/v1/voice_design"]
        assert call.json == {"prompt": "Calm.", "preview_text": "Hello.", "voice_id": VOICE}
        await account_of(upstream).delete_voice(made, "design")
        assert made not in simulator.voices
