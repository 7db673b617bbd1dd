"""What a transport makes of upstreams that answer, refuse, stall, lie and break off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_proxy.settings.models import UpstreamTimeouts
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.exchange import OutgoingRequest
from kyma_proxy.upstreams.transport import IncomingReply, Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
StartOrigin = Callable[[Any], Awaitable[Any]]


@pytest.fixture
async def connect(quick: UpstreamTimeouts) -> AsyncIterator[Callable[..., Awaitable[Transport]]]:
    opened: list[Transport] = []

    async def start(base_url: str, **timeouts: float) -> Transport:
        transport = Transport(base_url, quick.model_copy(update=timeouts))
        opened.append(transport)
        await transport.start()
        return transport

    yield start
    for transport in opened:
        await transport.stop()


def request(transport: Transport, method: str = "GET", *, repeatable: bool = False) -> OutgoingRequest:
    headers = CIMultiDict({"Host": transport.host})
    first_byte_seconds = transport.timeouts.first_byte_seconds
    return OutgoingRequest(method, transport.target("/x"), headers, first_byte_seconds, repeatable=repeatable)


async def read(reply: IncomingReply) -> bytes:
    try:
        return b"".join([chunk async for chunk in reply.body])
    finally:
        await reply.body.aclose()


async def test_an_answer_is_read_and_its_connection_used_again(
    origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await wire.read_head(reader)
            writer.write(OK)

    server = await origin(serve)
    transport = await connect(server.base_url)
    for _ in range(2):
        reply = await transport.send(request(transport))
        assert (reply.status, reply.phrase, await read(reply)) == (200, "OK", b"ok")
    assert server.connections == 1


async def test_refused(connect: Any, refused_url: str) -> None:
    transport = await connect(refused_url)
    with pytest.raises(TransportError) as caught:
        await transport.send(request(transport))
    assert caught.value.kind is FailureKind.REFUSED
    assert not caught.value.request_sent


async def test_a_refused_connection_is_tried_once_more_if_the_request_may_be_repeated(
    connect: Any, refused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = await connect(refused_url)
    attempts = []
    original = Transport._exchange

    async def count(self: Transport, exchange: Any, door: Any) -> Any:
        attempts.append(exchange)
        return await original(self, exchange, door)

    monkeypatch.setattr(Transport, "_exchange", count)
    for repeatable, expected in ((False, 1), (True, 2)):
        attempts.clear()
        with pytest.raises(TransportError):
            await transport.send(request(transport, "POST", repeatable=repeatable))
        assert len(attempts) == expected


async def test_a_handshake_that_stalls_is_unreachable(origin: StartOrigin, connect: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await origin(serve)
    transport = await connect(server.base_url.replace("http:", "https:"), connect_seconds=0.2)
    with pytest.raises(TransportError) as caught:
        await transport.send(request(transport))
    assert (caught.value.kind, caught.value.limit) == (FailureKind.UNREACHABLE, "connect")
    assert not caught.value.request_sent


async def test_a_silent_upstream_is_given_up_and_its_connection_cut(
    origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        assert await reader.read() == b""
        ended.set()

    server = await origin(serve)
    transport = await connect(server.base_url)
    with pytest.raises(TransportError) as caught:
        await transport.send(request(transport))
    assert (caught.value.kind, caught.value.limit) == (FailureKind.SILENT, "first_byte")
    assert caught.value.request_sent
    await asyncio.wait_for(ended.wait(), 2)


async def test_total_seconds_end_an_answer_that_never_ends(
    origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    server = await origin(serve)
    transport = await connect(server.base_url, total_seconds=0.4)
    reply = await transport.send(request(transport))
    with pytest.raises(TransportError) as caught:
        await read(reply)
    assert (caught.value.kind, caught.value.limit) == (FailureKind.SILENT, "total")


BROKEN_ANSWERS = {
    "closed": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "packed for the way": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "switched unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "switched to WebSocket": b"HTTP/1.1 101 Hi\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
}


@pytest.mark.parametrize("answer", BROKEN_ANSWERS.values(), ids=list(BROKEN_ANSWERS))
async def test_an_answer_that_breaks_off_before_its_head_is_whole(
    answer: bytes, origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(answer)

    server = await origin(serve)
    transport = await connect(server.base_url)
    with pytest.raises(TransportError) as caught:
        await transport.send(request(transport))
    assert caught.value.kind is FailureKind.BROKEN
    assert server.connections == 1


async def test_a_reset_before_the_head(origin: StartOrigin, connect: Any, wire: SimpleNamespace) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        wire.reset(writer)

    transport = await connect((await origin(serve)).base_url)
    with pytest.raises(TransportError) as caught:
        await transport.send(request(transport, repeatable=True))
    assert caught.value.kind is FailureKind.BROKEN


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("POST", False)])
async def test_only_an_idempotent_request_is_repeated_on_a_stale_connection(
    method: str, repeated: bool, origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (OK, b""):  # the second request on a connection finds it going away
            heads.append(await wire.read_head(reader))
            writer.write(answer)

    transport = await connect((await origin(serve)).base_url)
    await read(await transport.send(request(transport, method, repeatable=True)))
    if repeated:
        assert await read(await transport.send(request(transport, method, repeatable=True))) == b"ok"
    else:
        with pytest.raises(TransportError):
            await transport.send(request(transport, method, repeatable=True))
    assert len(heads) == (3 if repeated else 2)


async def test_large_heads_pass_and_endless_ones_do_not(
    origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    sizes = iter((30_000, 200_000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Large: " + b"a" * next(sizes) + b"\r\nContent-Length: 0\r\n\r\n")

    transport = await connect((await origin(serve)).base_url)
    reply = await transport.send(request(transport))
    assert len(dict(reply.raw_headers)[b"X-Large"]) == 30_000
    await reply.body.aclose()
    with pytest.raises(TransportError):
        await transport.send(request(transport))


async def test_cookies_are_not_kept(origin: StartOrigin, connect: Any, wire: SimpleNamespace) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await wire.read_head(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    transport = await connect((await origin(serve)).base_url)
    for _ in range(2):
        await read(await transport.send(request(transport)))
    assert heads[0] == heads[1]
    assert b"ookie" not in heads[1]


async def test_cancelling_closes_the_connection(origin: StartOrigin, connect: Any, wire: SimpleNamespace) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        asked.set()
        await reader.read()
        ended.set()

    transport = await connect((await origin(serve)).base_url, first_byte_seconds=30.0)
    task = asyncio.get_running_loop().create_task(transport.send(request(transport)))
    await asyncio.wait_for(asked.wait(), 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ended.wait(), 2)


async def test_a_failure_carries_nothing_of_the_request(
    origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(b"nonsense\r\n\r\n")

    transport = await connect((await origin(serve)).base_url)
    headers = CIMultiDict({"Host": transport.host, "Authorization": "Bearer sk-secret"})
    with pytest.raises(TransportError) as caught:
        await transport.send(OutgoingRequest("GET", "/x?token=sk-query", headers, 1.0))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "sk-" not in f"{caught.value} {caught.value!r}"


async def test_after_stop_nothing_is_sent(connect: Any, refused_url: str) -> None:
    transport = await connect(refused_url)
    await transport.stop()
    assert "closed" in repr(transport)
    with pytest.raises(TransportError) as caught:
        await transport.send(request(transport))
    assert not caught.value.request_sent


def test_targets_lie_below_the_path_of_the_base_url() -> None:
    timeouts = UpstreamTimeouts()
    plain, below = Transport("http://a.test:8080", timeouts), Transport("https://a.test:443/base/", timeouts)
    assert (plain.target("/v1/x", ""), plain.target("/v1/x"), below.target("/v1/x", "a=b?c")) == (
        "/v1/x?",
        "/v1/x",
        "/base/v1/x?a=b?c",
    )
    assert (plain.host, below.host) == ("a.test:8080", "a.test")


@pytest.mark.parametrize(
    "fields",
    [b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Upgrade: websocket\r\n", b"Connection: upgrade\r\n", b""],
    ids=["another", "half said", "the other half", "not said"],
)
async def test_a_switch_to_another_protocol_than_the_one_asked_for(
    fields: bytes, origin: StartOrigin, connect: Any, wire: SimpleNamespace
) -> None:
    server = await origin(wire.answering(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n", []))
    transport = await connect(server.base_url)
    with pytest.raises(TransportError) as caught:
        await transport.send(replace(request(transport), websocket_idle_seconds=5.0))
    assert caught.value.kind is FailureKind.BROKEN
