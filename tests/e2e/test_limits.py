"""Every limit has its answer and its reason, and one customer does not starve the others."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from e2e_kit.wire import connect
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.simulators.minimax import Fault
from kyma_proxy.simulators.sample import sample_recording

SPEECH = {"model": "minimax-speech-turbo", "input": "Mind the gap.", "voice": "English_Graceful_Lady"}
T2A, CLONE = "/v1/t2a_v2", "/v1/voice_clone"


async def speak(world: Any, key: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {key or world.api_key}"}
    return await world.request("POST", "/v1/audio/speech", json=SPEECH, headers=headers)


def ended(world: Any, reason: str, by: str) -> float:
    labels = {"reason": reason, "by": by}
    return world.application.metrics.registry.get_sample_value("kyma_requests_ended_total", labels) or 0.0


async def test_a_greedy_account_waits_behind_itself(make_world: Any) -> None:
    world = await make_world(
        minimax_extra="max_requests_per_account: 2", server="max_waiting_per_account: 100, max_waiting_seconds: 30"
    )
    other = await world.application.database.transact(
        lambda connection: open_account(connection, "modest", 25_000_000, "test")
    )
    world.minimax.inject(Fault(path=T2A, stall_seconds=0.2, times=None))
    greedy = [asyncio.ensure_future(speak(world)) for _ in range(30)]
    await asyncio.sleep(0.1)
    started = time.monotonic()
    modest = [await speak(world, other.api_key) for _ in range(3)]
    seconds = time.monotonic() - started
    still_waiting = sum(not each.done() for each in greedy)
    assert [answer.status for answer in modest] == [200] * 3
    assert still_waiting >= 20, f"the modest one waited for the greedy one, {seconds:.1f} s"
    assert {answer.status for answer in await asyncio.gather(*greedy)} == {200}


async def test_more_than_may_wait_is_429_with_its_reason_and_costs_nothing(make_world: Any) -> None:
    world = await make_world(
        minimax_extra="max_requests_per_account: 1", server="max_waiting_per_account: 1", metering=""
    )
    world.minimax.inject(Fault(path=T2A, stall_seconds=0.5, times=2))
    answers = await asyncio.gather(*(speak(world) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status == 429)
    assert (refused.code, refused.headers["Retry-After"], refused.headers["x-should-retry"]) == (
        *("rate_limited", "1"),
        "true",
    )
    assert ended(world, "limited", "account_requests") == 2
    await world.require_exact_books()
    assert (await speak(world)).status == 200


async def test_clones_stand_in_the_same_line_and_a_refused_one_leaves_nothing(make_world: Any) -> None:
    world = await make_world(minimax_extra="max_requests_per_account: 1", server="max_waiting_per_account: 0")
    world.minimax.inject(Fault(path=CLONE, stall_seconds=0.5))
    first = asyncio.ensure_future(world.clone(sample_recording()))
    async with asyncio.timeout(10):
        while not any(call.path == CLONE for call in world.minimax.calls):
            await asyncio.sleep(0.01)
    refused = await world.clone(sample_recording(), fields={"name": "second"})
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert (await first).status == 200
    await world.require_exact_books()
    assert (await world.account()).balance_micros == 22_900_000
    assert not [call for call in world.minimax.calls if call.path == "/v1/delete_voice"]


async def test_more_requests_than_the_process_takes_are_503(make_world: Any) -> None:
    world = await make_world(server="max_requests_in_flight: 2")
    world.minimax.inject(Fault(path=T2A, stall_seconds=0.5, times=None))
    answers = await asyncio.gather(*(speak(world) for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
    refused = next(answer for answer in answers if answer.status == 503)
    assert (refused.code, refused.headers["Retry-After"]) == ("unavailable", "1")
    assert ended(world, "limited", "requests") == 2


async def test_more_connections_than_the_process_takes_are_answered_and_closed(make_world: Any) -> None:
    world = await make_world(server="max_connections: 3")
    port = world.application.data.port
    held = [await connect(port) for _ in range(3)]
    for wire in held:
        await wire.send(b"GET /v1/audio/voices HTTP/1.1\r\nHost: a\r\n\r\n")
        await wire.message()
    extra = await connect(port)
    answer = await extra.message()
    assert answer.head.status == 503
    assert answer.head.one(b"retry-after") == b"1"
    assert await extra.ended() == "closed"
    held.pop().close()
    await asyncio.sleep(0.05)
    again = await connect(port)
    await again.send(b"GET /v1/audio/voices HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await again.message()).head.status == 401
    for wire in (*held, again, extra):
        wire.close()
    assert ended(world, "limited", "connections") == 1


async def test_urls_and_headers_have_their_limits(make_world: Any) -> None:
    world = await make_world(server="max_url_bytes: 300, max_headers: 20")
    assert (await world.request("GET", "/v1/audio/voices?q=" + "x" * 270)).status == 401
    refused = await world.request("GET", "/v1/audio/voices?q=" + "x" * 300)
    assert (refused.status, refused.code) == (414, "uri_too_long")
    assert ended(world, "limited", "head_bytes") == 1
    many = await world.request("GET", "/v1/audio/voices", headers={f"X-{number}": "1" for number in range(30)})
    assert many.status == 400


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_route_has_its_largest_body(make_world: Any, chunked: bool) -> None:
    world = await make_world(route_extra="max_body_bytes: 1000")

    async def body(size: int) -> Any:
        yield b"x" * size

    for size, status in ((1000, 401), (1001, 413)):
        data = body(size) if chunked else b"x" * size
        answer = await world.request("POST", "/v1/audio/transcriptions", data=data)
        assert answer.status == status, answer.body
    assert ended(world, "limited", "body_bytes") == 1
