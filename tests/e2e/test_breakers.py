"""An upstream that is away is left alone, and used again when it is back; none of it costs money."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kyma_proxy.simulators.origin import OriginSimulator
from kyma_proxy.simulators.sample import sample_recording

BREAKER = "breaker: {failures: 3, open_seconds: 0.3, open_seconds_max: 0.6}"
SPEECH = {"model": "minimax-speech-turbo", "input": "Mind the gap.", "voice": "English_Graceful_Lady"}


def state(world: Any, upstream: str) -> float:
    registry = world.application.metrics.registry
    return max(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "kyma_upstream_breaker_state" and sample.labels["upstream"] == upstream
    )


async def until_closed(world: Any, upstream: str) -> None:
    async with asyncio.timeout(10):
        while state(world, upstream) != 0:
            await asyncio.sleep(0.02)


async def test_an_origin_that_is_away_is_refused_at_once_and_found_again(make_world: Any) -> None:
    origin = OriginSimulator()
    await origin.start()
    world = await make_world(origin_fields=f'base_url: "{origin.base_url}", {BREAKER}')
    assert (await world.request("GET", "/v1/audio/voices")).status == 401
    port = int(origin.base_url.rpartition(":")[2])
    await origin.stop()
    for _ in range(4):
        assert (await world.request("GET", "/v1/audio/voices")).status == 502
    assert state(world, "origin") >= 1
    refused = await world.request("GET", "/v1/audio/voices")
    assert (refused.status, refused.code) == (502, "upstream_unreachable")
    assert refused.headers["x-should-retry"] == "true"
    assert int(refused.headers["Retry-After"]) >= 1
    back = OriginSimulator()
    await back.start(port=port)
    try:
        await until_closed(world, "origin")
        assert [call.path for call in back.calls] == [], "it was looked at, not asked"
        assert (await world.request("GET", "/v1/audio/voices")).status == 401
    finally:
        await back.stop()


async def test_one_of_two_doors_is_shut_and_no_client_notices(make_world: Any) -> None:
    async with OriginSimulator() as other:
        urls = f'base_urls: [{{url: "http://127.0.0.1:9"}}, {{url: "{other.base_url}"}}], {BREAKER}'
        world = await make_world(origin_fields=urls)
        answers = [(await world.request("POST", "/v1/audio/sfx", data=b"x")).status for _ in range(30)]
        assert 502 not in answers
        assert len(other.calls) == 30
        assert state(world, "origin") == 2


@pytest.mark.parametrize("what", ["clone", "speech"])
async def test_a_provider_that_is_away_costs_nothing_and_is_not_asked_for_anything_paid_to_see(
    make_world: Any, what: str
) -> None:
    world = await make_world(minimax_extra=BREAKER, metering="")
    port = int(world.minimax.base_url.rpartition(":")[2])
    await world.minimax.stop()

    async def ask() -> int:
        if what == "clone":
            return (await world.clone(sample_recording())).status
        headers = {"Authorization": f"Bearer {world.api_key}"}
        return (await world.request("POST", "/v1/audio/speech", json=SPEECH, headers=headers)).status

    assert {await ask() for _ in range(6)} == {502}
    assert state(world, "minimax") >= 1
    await world.require_exact_books()
    assert (await world.account()).balance_micros == 25_000_000
    world.minimax.calls.clear()
    await world.minimax.start(port=port)
    await until_closed(world, "minimax")
    assert not world.minimax.calls
    assert await ask() == 200
    await world.require_exact_books()
