"""Bodies both ways: in bounded memory, and broken off at either end."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, Flow
from kyma_proxy.upstreams.forward import ForwardUpstream

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
StartOrigin = Callable[[Any], Awaitable[Any]]


async def refusal(upstream: ForwardUpstream, flow: Flow) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await upstream.send(flow)
    return caught.value


async def test_an_origin_that_stops_reading_is_a_timeout(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        await asyncio.wait_for(done.wait(), 10)

    length = 32 * 1024 * 1024
    body = wire.body((bytes(64 * 1024) for _ in range(length // (64 * 1024))), length)
    error = await refusal(await forward((await origin(serve)).base_url), wire.flow("POST", body=body))
    done.set()
    assert error.code is ErrorCode.UPSTREAM_TIMEOUT


FRAMINGS = {
    "length": b"Content-Length: 100\r\n\r\nstart",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n",
    "connection": b"Connection: close\r\n\r\nstart",
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", ["close", "reset", "stall"])
async def test_an_answer_that_breaks_off_raises_from_its_stream(
    framing: str, how: str, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + FRAMINGS[framing])
        await go_on.wait()
        if how == "reset":
            wire.reset(writer)
        elif how == "stall":
            await reader.read()

    upstream = await forward((await origin(serve)).base_url)
    flow = wire.flow()
    reply = await upstream.send(flow)
    stream = aiter(reply.body)
    assert await anext(stream) == b"start"
    go_on.set()
    if (framing, how) == ("connection", "close"):  # the orderly end of such a body
        assert [rest async for rest in stream] == []
    else:
        with pytest.raises(GatewayError) as caught:
            await anext(stream)
        stalled = how == "stall"
        assert caught.value.code is (ErrorCode.UPSTREAM_TIMEOUT if stalled else ErrorCode.UPSTREAM_UNREACHABLE)
        assert flow.facts["upstream_failure"] == ("silent" if stalled else "broken")
        assert flow.facts.get("upstream_limit") == ("idle" if stalled else None)
    await reply.body.aclose()


async def test_a_client_that_leaves_closes_the_origin_connection(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            for _ in range(1000):
                writer.write(bytes(100_000))
                await writer.drain()
        finally:
            ended.set()

    upstream = await forward((await origin(serve)).base_url)
    reply = await upstream.send(wire.flow())
    await anext(aiter(reply.body))
    await reply.body.aclose()
    await asyncio.wait_for(ended.wait(), 2)


async def test_a_client_that_leaves_within_its_upload_breaks_the_upload_off(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    received: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        received.append(await reader.read())
        ended.set()

    async def leaves() -> AsyncIterator[bytes]:
        yield b"half"
        raise ClientLeftError("gone")

    upstream = await forward((await origin(serve)).base_url)
    with pytest.raises(ClientLeftError, match="gone"):
        await upstream.send(wire.flow("POST", body=wire.body(leaves(), None)))
    await asyncio.wait_for(ended.wait(), 2)
    assert not received[0].endswith(b"0\r\n\r\n")  # the origin cannot take it for the whole


async def test_the_errors_of_the_request_body_come_through(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def too_large() -> AsyncIterator[bytes]:
        yield b"x"
        raise GatewayError(ErrorCode.TOO_LARGE, "over the limit")

    upstream = await forward((await origin(wire.answering(b"", []))).base_url)
    assert (await refusal(upstream, wire.flow("POST", body=wire.body(too_large(), None)))).code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_upload_that_fails_during_the_answer_breaks_the_answer_off(
    framing: str, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    leave = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + FRAMINGS[framing])
        await reader.read()

    async def leaves() -> AsyncIterator[bytes]:
        yield b"half"
        await leave.wait()
        raise ClientLeftError("gone")

    upstream = await forward((await origin(serve)).base_url)
    reply = await upstream.send(wire.flow("POST", body=wire.body(leaves(), None)))
    stream = aiter(reply.body)
    assert await anext(stream) == b"start"
    leave.set()
    with pytest.raises(ClientLeftError):
        await anext(stream)
    await reply.body.aclose()


async def test_a_head_does_not_wait_for_a_body_that_is_still_to_come(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    arrived = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        arrived.set()
        assert await reader.readexactly(4) == b"body"
        writer.write(EMPTY)

    async def patient() -> AsyncIterator[bytes]:
        await asyncio.wait_for(arrived.wait(), 2)
        yield b"body"

    upstream = await forward((await origin(serve)).base_url)
    assert (await upstream.send(wire.flow("POST", body=wire.body(patient(), 4)))).status == 200


async def test_broken_framing_within_an_answer_is_told_at_once(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n")
        await go_on.wait()
        writer.write(b"zz\r\n")
        await reader.read()

    upstream = await forward((await origin(serve)).base_url)
    flow = wire.flow()
    reply = await upstream.send(flow)
    stream = aiter(reply.body)
    assert await anext(stream) == b"start"
    go_on.set()
    with pytest.raises(GatewayError):
        await anext(stream)
    assert flow.facts["upstream_failure"] == "broken"
    await reply.body.aclose()


@pytest.mark.parametrize(
    "answer", [b"Content-Length: 3\r\n\r\nbig", b"Transfer-Encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n"]
)
async def test_an_early_answer_ends_the_upload(
    answer: bytes, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\n" + answer)
        await reader.read()

    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            for _ in range(200):
                yield b"x"
                await asyncio.sleep(0.05)
        finally:
            closed.set()

    upstream = await forward((await origin(serve)).base_url)
    reply = await upstream.send(wire.flow("POST", body=wire.body(endless(), None)))
    assert (reply.status, await wire.read(reply)) == (413, b"big")
    await asyncio.wait_for(closed.wait(), 1)


async def test_large_bodies_pass_both_ways_in_bounded_memory(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    size, piece = 24 * 1024 * 1024, 64 * 1024

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        left = size
        while left:
            left -= len(await reader.read(piece))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // piece):
            writer.write(bytes(piece))
            await writer.drain()

    upstream = await forward((await origin(serve)).base_url)
    body = wire.body((bytes(piece) for _ in range(size // piece)), size)
    tracemalloc.start()
    try:
        reply = await upstream.send(wire.flow("POST", headers=((b"Content-Length", str(size).encode()),), body=body))
        received = 0
        async for chunk in reply.body:
            received += len(chunk)
        await reply.body.aclose()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received == size
    assert peak_bytes < 3 * 1024 * 1024
