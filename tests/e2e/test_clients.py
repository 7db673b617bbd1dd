"""The clients that callers have already: they change nothing but the base URL."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from kyma_ai import Kyma
from mutagen.mp3 import MP3

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.simulators.minimax import Behaviour, Fault
from kyma_proxy.simulators.origin.faults import Fault as OriginFault
from kyma_proxy.simulators.sample import sample_recording

T2A = "/v1/t2a_v2"
SYSTEM_VOICE = "English_Graceful_Lady"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
SPEECH: dict[str, Any] = {"model": "minimax-speech-turbo", "voice": SYSTEM_VOICE, "input": "Hello from Kyma. " * 5}


class Impatient(openai.AsyncOpenAI):
    """The official client, but it only notes how long it would wait before a retry."""

    waits_seconds: list[float]

    def _calculate_retry_timeout(self, *arguments: Any, **options: Any) -> float:
        self.waits_seconds.append(super()._calculate_retry_timeout(*arguments, **options))
        return 0.01


@pytest.fixture
async def sdk(world: Any) -> AsyncIterator[Impatient]:
    async with Impatient(api_key=world.api_key, base_url=f"{world.base_url}/v1") as client:
        client.waits_seconds = []
        yield client


def provider_calls(world: Any) -> list[Any]:
    return [call for call in world.minimax.calls if call.path == T2A]


def sha256(audio: bytes) -> str:
    return hashlib.sha256(audio).hexdigest()


@pytest.mark.parametrize(
    ("response_format", "start"), [("mp3", b"\xff\xfb"), ("wav", b"RIFF"), ("flac", b"fLaC"), ("opus", b"OggS")]
)
async def test_the_openai_sdk_speaks(world: Any, sdk: Impatient, response_format: Any, start: bytes) -> None:
    answer = await sdk.audio.speech.create(**SPEECH, response_format=response_format, speed=1.25)

    assert answer.content.startswith(start)
    (call,) = provider_calls(world)
    assert sha256(answer.content) == call.progress.audio_sha256
    assert call.json["voice_setting"] == {"voice_id": SYSTEM_VOICE, "speed": 1.25}


async def test_the_openai_sdk_takes_a_voice_as_an_object(world: Any, sdk: Impatient) -> None:
    voice_id = (await world.clone(sample_recording())).fields["voice_id"]

    await sdk.audio.speech.create(**(SPEECH | {"voice": {"id": voice_id}}))

    assert provider_calls(world)[0].json["voice_setting"]["voice_id"] == voice_id


async def test_the_openai_sdk_gets_a_stream_while_it_is_spoken(world: Any, sdk: Impatient) -> None:
    world.minimax.behaviour = Behaviour(stream_chunk_seconds=0.05)
    streaming = sdk.audio.speech.with_streaming_response
    heard = bytearray()
    events_at_first_byte = None

    async with streaming.create(**SPEECH, extra_body={"stream": True}) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        async for piece in response.iter_bytes():
            (call,) = provider_calls(world)
            events_at_first_byte = events_at_first_byte or call.progress.events
            heard += piece

    assert events_at_first_byte is not None
    assert events_at_first_byte < 3 < call.progress.events
    assert sha256(heard) == call.progress.audio_sha256


async def test_leaving_the_sdk_s_stream_ends_the_provider_s_work(world: Any, sdk: Impatient) -> None:
    world.minimax.inject(Fault(path=T2A, chunk_stall_seconds=30))

    async with sdk.audio.speech.with_streaming_response.create(**SPEECH, extra_body={"stream": True}) as response:
        await anext(response.iter_bytes())

    (call,) = provider_calls(world)
    async with asyncio.timeout(1):
        while call.progress.client_left_at is None:
            await asyncio.sleep(0.01)


async def test_a_stream_that_broke_off_is_an_error_for_the_sdk(world: Any, sdk: Impatient) -> None:
    world.minimax.inject(Fault(path=T2A, truncate_at=2, chunk_stall_seconds=0.02))
    streaming = sdk.audio.speech.with_streaming_response

    async def listen() -> bytes:
        async with streaming.create(**SPEECH, extra_body={"stream": True}) as response:
            return b"".join([piece async for piece in response.iter_bytes()])

    with pytest.raises(httpx2.TransportError):
        await listen()


async def test_the_openai_sdk_transcribes_at_the_origin(world: Any, sdk: Impatient) -> None:
    recording = sample_recording()

    said = await sdk.audio.transcriptions.create(
        model="transcribe", file=("me.mp3", recording, "audio/mpeg"), response_format="json"
    )

    assert said.text
    (call,) = world.origin.calls
    assert (call.path, call.reply_status, sorted(call.form_fields)) == (
        TRANSCRIPTIONS,
        200,
        ["file", "model", "response_format"],
    )
    assert call.body_bytes > len(recording)
    assert dict(call.headers)["authorization"] == f"Bearer {world.api_key}"
    assert sdk.waits_seconds == []


async def test_a_throttled_call_is_retried_after_the_announced_time(world: Any, sdk: Impatient) -> None:
    world.minimax.inject(Fault(path=T2A, error_code=1002, times=2))

    answer = await sdk.audio.speech.create(**SPEECH)

    assert MP3(io.BytesIO(answer.content)).info.length > 5
    assert len(provider_calls(world)) == 3
    assert sdk.waits_seconds == [5.0, 5.0]


async def test_a_call_that_stays_throttled_is_given_up_after_two_retries(world: Any, sdk: Impatient) -> None:
    world.minimax.inject(Fault(path=T2A, error_code=1039, times=None))

    with pytest.raises(openai.RateLimitError) as refused:
        await sdk.audio.speech.create(**SPEECH)

    assert (refused.value.code, refused.value.type) == ("rate_limited", "rate_limit")
    assert len(provider_calls(world)) == 3


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"error_code": 1000}, 502, "provider_error"),
        ({"error_code": 1008}, 502, "provider_error"),
        ({"error_code": 1001}, 504, "upstream_timeout"),
        ({"http_status": 503}, 502, "provider_error"),
        ({"reset": True, "moment": "after"}, 502, "provider_error"),
    ],
)
async def test_a_failure_that_may_have_cost_something_is_not_retried(
    world: Any, sdk: Impatient, fault: dict[str, Any], status: int, code: str
) -> None:
    world.minimax.inject(Fault(path=T2A, times=None, **fault))

    with pytest.raises(openai.InternalServerError) as failed:
        await sdk.audio.speech.create(**SPEECH)

    assert (failed.value.status_code, failed.value.code) == (status, code)
    assert len(provider_calls(world)) == 1
    assert sdk.waits_seconds == []


async def test_a_refused_connection_is_retried(world: Any, sdk: Impatient) -> None:
    port = world.minimax.port
    await world.minimax.stop()
    with pytest.raises(openai.InternalServerError) as failed:
        await sdk.audio.speech.create(**SPEECH)
    assert failed.value.status_code == 502
    assert len(sdk.waits_seconds) == 2

    await world.minimax.start(port=port)
    assert (await sdk.audio.speech.create(**SPEECH)).content


@pytest.mark.parametrize(("headers", "calls"), [((), 3), ((("x-should-retry", "false"),), 1)])
async def test_what_the_origin_says_of_retries_reaches_the_sdk(
    world: Any, sdk: Impatient, headers: tuple[tuple[str, str], ...], calls: int
) -> None:
    world.origin.inject(OriginFault(path=TRANSCRIPTIONS, http_status=503, times=None, headers=headers))

    with pytest.raises(openai.InternalServerError):
        await sdk.audio.transcriptions.create(model="transcribe", file=("me.mp3", sample_recording()))

    assert len(world.origin.calls) == calls
    counts = [dict(call.headers).get("x-stainless-retry-count") for call in world.origin.calls]
    assert counts == [str(number) for number in range(calls)]


async def test_refusals_are_the_sdk_s_own_exceptions_and_final(world: Any, sdk: Impatient) -> None:
    voice_id = (await world.clone(sample_recording())).fields["voice_id"]
    eve = await world.application.database.transact(lambda connection: open_account(connection, "Eve", 0, "test"))
    bad_key, foreign = sdk.with_options(api_key="ky-wrong"), sdk.with_options(api_key=eve.api_key)
    for client in (bad_key, foreign):
        client.waits_seconds = []
    refusals = [
        (bad_key, {}, openai.AuthenticationError, "auth_error"),
        (foreign, {"voice": voice_id}, openai.PermissionDeniedError, "voice_not_owned"),
        (sdk, {"voice": "nobody-1"}, openai.NotFoundError, "voice_not_found"),
        (sdk, {"response_format": "aac"}, openai.BadRequestError, "invalid_request"),
        (sdk, {"stream_format": "sse"}, openai.BadRequestError, "invalid_request"),
        (sdk, {"model": "minimax-speech-ultra"}, openai.BadRequestError, "not_a_tts_model"),
    ]
    for client, fields, kind, code in refusals:
        with pytest.raises(kind) as refused:
            await client.audio.speech.create(**(SPEECH | fields))
        assert refused.value.code == code
        assert refused.value.request_id
        assert client.waits_seconds == []
    assert [call.json["voice_setting"]["voice_id"] for call in provider_calls(world)] == ["nobody-1"]


async def test_the_kyma_client_speaks_and_transcribes(world: Any) -> None:
    kyma = Kyma(api_key=world.api_key, base_url=f"{world.base_url}/v1")

    def use() -> tuple[bytes, str]:
        with kyma.openai as client:
            heard = client.audio.speech.create(**SPEECH).content
            return heard, client.audio.transcriptions.create(model="transcribe", file=("me.mp3", heard)).text

    heard, said = await asyncio.to_thread(use)

    assert sha256(heard) == provider_calls(world)[0].progress.audio_sha256
    assert said
    assert dict(world.origin.calls[0].headers)["x-kyma-sdk"] == "python/0.1.0"


async def curl(*arguments: str) -> tuple[int, str]:
    """Its exit code and what it printed on stdout."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--max-time", "30", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def documented_line(world: Any, target: Path, **fields: Any) -> list[str]:
    """The line of the public documentation, with the base URL changed."""
    asked = {"model": "minimax-speech-turbo", "input": "Hello from Kyma.", "voice_id": SYSTEM_VOICE} | fields
    return [
        *(f"{world.base_url}/v1/audio/speech", "-H", f"Authorization: Bearer {world.api_key}"),
        *("-H", "Content-Type: application/json", "-d", json.dumps(asked), "--output", str(target)),
    ]


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@needs_curl
@pytest.mark.parametrize("model", ["minimax-speech-turbo", "eleven-v3"])
async def test_the_documented_line_speaks(world: Any, tmp_path: Path, model: str) -> None:
    target = tmp_path / "speech.mp3"

    code, out = await curl(*documented_line(world, target, model=model), "-w", "%{http_code} %{content_type}")

    assert (code, out) == (0, "200 audio/mpeg")
    assert MP3(target).info.length == pytest.approx(16 / 15, abs=0.1)


@needs_curl
async def test_curl_streams(world: Any, tmp_path: Path) -> None:
    target = tmp_path / "streamed.mp3"
    world.minimax.behaviour = Behaviour(stream_chunk_seconds=0.1)

    code, out = await curl(
        *documented_line(world, target, stream=True, input="Hello. " * 10),
        *("-N", "-w", "%{time_starttransfer} %{time_total}"),
    )

    assert code == 0
    first, last = map(float, out.split())
    assert first < last / 2
    assert sha256(target.read_bytes()) == provider_calls(world)[0].progress.audio_sha256


@needs_curl
async def test_curl_fails_where_a_stream_broke_off(world: Any, tmp_path: Path) -> None:
    world.minimax.inject(Fault(path=T2A, truncate_at=2, chunk_stall_seconds=0.05))

    code, out = await curl(*documented_line(world, tmp_path / "streamed.mp3", stream=True), "-w", "%{http_code}")

    assert (code, out) in [(18, "200"), (56, "200")]
