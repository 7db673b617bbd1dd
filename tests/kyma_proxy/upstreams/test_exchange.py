"""When the parts of an exchange happen: the body after `Expect`, the clock after the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
StartOrigin = Callable[[Any], Awaitable[Any]]


@pytest.mark.parametrize("willing", [True, False])
async def test_expect_is_asked_of_the_origin_before_the_body_is_read(
    willing: bool, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        assert not body.was_read
        if not willing:
            writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
            return
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(4)
        writer.write(EMPTY)

    body = wire.body([b"body"], 4)
    upstream = await forward((await origin(serve)).base_url)
    flow = wire.flow("POST", headers=((b"Expect", b"100-continue"), (b"Content-Length", b"4")), body=body)
    reply = await upstream.send(flow)
    await wire.read(reply)
    assert (reply.status, body.was_read) == ((200, True) if willing else (401, False))


async def test_an_origin_that_ignores_expect_gets_the_body_after_a_while(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kyma_proxy.upstreams.exchange.EXPECT_SECONDS", 0.05)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        assert await reader.readexactly(4) == b"body"
        writer.write(EMPTY)

    upstream = await forward((await origin(serve)).base_url)
    headers = ((b"Expect", b"100-continue"), (b"Content-Length", b"4"))
    assert (await upstream.send(wire.flow("POST", headers=headers, body=wire.body([b"body"], 4)))).status == 200


async def test_the_wait_for_the_answer_begins_when_the_request_is_out(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        await reader.readexactly(4)
        writer.write(EMPTY)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.15)  # together twice as long as the limit
            yield b"x"

    upstream = await forward((await origin(serve)).base_url)
    assert (await upstream.send(wire.flow("POST", body=wire.body(slowly(), 4)))).status == 200
