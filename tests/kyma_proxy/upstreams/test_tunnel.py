"""Connections taken out of aiohttp's client behind a 101, with everything that had arrived on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from kyma_proxy.flow import Reply
from kyma_proxy.upstreams.tunnel import UpstreamTunnel

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
UPGRADE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
StartOrigin = Callable[[Any], Awaitable[Any]]


class Taker(asyncio.Protocol):
    """Takes a connection over and keeps what it is told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def switch(upstream: Any, wire: SimpleNamespace) -> tuple[Reply, UpstreamTunnel]:
    flow = wire.flow(headers=UPGRADE)
    flow.wants_websocket = True
    reply = await upstream.send(flow)
    assert isinstance(reply.body, UpstreamTunnel)
    return reply, reply.body


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_who_takes_it_over_gets_every_byte(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(SWITCHED + b"early,")
        await asyncio.sleep(0.05)
        writer.write(b"later,")
        assert await reader.readexactly(4) == b"ping"
        writer.write(b"pong")

    upstream = await forward((await origin(serve)).base_url, websocket_idle_seconds=7)
    reply, tunnel = await switch(upstream, wire)
    assert (reply.status, reply.forwarded, tunnel.idle_seconds) == (101, True, 7)
    await asyncio.sleep(0.1)
    taker = Taker()
    raw = tunnel.hand_over(taker)
    raw.transport.resume_reading()
    assert raw.early == b"early,later,"
    raw.transport.write(b"ping")
    assert await asyncio.wait_for(taker.lost, 5) is None
    assert taker.received == b"pong"
    raw.lost(None)
    await tunnel.aclose()
    assert upstream._transport._connections._connector._acquired == set()


async def test_a_connection_that_has_ended_says_so_when_it_is_taken_over(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(SWITCHED + b"bye")

    upstream = await forward((await origin(serve)).base_url)
    _, tunnel = await switch(upstream, wire)
    await until(lambda: tunnel._client.transport is None)
    taker = Taker()
    raw = tunnel.hand_over(taker)
    assert raw.early == b"bye"
    assert await asyncio.wait_for(taker.lost, 5) is None
    raw.lost(None)
    await tunnel.aclose()


async def test_a_reset_before_it_is_taken_over_is_told_too(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(SWITCHED)
        await asyncio.sleep(0.05)
        wire.reset(writer)

    upstream = await forward((await origin(serve)).base_url)
    _, tunnel = await switch(upstream, wire)
    await until(lambda: tunnel._client.transport is None)
    taker = Taker()
    tunnel.hand_over(taker)
    assert isinstance(await asyncio.wait_for(taker.lost, 5), Exception)
    await tunnel.aclose()


async def test_a_connection_that_nobody_takes_over_is_cut(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(SWITCHED)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.set()

    upstream = await forward((await origin(serve)).base_url)
    _, tunnel = await switch(upstream, wire)
    await tunnel.aclose()
    await asyncio.wait_for(ended.wait(), 2)


async def test_until_it_is_taken_over_little_is_read(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(SWITCHED + bytes(30_000_000))
        await writer.drain()

    upstream = await forward((await origin(serve)).base_url)
    _, tunnel = await switch(upstream, wire)
    await asyncio.sleep(0.3)
    taker = Taker()
    raw = tunnel.hand_over(taker)
    assert 0 < len(raw.early) < 512 * 1024
    raw.transport.resume_reading()
    await until(lambda: len(raw.early) + len(taker.received) == 30_000_000)
    raw.transport.abort()
    raw.lost(await taker.lost)
    await tunnel.aclose()
