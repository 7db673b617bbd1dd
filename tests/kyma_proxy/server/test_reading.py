from __future__ import annotations

import asyncio
from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"


async def tell(flow: Flow) -> Reply:
    """Answers with what arrived."""
    body = b"".join([chunk async for chunk in flow.body])
    names = b",".join(name for name, _ in flow.raw_headers)
    return Reply(200, CIMultiDict(), flow.path.encode() + b" " + body + b" " + names)


@pytest.mark.parametrize("piece", [1, 3, 64, 10_000])
async def test_requests_behind_each_other_are_answered_however_they_arrive(serve: Any, piece: int) -> None:
    edge = await serve(tell)
    client = await edge.connect()
    data = GET + POST + b"\r\n" + CHUNKED + b"2\r\nxy\r\n1;e=f\r\nz\r\n0\r\n\r\n" + GET + GET
    for at in range(0, len(data), piece):
        await client.send(data[at : at + piece])
        await asyncio.sleep(0)
    bodies = [(await client.answer()).body for _ in range(5)]
    assert bodies == [b"/a  Host", b"/p abc Host,Content-Length", b"/c xyz Host,Transfer-Encoding", *[b"/a  Host"] * 2]


async def test_many_small_requests_in_one_piece(serve: Any) -> None:
    edge = await serve(tell)
    client = await edge.connect()
    await client.send(GET * 500)
    assert {(await client.answer()).status for _ in range(500)} == {200}


async def test_what_waits_behind_a_request_is_bounded(serve: Any) -> None:
    release = asyncio.Event()

    async def hold(flow: Flow) -> Reply:
        await release.wait()
        return await tell(flow)

    edge = await serve(hold)
    client = await edge.connect()
    count = 200_000
    client.writer.write(GET * count)
    await edge.until(lambda: edge.records == [] and edge.listener.in_flight == 1)
    (connection,) = edge.listener._occupancy.connections
    await edge.until(lambda: connection._buffer_paused)
    await asyncio.sleep(0.1)
    assert len(connection._message_tail) < 512 * 1024
    release.set()
    for _ in range(3000):
        assert (await client.answer()).status == 200
        assert len(connection._message_tail) < 512 * 1024
    client.writer.transport.abort()
    await edge.until(lambda: edge.listener.in_flight == 0)


@pytest.mark.parametrize("trailer", [b"X-Smuggled: 1", b"Host: evil", b"Connection: x", b"Authorization: Bearer x"])
@pytest.mark.parametrize("gap", [0.0, 0.05])
async def test_a_trailer_never_becomes_a_header_of_the_next_request(serve: Any, trailer: bytes, gap: float) -> None:
    edge = await serve(tell)
    client = await edge.connect()
    await client.send(CHUNKED + b"1\r\nx\r\n0\r\n" + trailer + b"\r\n\r\n")
    await asyncio.sleep(gap)
    await client.send(HIDDEN)
    answer = await client.answer()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert answer.body == b"/c x Host,Transfer-Encoding"
    assert await client.rest() == b""
    assert [record.path for record in edge.records] == ["/c"]


@pytest.mark.parametrize("trailer", [b"no colon", b"Content-Length: 40", b"Transfer-Encoding: chunked", b"X: a\rb"])
async def test_a_refused_trailer_is_a_refused_request(serve: Any, trailer: bytes) -> None:
    edge = await serve(tell)
    client = await edge.connect()
    await client.send(CHUNKED + b"0\r\n" + trailer + b"\r\n\r\n" + HIDDEN)
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    assert [record.path for record in edge.records] == ["/c"]


@pytest.mark.parametrize(
    "broken",
    [
        b"1\r\nxGET /",
        b"1\r\nx\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"1\nx\r\n0\r\n\r\n",
        b"1;a=\rb\r\nx\r\n0\r\n\r\n",
        b"0;" + b"e" * 9000 + b"\r\n\r\n",
    ],
)
async def test_broken_chunks_end_the_connection(serve: Any, broken: bytes) -> None:
    edge = await serve(tell)
    client = await edge.connect()
    await client.send(CHUNKED + broken + HIDDEN)
    answer = await client.answer()
    assert (answer.status, answer.headers["Connection"]) == (400, "close")
    assert await client.rest() == b""
    assert [record.path for record in edge.records] == ["/c"]


@pytest.mark.parametrize("behind", [b"", b"junk", HIDDEN])
async def test_a_request_behind_a_refusal_that_closes_is_not_read(serve: Any, behind: bytes) -> None:
    async def refuse(_flow: Flow) -> Reply:
        raise GatewayError(ErrorCode.INVALID_REQUEST, "no", close_connection=True)

    edge = await serve(refuse)
    client = await edge.connect()
    await client.send(GET + behind)
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    assert len(edge.records) == 1


async def test_a_request_behind_a_refusal_that_does_not_close_is_read(serve: Any) -> None:
    async def refuse(_flow: Flow) -> Reply:
        raise GatewayError(ErrorCode.NOT_FOUND, "no")

    edge = await serve(refuse)
    client = await edge.connect()
    await client.send(POST + GET)
    assert [(await client.answer()).status for _ in range(2)] == [404, 404]


@pytest.mark.parametrize(
    "line", [b"GET  /a HTTP/1.1", b"GET /a RTSP/1.0", b"\r\n\r\nGET /a HTTP/1.1", b"GET /a\tHTTP/1.1"]
)
async def test_a_request_line_spelled_otherwise_is_refused(serve: Any, line: bytes) -> None:
    edge = await serve(tell)
    client = await edge.connect()
    await client.send(line + b"\r\nHost: h\r\n\r\n" + HIDDEN)
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    assert len(edge.records) == 1


async def test_a_half_head_that_waited_gets_a_head_timer(serve: Any) -> None:
    edge = await serve(tell, head_timeout_seconds=0.2)
    client = await edge.connect()
    await client.send(GET + b"GET /b HT")
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 408
