"""`POST /v1/audio/speech` over real sockets, with either setting of handler cancellation."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
import pytest
from mutagen.mp3 import MP3

from e2e_kit.world import SPEECH_PATH, Answer
from kyma_api_key_auth.plugin import ApiKeyAuth
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Database
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.plugin import Proceed
from kyma_proxy.simulators.minimax import Behaviour, Call, Fault
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.voices import ownership, registry

SYSTEM_VOICE = "English_Graceful_Lady"
T2A = "/v1/t2a_v2"
TEXT = "Mind the gap between the train and the platform. " * 4
LEAVING_SECONDS = 1.0


@pytest.fixture(params=[False, True], ids=["production", "cancelling"])
async def world(request: pytest.FixtureRequest, make_world: Callable[..., Awaitable[Any]]) -> Any:
    return await make_world(handler_cancellation=request.param)


def body(**fields: Any) -> bytes:
    asked = {"model": "minimax-speech-turbo", "input": TEXT, "voice": SYSTEM_VOICE} | fields
    return json.dumps(asked, ensure_ascii=False).encode()


def asking(world: Any, *, api_key: str | None = None, **fields: Any) -> Any:
    """The request as a context manager, for answers that are read piece by piece."""
    headers = {"Authorization": f"Bearer {api_key or world.api_key}", "Content-Type": "application/json"}
    return world.http.post(world.base_url + SPEECH_PATH, data=body(**fields), headers=headers)


async def speak(world: Any, **fields: Any) -> Answer:
    async with asking(world, **fields) as response:
        return Answer(response.status, response.headers, await response.read())


def spoken(world: Any) -> Call:
    """The one call for speech that the provider heard."""
    (call,) = [call for call in world.minimax.calls if call.path == T2A]
    return call


def sha256(audio: bytes) -> str:
    return hashlib.sha256(audio).hexdigest()


async def another_account(world: Any) -> str:
    opened = await world.application.database.transact(lambda connection: open_account(connection, "Eve", 0, "test"))
    return str(opened.api_key)


async def cloned(world: Any) -> str:
    return str((await world.clone(sample_recording())).fields["voice_id"])


async def left_within(call: Call, seconds: float) -> None:
    """Fails unless the provider saw its caller hang up in time."""
    async with asyncio.timeout(seconds):
        while call.progress.client_left_at is None:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("response_format", "content_type"),
    [
        (None, "audio/mpeg"),
        ("mp3", "audio/mpeg"),
        ("mp3_22050_32", "audio/mpeg"),
        ("wav", "audio/wav"),
        ("flac", "audio/flac"),
        ("opus", "audio/ogg"),
        ("pcm", "audio/pcm"),
        ("pcm_16000", "audio/pcm"),
        ("ulaw_8000", "audio/basic"),
    ],
)
async def test_speech_is_what_the_provider_spoke(world: Any, response_format: str | None, content_type: str) -> None:
    answer = await speak(world, response_format=response_format)

    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type), answer.body
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 0
    assert sha256(answer.body) == spoken(world).progress.audio_sha256
    assert not world.origin.calls


async def test_an_mp3_plays_for_as_long_as_the_text_takes(world: Any) -> None:
    answer = await speak(world)

    info = MP3(io.BytesIO(answer.body)).info
    assert (info.sample_rate, info.bitrate) == (44100, pytest.approx(128000, rel=0.01))
    assert info.length == pytest.approx(len(TEXT) / 15, abs=0.1)


@pytest.mark.parametrize("response_format", ["mp3", "pcm"])
@pytest.mark.parametrize("split_bytes", [None, 97])
async def test_a_stream_is_what_the_provider_spoke(world: Any, response_format: str, split_bytes: int | None) -> None:
    world.minimax.inject(Fault(path=T2A, split_bytes=split_bytes, null_data=True, bare_chunks=True))

    answer = await speak(world, stream=True, response_format=response_format)

    assert (answer.status, "Content-Length" in answer.headers) == (200, False)
    progress = spoken(world).progress
    assert (sha256(answer.body), len(answer.body)) == (progress.audio_sha256, progress.audio_bytes)


async def test_the_closing_repetition_of_everything_is_not_sent(world: Any) -> None:
    world.minimax.inject(Fault(path=T2A, ignore_exclusion=True))

    answer = await speak(world, stream=True)

    assert spoken(world).json["stream_options"] == {"exclude_aggregated_audio": True}
    assert sha256(answer.body) == spoken(world).progress.audio_sha256


async def test_the_first_byte_leaves_long_before_the_last_is_spoken(world: Any) -> None:
    world.minimax.behaviour = Behaviour(stream_chunk_seconds=0.05)

    async with asking(world, stream=True) as response:
        first = await response.content.readany()
        events_at_first_byte = spoken(world).progress.events
        rest = await response.read()

    progress = spoken(world).progress
    assert events_at_first_byte < 3 < progress.events
    assert sha256(first + rest) == progress.audio_sha256


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_first_byte_ends_the_call(world: Any, stream: bool) -> None:
    world.minimax.inject(Fault(path=T2A, slow_first_byte_seconds=30))
    waiting = asyncio.get_running_loop().create_task(speak(world, stream=stream))
    call = await world.minimax.wait_for_call(T2A)
    await asyncio.sleep(0.05)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    await left_within(call, LEAVING_SECONDS)


@pytest.mark.parametrize("stall_seconds", [0.02, 30])
async def test_a_client_that_leaves_a_stream_ends_the_call(world: Any, stall_seconds: float) -> None:
    world.minimax.inject(Fault(path=T2A, chunk_stall_seconds=stall_seconds))
    async with asking(world, stream=True) as response:
        await response.content.readany()
        response.close()

    await left_within(spoken(world), LEAVING_SECONDS)

    assert not spoken(world).progress.complete
    assert (await speak(world, input="Hi.")).status == 200


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"truncate_at": 3}, id="ends without its closing event"),
        pytest.param({"reset_at": 3}, id="reset"),
        pytest.param({"error_code": 1027, "error_after_chunks": 3}, id="error"),
        pytest.param({"error_code": 1027, "error_after_chunks": 3, "placeholder_audio": True}, id="error with audio"),
        pytest.param({"error_code": 1024, "error_as": "closing"}, id="error at the close"),
        pytest.param(
            {"error_code": 1024, "error_as": "closing", "placeholder_audio": True}, id="error with audio at the close"
        ),
        pytest.param({"bad_hex": "odd"}, id="a digit short"),
        pytest.param({"bad_hex": "tail"}, id="no hex"),
    ],
)
async def test_a_stream_that_breaks_off_never_ends_cleanly(world: Any, fault: dict[str, Any]) -> None:
    # Slow enough that the first audio is on its way before the fault is.
    world.minimax.inject(Fault(path=T2A, chunk_stall_seconds=0.02, **fault))
    received = bytearray()

    async def receive() -> None:
        async with asking(world, stream=True, input="Hello. " * 30) as response:
            assert response.status == 200
            async for piece in response.content.iter_any():
                received.extend(piece)

    with pytest.raises(aiohttp.ClientError):
        await receive()

    assert received.startswith(b"ID3")
    assert len(received) <= spoken(world).progress.audio_bytes


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"error_code": 1027}, 400, "content_policy"),
        ({"error_code": 1027, "error_as": "sse"}, 400, "content_policy"),
        ({"error_code": 1027, "error_as": "sse", "placeholder_audio": True}, 400, "content_policy"),
        ({"error_code": 1002, "placeholder_audio": True}, 429, "rate_limited"),
        ({"error_code": 1002, "error_as": "sse"}, 429, "rate_limited"),
        ({"error_code": 1001}, 504, "upstream_timeout"),
        ({"error_code": 1004}, 502, "provider_error"),
        ({"error_code": 1008, "error_as": "sse"}, 502, "provider_error"),
        ({"error_code": 2042}, 404, "voice_not_found"),
        ({"http_status": 502}, 502, "provider_error"),
        ({"reset": True}, 502, "provider_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_any_audio_is_a_proper_answer(
    world: Any, fault: dict[str, Any], status: int, code: str, stream: bool
) -> None:
    world.minimax.inject(Fault(path=T2A, **fault))

    answer = await speak(world, stream=stream)

    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["x-should-retry"] == ("true" if status == 429 else "false")
    assert ("Retry-After" in answer.headers) == (status == 429)
    assert "MiniMax" not in answer.body.decode()
    assert len([call for call in world.minimax.calls if call.path == T2A]) == 1


@pytest.mark.parametrize("fault", [{"null_data": True}, {"bad_hex": "odd"}, {"bad_hex": "tail"}, {"url_audio": True}])
async def test_unusable_audio_is_never_sent(world: Any, fault: dict[str, Any]) -> None:
    world.minimax.inject(Fault(path=T2A, **fault))

    answer = await speak(world)

    assert (answer.status, answer.code) == (502, "provider_error")


@pytest.mark.parametrize("count", [0, 1])
async def test_a_stream_that_ends_before_any_audio_is_a_proper_answer(world: Any, count: int) -> None:
    world.minimax.inject(Fault(path=T2A, truncate_at=0) if not count else Fault(path=T2A, reset_at=0))

    answer = await speak(world, stream=True)

    assert (answer.status, answer.code) == (502, "provider_error")


async def test_an_unknown_voice_is_not_found_whatever_the_provider_calls_it(world: Any) -> None:
    world.minimax.behaviour = Behaviour(inaccessible_voice_ids=["somebody-1"])

    answers = [await speak(world, voice=voice) for voice in ("nobody-1", "somebody-1", "a\nb")]

    assert [(each.status, each.code) for each in answers] == [(404, "voice_not_found")] * 3
    assert len({each.body for each in answers}) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_one_speaks_with_ones_own_voice(world: Any, stream: bool) -> None:
    voice = await cloned(world)

    answer = await speak(world, voice=voice, stream=stream)

    assert answer.status == 200
    assert sha256(answer.body) == spoken(world).progress.audio_sha256
    assert spoken(world).json["voice_setting"]["voice_id"] == voice
    assert world.minimax.voices[voice].active


@pytest.mark.parametrize("model", ["minimax-speech-turbo", "eleven-v3"])
async def test_what_was_asked_before_is_spoken_without_a_round_trip_to_the_database(
    make_world: Callable[..., Awaitable[Any]], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(ownership, "UNLISTED_SECONDS", 60.0)  # however slow the machine is
    world = await make_world()
    trips: list[str] = []
    of_request = ContextVar("of_request", default=False)  # what a request spawns inherits it, upkeep does not
    handle = ApiKeyAuth.handle

    async def noting(outermost: ApiKeyAuth, flow: Flow, proceed: Proceed) -> Reply:
        of_request.set(True)
        return await handle(outermost, flow, proceed)

    def counted(name: str) -> Any:
        asked = getattr(Database, name)

        async def ask(database: Database, *args: Any, **options: Any) -> Any:
            if of_request.get():
                trips.append(name)
            return await asked(database, *args, **options)

        return ask

    voice = await cloned(world)
    monkeypatch.setattr(ApiKeyAuth, "handle", noting)
    for name in ("transact", "borrow", "fetch", "fetchrow", "fetchval", "execute", "write", "write_all"):
        monkeypatch.setattr(Database, name, counted(name))
    for _ in range(2):
        assert (await speak(world, voice=voice, model=model)).status == 200
    assert trips, "the first of them had to ask"
    trips.clear()
    for _ in range(5):
        assert (await speak(world, voice=voice, model=model)).status == 200
    assert trips == []


@pytest.mark.parametrize("model", ["minimax-speech-hd", "eleven-v3", None])
async def test_another_account_does_not(world: Any, model: str | None) -> None:
    voice = await cloned(world)
    api_key = await another_account(world)

    answer = await speak(world, api_key=api_key, voice=voice, model=model)

    assert (answer.status, answer.code) == (403, "voice_not_owned")
    assert not world.origin.calls
    assert T2A not in [call.path for call in world.minimax.calls]
    assert not world.minimax.voices[voice].active


async def test_with_a_revoked_voice_nobody_speaks_and_all_are_told_the_same(world: Any) -> None:
    voice = await cloned(world)
    foreign = await speak(world, api_key=await another_account(world), voice=voice)
    assert (await speak(world, voice=voice)).status == 200

    await world.application.database.transact(lambda connection: registry.revoke(connection, voice))

    async with asyncio.timeout(2):
        while (answer := await speak(world, voice=voice)).status != 403:
            await asyncio.sleep(0.02)
    assert answer.code == "voice_not_owned"
    assert answer.body == foreign.body


async def test_a_voice_that_is_still_being_made_cannot_be_used(world: Any) -> None:
    world.minimax.behaviour = Behaviour(clone_seconds=1.0)
    making = asyncio.get_running_loop().create_task(world.clone(sample_recording()))
    call = await world.minimax.wait_for_call("/v1/voice_clone")

    answer = await speak(world, voice=call.json["voice_id"])

    assert (answer.status, answer.code) == (403, "voice_not_owned")
    assert (await making).status == 200
    assert (await speak(world, voice=call.json["voice_id"])).status == 200


async def test_speech_needs_a_key_whoever_serves_it(world: Any) -> None:
    for model in ("minimax-speech-hd", "eleven-v3"):
        answer = await world.request("POST", SPEECH_PATH, data=body(model=model))
        assert (answer.status, answer.code) == (401, "auth_error")
    assert not world.origin.calls
    assert not world.minimax.calls


async def test_a_model_of_nobody_else_is_refused(world: Any) -> None:
    answer = await speak(world, model="minimax-speech-ultra")

    assert (answer.status, answer.code) == (400, "not_a_tts_model")
    assert not world.minimax.calls


async def test_other_models_are_forwarded_byte_for_byte(world: Any) -> None:
    sent = b'{ "model":"eleven-v3",\n"input": "caf\\u00e9 \xc3\xa9",  "voice_id":"Rachel", "x": [1e2, -0.0] }\n'
    headers = {"Authorization": f"Bearer {world.api_key}", "Content-Type": "application/json; charset=utf-8"}

    answer = await world.request("POST", f"{SPEECH_PATH}?a=1&b", data=sent, headers=headers)

    assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/mpeg")
    (call,) = world.origin.calls
    assert (call.target, call.body_bytes, call.body_sha256) == (f"{SPEECH_PATH}?a=1&b", len(sent), sha256(sent))
    assert dict(call.headers)["Authorization"] == f"Bearer {world.api_key}"
    assert (answer.headers["X-Kyma-Model"], answer.headers["X-Kyma-Chars-Billed"]) == ("eleven-v3", "6")
    assert len(answer.body) == call.reply_bytes
    assert not world.minimax.calls


async def test_a_provider_that_says_nothing_is_given_up(make_world: Callable[..., Awaitable[Any]]) -> None:
    world = await make_world(minimax_extra="timeouts: {first_byte_seconds: 0.3, idle_seconds: 0.3}")
    world.minimax.inject(Fault(path=T2A, slow_first_byte_seconds=30, times=2))
    for stream in (False, True):
        started = time.monotonic()
        answer = await speak(world, stream=stream)
        assert (answer.status, answer.code) == (504, "upstream_timeout")
        assert time.monotonic() - started < 2


async def test_a_provider_that_falls_silent_in_the_middle_is_given_up(
    make_world: Callable[..., Awaitable[Any]],
) -> None:
    world = await make_world(minimax_extra="timeouts: {idle_seconds: 0.3}")
    world.minimax.inject(Fault(path=T2A, chunk_stall_seconds=30))

    with pytest.raises(aiohttp.ClientError):
        await speak(world, stream=True)

    await left_within(spoken(world), LEAVING_SECONDS)


async def test_a_provider_that_is_away_is_an_answer(world: Any) -> None:
    await world.minimax.stop()

    answer = await speak(world)

    assert (answer.status, answer.code, answer.headers["x-should-retry"]) == (502, "provider_error", "true")
