"""The provider's own limit is never met: what is over it waits or is told when to come back, and nobody starves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from e2e_kit.world import SPEECH_PATH, Answer
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.simulators.minimax import Behaviour
from kyma_proxy.testing.audio import silent_wav

RECORDING = silent_wav(10, bits=8)
CALL = "/v1/t2a_v2"
LIMITS = "rate_limits: {speech-02-hd: 10}\n    rate_wait_seconds: 0.05"


@pytest.fixture
async def world(make_world: Callable[..., Awaitable[Any]]) -> Any:
    world = await make_world(minimax_extra=LIMITS, metering="")
    world.minimax.behaviour = Behaviour(calls_per_minute={CALL: 10})
    return world


async def speak(world: Any, api_key: str, model: str = "minimax-speech-hd", *, stream: bool = False) -> Answer:
    asked = {"model": model, "input": "Hello.", "voice": "English_Graceful_Lady", "stream": stream}
    headers = {"Authorization": f"Bearer {api_key}"}
    return await world.request("POST", SPEECH_PATH, data=json.dumps(asked), headers=headers)  # type: ignore[no-any-return]


async def another(world: Any) -> str:
    opened = await world.application.database.transact(
        lambda connection: open_account(connection, "Bob", 25_000_000, "test")
    )
    return str(opened.api_key)


def calls(world: Any) -> int:
    return sum(call.path == CALL for call in world.minimax.calls)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_burst_is_cut_here_and_not_at_the_provider(world: Any, stream: bool) -> None:
    bob = await another(world)
    keys = [key for _ in range(15) for key in (world.api_key, bob)]
    answers = await asyncio.gather(*(speak(world, key, stream=stream) for key in keys))
    assert Counter(answer.status for answer in answers) == {200: 10, 429: 20}
    assert calls(world) == 10, "what the provider would refuse is not even asked of it"
    for answer in answers:
        if answer.status == 429:
            assert answer.code == "rate_limited"
            assert 1 <= int(answer.headers["Retry-After"]) <= 61
            assert answer.headers["x-should-retry"] == "true"
    await world.require_exact_books()
    assert (await world.account()).held_micros == 0, "who was not served pays nothing"


async def test_one_customer_cannot_starve_the_rest(world: Any) -> None:
    greedy = await asyncio.gather(*(speak(world, world.api_key) for _ in range(30)))
    assert Counter(answer.status for answer in greedy) == {200: 5, 429: 25}
    modest = [await speak(world, await another(world)) for _ in range(5)]
    assert [answer.status for answer in modest] == [200] * 5


async def test_another_model_has_its_own_minute(world: Any) -> None:
    world.minimax.behaviour = Behaviour()
    await asyncio.gather(*(speak(world, world.api_key) for _ in range(12)))
    assert (await speak(world, world.api_key, "minimax-speech-turbo")).status == 200


async def test_one_customer_cannot_use_up_the_minute_in_which_voices_are_made(make_world: Any) -> None:
    world = await make_world(minimax_extra="rate_limits: {voice_clone: 4}\n    rate_wait_seconds: 0.05")
    greedy = [await world.clone(RECORDING, headers={"Idempotency-Key": f"one-{each}"}) for each in range(3)]
    assert [each.status for each in greedy] == [200, 200, 429]
    assert greedy[-1].code == "rate_limited"
    bob = {"Authorization": f"Bearer {await another(world)}"}
    modest = [await world.clone(RECORDING, headers={**bob, "Idempotency-Key": f"two-{each}"}) for each in range(2)]
    assert [each.status for each in modest] == [200, 200]
    await world.require_exact_books()
    assert (await world.account()).held_micros == 0, "who was not served pays nothing"
