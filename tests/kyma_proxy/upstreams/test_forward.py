"""Forwarding over real sockets: what reaches the origin, what comes back, and what its failures become."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow
from kyma_proxy.upstreams.forward import ForwardUpstream

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
StartOrigin = Callable[[Any], Awaitable[Any]]


async def test_the_head_goes_on_byte_for_byte(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    heads: list[bytes] = []
    server = await origin(wire.answering(EMPTY, heads))
    upstream = await forward(server.base_url)
    sent = (
        (b"host", b"gateway.test"),
        (b"connection", b"close, x-private"),
        (b"x-private", b"1"),
        (b"TE", b"trailers"),
        (b"Proxy-Authorization", b"Basic abc"),
        (b"upgrade", b"websocket"),
        (b"authorization", b"Bearer client"),
        (b"X-Tag", b"one"),
        (b"x-tag", b"two"),
        (b"X-TAG", b"three"),
        (b"X-Latin", b"caf\xe9"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"X-Forwarded-Prefix", b"/spoofed"),
        (b"X-Request-Id", b"theirs"),
        (b"Via", b"1.0 first"),
        (b"traceparent", b"00-abc-def-01"),
    )
    reply = await upstream.send(wire.flow(path="/v1/audio/a%2Fb;x//%7e", query="", headers=sent))
    assert (reply.status, reply.body, reply.forwarded) == (200, b"", True)
    first, *fields = heads[0].removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert first == b"GET /v1/audio/a%2Fb;x//%7e? HTTP/1.1"
    assert fields == [
        b"Host: 127.0.0.1:%d" % server.port,
        b"authorization: Bearer client",
        b"X-Tag: one",
        b"x-tag: two",
        b"X-TAG: three",
        b"X-Latin: caf\xe9",
        b"Via: 1.0 first",
        b"traceparent: 00-abc-def-01",
        b"X-Request-Id: req_0123456789",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-For: 203.0.113.7",
        b"X-Forwarded-Host: gateway.test",
        b"Via: 1.1 kyma-proxy",
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
async def test_a_request_without_a_body_announces_none(
    method: str, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []
    upstream = await forward((await origin(wire.answering(EMPTY, heads))).base_url)
    await upstream.send(wire.flow(method))
    assert heads[0].startswith(method.encode() + b" /v1/audio/voices HTTP/1.1\r\n")
    assert not re.search(rb"(?i)content-|transfer-|user-agent|accept", heads[0])


async def test_an_announced_empty_body_stays_announced(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []
    upstream = await forward((await origin(wire.answering(EMPTY, heads))).base_url)
    await upstream.send(wire.flow("POST", headers=((b"Content-Length", b"0"),)))
    assert heads[0].count(b"Content-Length: 0\r\n") == 1


async def test_replacing_authorization_and_keeping_to_the_base_path(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []
    base_url = f"{(await origin(wire.answering(EMPTY, heads))).base_url}/base"
    upstream = await forward(base_url, authorization="replace", api_key="sk-ours")
    await upstream.send(wire.flow(query="a=%20b", headers=((b"AUTHORIZATION", b"Bearer client"),)))
    assert heads[0].startswith(b"GET /base/v1/audio/voices?a=%20b HTTP/1.1\r\n")
    assert re.findall(rb"(?i)authorization: .*", heads[0]) == [b"Authorization: Bearer sk-ours\r"]
    assert "sk-ours" not in repr(vars(upstream))


@pytest.mark.parametrize("length", [8, None])
async def test_a_request_body_goes_out_as_it_comes_in(
    length: int | None, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    received = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = await wire.read_head(reader)
        received += await reader.readexactly(4 if length else 9)
        arrived.set()
        received += await reader.readexactly(4 if length else 14)
        writer.write(EMPTY)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.wait_for(go_on.wait(), 2)
        yield b"rest"

    upstream = await forward((await origin(serve)).base_url)
    headers = ((b"content-length", b"8"), (b"Content-Encoding", b"gzip")) if length else ()
    flow = wire.flow("POST", headers=headers, body=wire.body(chunks(), length))
    task = asyncio.get_running_loop().create_task(upstream.send(flow))
    await asyncio.wait_for(arrived.wait(), 2)  # the first half is there before the second exists
    go_on.set()
    assert (await task).status == 200
    head, _, body = received.partition(b"\r\n\r\n")
    if length:
        assert head.lower().count(b"content-length: 8") == 1
        assert b"Content-Encoding: gzip" in head
        assert body == b"halfrest"
    else:
        assert b"Transfer-Encoding: chunked" in head
        assert b"content-length" not in head.lower()
        assert body == b"4\r\nhalf\r\n4\r\nrest\r\n0\r\n\r\n"


async def test_an_answer_streams_as_it_comes_with_its_own_head(
    origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        writer.write(
            b"HTTP/1.1 203 As it is\r\nserver: theirs\r\nX-Latin: \xe9\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
            b"Content-Encoding: gzip\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
        )
        await go_on.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    upstream = await forward((await origin(serve)).base_url)
    reply = await upstream.send(wire.flow())
    assert (reply.status, reply.phrase) == (203, "As it is")
    latin = b"\xe9".decode("utf-8", "surrogateescape")
    expected = [("server", "theirs"), ("X-Latin", latin), ("Set-Cookie", "a"), ("set-cookie", "b")]
    assert list(reply.headers.items()) == [*expected, ("Content-Encoding", "gzip")]
    stream = aiter(reply.body)
    assert await anext(stream) == b"first"
    go_on.set()
    assert await anext(stream) == b"second"  # neither buffered nor decoded: it is no gzip at all
    assert [rest async for rest in stream] == []
    await reply.body.aclose()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b'HTTP/1.1 422 No\r\nContent-Length: 13\r\n\r\n{"error": 1}\n', 422, b'{"error": 1}\n'),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\nhi", 302, b"hi"),
        (b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n", 304, b""),
    ],
)
async def test_every_status_passes_with_its_body(
    answer: bytes, status: int, body: bytes, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []
    upstream = await forward((await origin(wire.answering(answer, heads))).base_url)
    reply = await upstream.send(wire.flow())
    assert (reply.status, await wire.read(reply)) == (status, body)
    head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    assert [f"{name}: {value}" for name, value in reply.headers.items()] == head
    assert len(heads) == 1


async def test_the_answer_to_head_keeps_its_length(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4711\r\n\r\n"
    upstream = await forward((await origin(wire.answering(answer, []))).base_url)
    reply = await upstream.send(wire.flow("HEAD"))
    assert (reply.headers["Content-Length"], reply.body) == ("4711", b"")


async def test_interim_answers_are_not_the_answer(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + EMPTY
    upstream = await forward((await origin(wire.answering(answer, []))).base_url)
    assert (await upstream.send(wire.flow())).status == 200


async def test_a_trace_begins_here_or_goes_on(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    heads: list[bytes] = []
    upstream = await forward((await origin(wire.answering(EMPTY, heads))).base_url)
    theirs = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    for headers in ((), ((b"Traceparent", theirs),)):
        flow = wire.flow(headers=headers)
        await upstream.send(flow)
        (sent,) = re.findall(rb"(?i)\r\ntraceparent: (.*)\r\n", heads[-1])
        assert sent.split(b"-")[1] == flow.facts["trace_id"].encode()
    assert sent == theirs


async def test_what_trusted_proxies_said_goes_on(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    heads: list[bytes] = []
    upstream = await forward((await origin(wire.answering(EMPTY, heads))).base_url)
    flow = wire.flow(headers=((b"X-Forwarded-For", b"6.6.6.6"),))
    flow.forwarded_for = "192.0.2.1, 10.0.0.1"
    await upstream.send(flow)
    assert re.findall(rb"(?i)forwarded-for: (.*)\r\n", heads[0]) == [b"192.0.2.1, 10.0.0.1"]


@pytest.mark.parametrize("sent", [b"content-length", b"CONTENT-LENGTH"])
async def test_a_true_length_keeps_its_spelling_and_a_false_one_is_corrected(
    sent: bytes, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await wire.read_head(reader))
            await reader.readexactly(4)
            writer.write(EMPTY)

    upstream = await forward((await origin(serve)).base_url)
    for announced in (b"4", b"9"):
        await upstream.send(wire.flow("POST", headers=((sent, announced),), body=wire.body([b"body"], 4)))
    assert b"\r\n" + sent + b": 4\r\n" in heads[0]
    assert re.findall(rb"(?i)content-length: (.*)\r\n", heads[1]) == [b"4"]


async def refusal(upstream: ForwardUpstream, flow: Flow) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await upstream.send(flow)
    return caught.value


async def test_a_refused_connection_may_be_retried(forward: Any, wire: SimpleNamespace, refused_url: str) -> None:
    flow = wire.flow("POST", body=wire.body([b"body"], 4))
    error = await refusal(await forward(refused_url), flow)
    assert (error.code, error.should_retry) == (ErrorCode.UPSTREAM_UNREACHABLE, True)
    assert flow.facts["upstream_failure"] == "refused"
    assert not flow.body.was_read


async def test_a_silent_origin_is_a_timeout(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    error = await refusal(await forward((await origin(serve)).base_url), wire.flow())
    assert (error.code, error.should_retry) == (ErrorCode.UPSTREAM_TIMEOUT, False)


@pytest.mark.parametrize("reset", [False, True])
async def test_an_origin_that_breaks_off_before_its_head(
    reset: bool, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wire.read_head(reader)
        if reset:
            wire.reset(writer)

    server = await origin(serve)
    error = await refusal(await forward(server.base_url), wire.flow())
    assert (error.code, error.should_retry) == (ErrorCode.UPSTREAM_UNREACHABLE, False)
    assert server.connections == 1


async def test_headers_of_a_flow_are_not_shared(origin: StartOrigin, forward: Any, wire: SimpleNamespace) -> None:
    heads: list[bytes] = []
    upstream = await forward((await origin(wire.answering(EMPTY, heads))).base_url)
    flow = wire.flow(headers=((b"X", b"1"), (b"traceparent", b"00-abc-def-01")))
    replies = [await upstream.send(flow) for _ in range(2)]
    assert heads[0] == heads[1]
    assert replies[0].headers == replies[1].headers == CIMultiDict({"Content-Length": "0"})


@pytest.mark.parametrize("wants", [True, False])
async def test_a_request_for_a_websocket_keeps_its_words(
    wants: bool, origin: StartOrigin, forward: Any, wire: SimpleNamespace
) -> None:
    heads: list[bytes] = []
    answer = (
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno"
    )
    upstream = await forward((await origin(wire.answering(answer, heads))).base_url)
    headers = ((b"connection", b"keep-alive, Upgrade"), (b"UPGRADE", b"websocket"), (b"Sec-WebSocket-Key", b"k=="))
    flow = wire.flow(headers=headers)
    flow.wants_websocket = wants
    reply = await upstream.send(flow)
    assert (reply.status, reply.body, dict(reply.headers)) == (426, b"no", {"Content-Length": "2"})
    assert (b"\r\nconnection: Upgrade\r\nUPGRADE: websocket\r\nSec-WebSocket-Key: k==\r\n" in heads[0]) is wants
    assert (b"pgrade" in heads[0]) is wants
