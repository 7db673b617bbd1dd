"""Paid speech over real sockets: what was heard is charged, once, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from e2e_kit.world import SPEECH_PATH, Answer
from kyma_proxy.money import format_usd
from kyma_proxy.simulators.minimax import Behaviour, Fault
from kyma_speech_metering.frames import end_of_mp3_frame
from kyma_voice_ownership.plugin import VoiceOwnership

T2A = "/v1/t2a_v2"
TEXT = "Mind the gap, please. " * 10
CHARS = len(TEXT)
MICROS = -(-CHARS * 84_000 // 1000)
FUNDS = 25_000_000


@pytest.fixture(params=[False, True], ids=["production", "cancelling"])
async def world(request: pytest.FixtureRequest, make_world: Callable[..., Awaitable[Any]]) -> Any:
    return await make_world(handler_cancellation=request.param, metering="free: []")


def asking(world: Any, **fields: Any) -> Any:
    asked = {"model": "minimax-speech-turbo", "input": TEXT, "voice": "English_Graceful_Lady"} | fields
    headers = {"Authorization": f"Bearer {world.api_key}", "Content-Type": "application/json"}
    return world.http.post(world.base_url + SPEECH_PATH, data=json.dumps(asked), headers=headers)


async def speak(world: Any, **fields: Any) -> Answer:
    async with asking(world, **fields) as response:
        return Answer(response.status, response.headers, await response.read())


async def balance(world: Any) -> int:
    """The balance once everything is settled; nothing is held by then."""
    await world.require_exact_books()
    return int((await world.account()).balance_micros)


@pytest.mark.parametrize(
    ("response_format", "stream"),
    [("mp3", True), ("pcm", True), *((name, False) for name in ("mp3", "pcm", "wav", "flac", "opus", "ulaw_8000"))],
)
async def test_what_was_heard_is_charged(world: Any, stream: bool, response_format: str) -> None:
    answer = await speak(world, stream=stream, response_format=response_format)
    assert answer.status == 200, answer.body
    assert answer.headers["X-Kyma-Model"] == "minimax-speech-turbo"
    assert answer.headers["X-Kyma-Chars-Billed"] == str(CHARS)
    assert answer.headers["X-Kyma-Cost-USD"] == "0.01848"
    assert answer.headers["X-Kyma-Balance-USD"] == "24.98152"
    assert await balance(world) == FUNDS - MICROS


@pytest.mark.parametrize("stream", [False, True])
async def test_too_little_money_asks_nobody(make_world: Any, stream: bool) -> None:
    world = await make_world(metering="", credit_micros=MICROS - 1)
    answer = await speak(world, stream=stream)
    assert (answer.status, answer.code) == (402, "billing_error")
    assert answer.headers["x-should-retry"] == "false"
    assert world.minimax.calls == []
    assert await balance(world) == MICROS - 1


async def test_the_last_cent_buys_speech(make_world: Any) -> None:
    world = await make_world(metering="", credit_micros=MICROS)
    answer = await speak(world)
    assert (answer.status, answer.headers["X-Kyma-Balance-USD"]) == (200, "0.00")
    assert await balance(world) == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"input": "x" * 5001}, "input_too_long"),
        ({"input": "\U0001f600" * 5001}, "input_too_long"),
        ({"input": ""}, "invalid_request"),
        ({"input": "a", "text": "b"}, "invalid_request"),
        ({"speed": 9}, "invalid_request"),
        ({"voice": ""}, "voice_required"),
        ({"model": "minimax-speech-tubro"}, "not_a_tts_model"),
    ],
)
async def test_what_is_refused_costs_nothing(world: Any, fields: dict[str, Any], code: str) -> None:
    answer = await speak(world, **fields)
    assert (answer.status, answer.code) == (400, code)
    assert not any(name.lower().startswith("x-kyma-") for name in answer.headers)
    assert world.minimax.calls == []
    assert await balance(world) == FUNDS


async def test_code_points_count_whatever_they_weigh(world: Any) -> None:
    answer = await speak(world, input="\U0001f600é漢")
    assert answer.headers["X-Kyma-Chars-Billed"] == "3"
    assert answer.headers["X-Kyma-Cost-USD"] == "0.000252"
    assert await balance(world) == FUNDS - 252


async def test_what_costs_less_than_a_micro_dollar_is_rounded_up(make_world: Any) -> None:
    world = await make_world(metering="")
    answer = await speak(world, input="x", model="minimax-speech-turbo")
    assert answer.headers["X-Kyma-Cost-USD"] == "0.000084"
    assert await balance(world) == FUNDS - 84


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault(error_code=1000), 502),
        (Fault(error_code=1002), 429),
        (Fault(error_code=2054), 404),
        (Fault(error_code=1026), 400),
        (Fault(error_code=1001), 504),
        (Fault(http_status=500), 502),
        (Fault(bad_hex="odd"), None),
        (Fault(null_data=True, error_code=1013), 502),
    ],
)
async def test_a_failure_before_any_audio_costs_nothing(
    world: Any, fault: Fault, status: int | None, stream: bool
) -> None:
    world.minimax.inject(fault.model_copy(update={"path": T2A}))
    try:
        answer = await speak(world, stream=stream)
    except aiohttp.ClientPayloadError:
        # Broken within: what was heard by then is a matter of the table.
        assert fault.bad_hex
        return
    assert answer.status == (status or 502)
    account = await world.account()
    assert (account.balance_micros, account.held_micros) == (FUNDS, 0), "whole again when the answer arrives"
    assert await balance(world) == FUNDS


@pytest.mark.parametrize("how", [{"truncate_at": 2}, {"reset_at": 2}, {"error_code": 1000, "error_after_chunks": 2}])
@pytest.mark.parametrize(("table", "charged"), [("", MICROS), ("settle: {provider_failed: nothing}", 0)])
async def test_a_provider_that_fails_within_its_answer(
    make_world: Any, how: dict[str, Any], table: str, charged: int
) -> None:
    world = await make_world(metering=table)
    world.minimax.inject(Fault(path=T2A, **({"error_as": "sse"} if "error_code" in how else {}), **how))
    with pytest.raises(aiohttp.ClientError):
        await speak(world, stream=True)
    assert await balance(world) == FUNDS - charged


async def leave_after(world: Any, audio_bytes: int) -> int:
    """Stream speech and hang up once so much audio was read; returns how much that was."""
    async with asking(world, stream=True) as response:
        assert response.status == 200
        read = 0
        while read < audio_bytes:
            piece = await response.content.read(audio_bytes - read)
            if not piece:
                break
            read += len(piece)
        response.close()
    return read


@pytest.mark.parametrize(("table", "cost"), [("", MICROS), ("settle: {client_left: nothing}", 0)])
@pytest.mark.parametrize("handler_cancellation", [False, True])
async def test_hanging_up_within_the_stream(make_world: Any, table: str, cost: int, handler_cancellation: bool) -> None:
    world = await make_world(metering=table, handler_cancellation=handler_cancellation)
    world.minimax.behaviour = Behaviour(stream_chunk_bytes=700, stream_chunk_seconds=0.02)
    assert await leave_after(world, 1400) == 1400
    async with asyncio.timeout(5):
        while (await world.account()).held_micros:
            await asyncio.sleep(0.02)
    assert await balance(world) == FUNDS - cost


async def test_hanging_up_at_every_byte_around_the_first_frame(make_world: Any) -> None:
    world = await make_world(metering="")
    whole = (await speak(world, stream=True)).body
    frame_end = end_of_mp3_frame(whole)
    assert frame_end is not None
    expected = FUNDS - MICROS
    for size in (*range(1, 6), *range(frame_end - 4, frame_end + 5), 2 * frame_end):
        # The provider sends so much and then nothing: so much, and no more, is written to the client.
        world.minimax.behaviour = Behaviour(stream_chunk_bytes=size)
        world.minimax.inject(Fault(path=T2A, chunk_stall_seconds=30))
        assert await leave_after(world, size) == size
        expected -= MICROS if size >= frame_end else 0
        async with asyncio.timeout(5):
            while (await world.account()).held_micros:
                await asyncio.sleep(0.005)
        assert (await world.account()).balance_micros == expected, size
    assert await balance(world) == expected


async def test_hanging_up_before_the_first_audio_costs_nothing(world: Any) -> None:
    world.minimax.inject(Fault(path=T2A, slow_first_byte_seconds=5))
    asked = asyncio.ensure_future(speak(world, stream=True))
    async with asyncio.timeout(5):
        while not world.minimax.calls:
            await asyncio.sleep(0.01)
    asked.cancel()
    async with asyncio.timeout(5):
        while (await world.account()).held_micros:
            await asyncio.sleep(0.02)
    assert await balance(world) == FUNDS


async def test_each_answer_tells_the_balance_after_its_own_charge(world: Any) -> None:
    for number in range(1, 6):
        answer = await speak(world, stream=number % 2 == 0)
        assert answer.headers["X-Kyma-Balance-USD"] == format_usd(FUNDS - number * MICROS)


async def test_a_hot_account_pays_for_each_of_many_streams(world: Any) -> None:
    answers = await asyncio.gather(*(speak(world, stream=number % 2 == 0) for number in range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    assert await balance(world) == FUNDS - 40 * MICROS


async def test_at_most_as_many_are_served_as_are_paid_for(make_world: Any) -> None:
    world = await make_world(metering="", credit_micros=3 * MICROS)
    answers = await asyncio.gather(*(speak(world) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [402] * 5
    assert await balance(world) == 0


async def test_models_that_somebody_else_serves_are_not_ours_to_charge(world: Any) -> None:
    answer = await speak(world, model="eleven-turbo-v2-5")
    assert answer.status == 200
    assert await balance(world) == FUNDS


async def test_a_free_model_costs_nothing_and_says_so(make_world: Any) -> None:
    prices = 'prices_usd_per_1k_chars: {minimax-speech-hd: "1.5"}'
    world = await make_world(metering=f"{prices}, free: [minimax-speech-turbo]")
    answer = await speak(world)
    assert answer.headers["X-Kyma-Chars-Billed"] == "0"
    assert answer.headers["X-Kyma-Cost-USD"] == "0.00"
    assert await balance(world) == FUNDS


async def test_the_books_are_away(world: Any) -> None:
    await speak(world)
    assert await balance(world) == FUNDS - MICROS
    await world.application.database.stop()
    answer = await speak(world)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert len(world.minimax.calls) == 1


async def test_the_providers_own_count_is_compared_and_never_charged(world: Any) -> None:
    world.minimax.inject(Fault(path=T2A, set_fields={"extra_info.usage_characters": CHARS + 5}))
    for _ in range(2):
        assert (await speak(world)).headers["X-Kyma-Chars-Billed"] == str(CHARS)
    assert await balance(world) == FUNDS - 2 * MICROS

    def counted(word: str) -> float | None:
        labels = {"model": "minimax-speech-turbo", "provider_counts": word}
        return world.application.metrics.registry.get_sample_value("kyma_speech_usage_total", labels)

    assert (counted("more"), counted("the_same")) == (1, 1)


async def test_a_crash_around_finished_speech_costs_nothing(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = VoiceOwnership.handle

    async def crash(self: VoiceOwnership, flow: Any, proceed: Any) -> Any:
        await real(self, flow, proceed)
        raise ZeroDivisionError

    monkeypatch.setattr(VoiceOwnership, "handle", crash)
    answer = await speak(world, response_format="pcm")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert await balance(world) == FUNDS
