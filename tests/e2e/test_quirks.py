"""The provider's known quirks, each switched on in the simulator, through the whole gateway, streamed and not.

The numbers are those of the provider's reference. Whatever it does, a client gets whole audio or an error that says so,
pays for the former alone, and learns nothing of the provider's words, keys or other customers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from e2e_kit.world import SPEECH_PATH, Answer
from kyma_proxy.simulators.minimax import Behaviour, Fault
from kyma_proxy.simulators.sample import sample_recording
from kyma_proxy.testing.audio import silent_wav

T2A, CLONE, UPLOAD = "/v1/t2a_v2", "/v1/voice_clone", "/v1/files/upload"
SYSTEM_VOICE = "English_Graceful_Lady"
FUNDS = 25_000_000
BROKEN_OFF = 0
"""Stands for a stream whose connection was reset: a part must not pass for the whole."""


@dataclass(frozen=True, slots=True)
class Quirk:
    """What the provider does, and what a client gets: a status, BROKEN_OFF, or 200 for whole audio."""

    numbers: str
    whole: int
    streamed: int
    fault: dict[str, Any] = field(default_factory=dict)
    text: str = "Mind the gap between the train and the platform, please. " * 4

    def __str__(self) -> str:
        return f"{self.numbers}:{','.join(f'{name}={value}' for name, value in self.fault.items()) or 'as it is'}"


QUIRKS = (
    Quirk("1", 502, 502, {"error_code": 1000}),
    Quirk("1", 504, 504, {"error_code": 1001}),
    Quirk("1, 27", 429, 429, {"error_code": 1002}),
    Quirk("1", 400, 400, {"error_code": 1026}),
    Quirk("1, 2", 502, 502, {"error_code": 1024, "placeholder_audio": True}),
    Quirk("3", 429, 429, {"error_code": 1002, "error_as": "json"}),
    Quirk("4", 502, 502, {"error_code": 1033, "error_as": "sse"}),
    Quirk("4, 2", 502, 502, {"error_code": 1033, "error_as": "sse", "placeholder_audio": True}),
    Quirk("5", 502, BROKEN_OFF, {"error_code": 1013, "error_as": "sse", "error_after_chunks": 2}),
    Quirk(
        "5, 2",
        502,
        BROKEN_OFF,
        {"error_code": 1013, "error_as": "sse", "error_after_chunks": 2, "placeholder_audio": True},
    ),
    Quirk("5", 502, BROKEN_OFF, {"error_code": 1000, "error_as": "closing"}),
    Quirk("5, 2", 502, BROKEN_OFF, {"error_code": 1000, "error_as": "closing", "placeholder_audio": True}),
    Quirk("6, 7", 200, 200, {"ignore_exclusion": True}),
    Quirk("8", 200, 200, {"ignore_exclusion": True}, text="A long walk along the platform. " * 60),
    Quirk("9", 200, 200, {"bare_chunks": True}),
    Quirk("9", 200, 200, {"set_fields": {"trace_id": "another"}}),
    Quirk("10", 200, 200, {"split_bytes": 7}, text="Short."),
    Quirk("11", 502, 200, {"null_data": True}),
    Quirk("12", 502, 200, {"url_audio": True}),
    Quirk("13", 502, BROKEN_OFF, {"bad_hex": "odd"}),
    Quirk("13", 502, BROKEN_OFF, {"bad_hex": "tail"}),
    Quirk("14", 200, BROKEN_OFF, {"truncate_at": 2}),
    Quirk("14", 200, 502, {"truncate_at": 0}),
    Quirk("19", 404, 404, {"error_code": 2054}),
    Quirk("19", 404, 404, {"error_code": 2042}),
    Quirk("19", 404, 404, {"error_code": 20132}),
    Quirk("19", 404, 404, {"error_code": 2013, "error_message": "invalid params, voice id wrong"}),
    Quirk("28", 502, 502, {"error_code": 2056, "error_message": "usage limit (0/0 used), resets at 2026-12-01T00:00Z"}),
    Quirk("29", 502, 502, {"http_status": 404, "content_type": "text/plain", "content": "404 page not found"}),
    Quirk("29", 502, 502, {"http_status": 502}),
    Quirk("31", 200, 200, {"set_fields": {"data.ced": "ok"}}),
)


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[Any]]) -> Any:
    return await make_world(metering="", minimax_extra="breaker: null")


async def speak(world: Any, *, stream: bool, voice: str = SYSTEM_VOICE, text: str = "Hello.") -> tuple[int, bytes]:
    """Status and body; BROKEN_OFF and what came of an answer that was reset."""
    asked = {"model": "minimax-speech-hd", "input": text, "voice": voice, "stream": stream}
    headers = {"Authorization": f"Bearer {world.api_key}"}
    body = b""
    try:
        async with world.http.post(world.base_url + SPEECH_PATH, data=json.dumps(asked), headers=headers) as answer:
            async for piece in answer.content.iter_any():
                body += piece
            return answer.status, body
    except (aiohttp.ClientError, ConnectionError):
        return BROKEN_OFF, body


async def voices(world: Any, method: str, voice_id: str) -> Answer:
    headers = {"Authorization": f"Bearer {world.api_key}"}
    return await world.request(method, f"/v1/audio/voices/{voice_id}", headers=headers)  # type: ignore[no-any-return]


async def spent(world: Any) -> int:
    await world.require_exact_books()
    account = await world.account()
    assert account.held_micros == 0
    return int(FUNDS - account.balance_micros)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("quirk", QUIRKS, ids=str)
async def test_a_quirk_of_speech(world: Any, quirk: Quirk, stream: bool) -> None:
    world.minimax.inject(Fault(path=T2A, **quirk.fault))
    status, body = await speak(world, stream=stream, text=quirk.text)
    assert status == (quirk.streamed if stream else quirk.whole)
    (call,) = [call for call in world.minimax.calls if call.path == T2A]
    if status == 200:
        assert hashlib.sha256(body).hexdigest() == call.progress.audio_sha256, "every byte, and each once"
        assert await spent(world) > 0
    elif status != BROKEN_OFF:
        assert set(json.loads(body)) == {"error"}
        for secret in (b"resets at", b"base_resp", b"page not found", b"Bad Gateway", b"494433"):
            assert secret not in body
        assert await spent(world) == 0
    else:
        await spent(world)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_quirk_19_why_a_voice_is_unknown_cannot_be_told(world: Any, stream: bool) -> None:
    bodies = set()
    for code, message in ((2054, None), (2042, None), (20132, None), (2013, "invalid params, voice id wrong")):
        world.minimax.inject(Fault(path=T2A, error_code=code, error_message=message))
        bodies.add(await speak(world, stream=stream))
    assert len(bodies) == 1


async def test_quirk_15_and_17_a_clone_speaks_at_once_and_its_first_use_is_told_once(world: Any) -> None:
    voice_id = (await world.clone(sample_recording())).fields["voice_id"]
    for _ in range(2):
        assert (await speak(world, stream=False, voice=voice_id))[0] == 200
    assert world.minimax.voices[voice_id].active


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_quirk_16_a_voice_that_was_never_used_vanishes_and_the_library_says_so(world: Any, stream: bool) -> None:
    voice_id = (await world.clone(sample_recording())).fields["voice_id"]
    world.minimax.advance(168 * 3600 + 1)
    status, body = await speak(world, stream=stream, voice=voice_id)
    assert (status, json.loads(body)["error"]["code"]) == (404, "voice_not_found")
    assert (await voices(world, "GET", voice_id)).fields["state"] == "lost"


async def test_quirk_18_a_taken_id_costs_nothing_and_a_deleted_one_is_never_given_again(world: Any) -> None:
    world.minimax.inject(Fault(path=CLONE, error_code=2039))
    assert (await world.clone(sample_recording())).status == 502
    assert await spent(world) == 0
    voice_id = (await world.clone(sample_recording())).fields["voice_id"]
    assert (await voices(world, "DELETE", voice_id)).status == 200
    async with asyncio.timeout(10):
        while voice_id not in world.minimax.burned_voice_ids:
            await asyncio.sleep(0.01)
    assert (await world.clone(sample_recording())).fields["voice_id"] != voice_id


@pytest.mark.parametrize("filename", ["recording.ogg", "recording", "x.mp3"])
async def test_quirk_20_what_the_client_calls_its_file_does_not_reach_the_provider(world: Any, filename: str) -> None:
    assert (await world.clone(sample_recording(), filename=filename)).status == 200


async def test_quirk_21_durations_are_judged_before_the_provider_would(world: Any) -> None:
    for seconds in (9.9, 300.1):
        assert (await world.clone(silent_wav(seconds, rate_hz=8000))).status == 400
    assert not world.minimax.calls
    world.minimax.inject(Fault(path=CLONE, error_code=2037))
    assert (await world.clone(sample_recording())).status == 502
    assert await spent(world) == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"path": UPLOAD, "set_fields": {"file.file_id": 2**63 - 1}, "moment": "after"},
        {"path": CLONE, "set_fields": {"input_sensitive": {"type": 0}}},
        {"path": CLONE, "set_fields": {"input_sensitive": False, "input_sensitive_type": 0}},
        {"path": CLONE, "drop_fields": ["demo_audio", "extra_info"]},
        {"path": CLONE, "set_fields": {"demo_audio": None}},
    ],
    ids=["22", "23 object", "23 bool", "15", "15 null"],
)
async def test_quirks_15_22_and_23_of_a_clones_answers(world: Any, fault: dict[str, Any]) -> None:
    if fault["path"] == UPLOAD:
        del fault["moment"]
    world.minimax.inject(Fault(**{**fault, "drop_fields": tuple(fault.get("drop_fields", ()))}))
    answer = await world.clone(sample_recording())
    if fault["path"] == UPLOAD:
        (call,) = [call for call in world.minimax.calls if call.path == CLONE]
        assert call.json["file_id"] == 2**63 - 1, "every digit"
    else:
        assert answer.status == 200
        assert await spent(world) == 2_100_000


@pytest.mark.parametrize(
    "fault",
    [
        {"path": CLONE, "error_code": 1000},
        {"path": UPLOAD, "http_status": 502},
        {"path": UPLOAD, "http_status": 404, "content_type": "text/plain", "content": "404 page not found"},
    ],
    ids=["24", "29", "29 path"],
)
async def test_quirks_24_and_29_an_unreadable_sample_and_a_bare_page(world: Any, fault: dict[str, Any]) -> None:
    world.minimax.inject(Fault(**fault))
    answer = await world.clone(sample_recording())
    assert (answer.status, answer.code) == (502, "provider_error")
    assert b"page" not in answer.body
    assert await spent(world) == 0


async def test_quirk_25_a_voice_that_is_gone_already_is_deleted_all_the_same(world: Any) -> None:
    world.minimax.behaviour = Behaviour(epoch_created_time=True)
    for gone in (False, True):
        voice_id = (await world.clone(sample_recording())).fields["voice_id"]
        if gone:
            world.minimax.advance(168 * 3600 + 1)
        assert (await voices(world, "DELETE", voice_id)).status == 200
        await world.require_exact_books()
        assert await world.application.database.fetchval("SELECT count(*) FROM provider_cleanups") == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("voice", ["Chinese (Mandarin)_Lyrical_Voice", "English_Graceful_Lady"])
async def test_quirk_26_a_system_voices_id_goes_on_byte_for_byte(world: Any, voice: str, stream: bool) -> None:
    await speak(world, stream=stream, voice=voice)
    (call,) = [call for call in world.minimax.calls if call.path == T2A]
    assert call.json["voice_setting"]["voice_id"] == voice
    await speak(world, stream=stream, voice=f"{voice} ")
    assert world.minimax.calls[-1].json["voice_setting"]["voice_id"] == f"{voice} "


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_quirk_27_a_burst_beyond_the_limit_is_told_to_wait_and_not_repeated_here(
    world: Any, stream: bool
) -> None:
    world.minimax.behaviour = Behaviour(calls_per_minute={T2A: 3})
    statuses = [(await speak(world, stream=stream))[0] for _ in range(6)]
    assert statuses == [200] * 3 + [429] * 3
    assert sum(call.path == T2A for call in world.minimax.calls) == 6
