"""When the parts of an exchange happen: the body after `Expect`, the clock after the request."""

from __future__ import annotations

import asyncio
import socket
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


async def test_only_100_is_an_invitation_to_send_the_body(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    body = wire.body([b"body"], 4)
    upstream = await forward((await origin(serve)).base_url)
    flow = wire.flow("POST", headers=((b"Expect", b"100-continue"), (b"Content-Length", b"4")), body=body)
    reply = await upstream.send(flow)
    await wire.read(reply)
    assert (reply.status, body.was_read) == (401, False)


async def test_cutting_a_connection_does_not_wait_for_a_peer_that_does_not_read(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    cut = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.transport.pause_reading()
        connection = writer.get_extra_info("socket")
        while connection.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1)[0] == 1:  # established
            await asyncio.sleep(0.02)
        cut.set()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    upstream = await forward((await origin(serve)).base_url)
    flow = wire.flow("POST", body=wire.body(endless(), None))
    sending = asyncio.get_running_loop().create_task(upstream.send(flow))
    await asyncio.sleep(0.3)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.wait_for(cut.wait(), 2)


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
