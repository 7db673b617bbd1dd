"""One test for each way in which aiohttp's client goes wrong as a proxy's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientResponse, ClientSession
from aioresponses import aioresponses

from e2e_kit.raw_edge import OK, PATH, Edge, raw_edge, request, upload
from e2e_kit.wire import Wire
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.upstreams.minimax.sse import EventReader

UPGRADE = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: x",
    b"Sec-WebSocket-Version: 13",
)


@pytest.fixture
async def edge(database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[Edge]:
    async with raw_edge(database_target, tmp_path) as running:
        yield running


@pytest.mark.parametrize("target", [PATH + b"?", PATH + b"?a=%7e%2F+%20&b=[x]&%C3%A9", b"/v1/audio/x%2fy%7E"])
async def test_trap_the_client_requotes_and_drops_a_lone_question_mark(edge: Edge, target: bytes) -> None:
    await edge.ask(target=target)
    assert edge.origin.request.head.first == b"GET %s HTTP/1.1" % target


async def test_trap_ws_connect_loses_the_body_of_a_refusal(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nno way")
    answer = await edge.ask(*UPGRADE)
    assert (answer.head.status, answer.body) == (403, b"no way")
    assert edge.origin.request.head.one(b"upgrade") == b"websocket"


async def test_trap_ws_connect_insists_on_its_own_connection_header(edge: Edge) -> None:
    async def accept(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: keep-alive, upgrade\r\n\r\n\x81\x02hi")
        assert await wire.exactly(4) == b"\x88\x02\x0f\xa1"

    edge.origin.script = accept
    wire = await edge.connect()
    await wire.send(request(*UPGRADE))
    assert (await wire.head()).status == 101
    assert await wire.exactly(4) == b"\x81\x02hi"
    await wire.send(b"\x88\x02\x0f\xa1")
    assert await wire.ended() == "closed"


async def test_trap_the_client_repeats_on_a_stale_connection_by_itself(edge: Edge) -> None:
    heads: list[bytes] = []

    async def once(wire: Wire) -> None:
        heads.append((await wire.message()).head.first)
        if len(heads) == 1:
            await wire.send(OK)
            heads.append((await wire.head()).first)  # and dies without an answer

    edge.origin.script = once
    assert (await edge.ask()).body == b"ok"
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 2") + b"ok")
    assert (await wire.message()).head.status == 502
    assert [first.split()[0] for first in heads] == [b"GET", b"POST"]


async def test_trap_a_long_line_breaks_line_iteration() -> None:
    reader = EventReader(8_000_000)
    line = b'data: {"a":"' + b"f" * 4_000_000 + b'"}\n\n'
    events = [event for at in range(0, len(line), 65_536) for event in reader.feed(line[at : at + 65_536])]
    assert [len(event) for event in events] == [len(line) - len(b"data: \n\n")]


async def test_trap_aioresponses_does_not_know_of_the_stream_writer() -> None:
    """So mocks here are given a response class that fills it in."""

    class MockedResponse(ClientResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
            super().__init__(*args, **kwargs)

    with aioresponses() as mocked:
        mocked.get("http://origin.test/", body=b"ok", response_class=MockedResponse)
        async with ClientSession() as session, session.get("http://origin.test/") as answer:
            assert await answer.read() == b"ok"


async def test_trap_session_defaults_hurt_a_proxy(edge: Edge) -> None:
    edge.origin.answering(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", OK
    )
    assert (await edge.ask()).head.status == 302
    await edge.ask()
    first, second = edge.origin.requests
    for asked in (first, second):
        for added in (b"cookie", b"user-agent", b"accept", b"accept-encoding"):
            assert asked.head.all(added) == []


async def test_trap_session_defaults_bound_the_pool(edge: Edge) -> None:
    """aiohttp's session opens a hundred connections and then lets requests wait."""
    released = asyncio.Event()
    waiting = 0

    async def hold(wire: Wire) -> None:
        nonlocal waiting
        await wire.message()
        waiting += 1
        await released.wait()
        await wire.send(OK)

    edge.origin.script = hold
    asked = [asyncio.ensure_future(edge.ask()) for _ in range(130)]
    async with asyncio.timeout(10):
        while waiting < 130:
            await asyncio.sleep(0.02)
    released.set()
    assert {answer.body for answer in await asyncio.gather(*asked)} == {b"ok"}


async def test_trap_an_answer_that_is_not_http_is_an_error_of_ours(edge: Edge) -> None:
    edge.origin.answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    answer = await edge.ask()
    assert (answer.head.status, json.loads(answer.body)["error"]["code"]) == (502, "upstream_unreachable")
