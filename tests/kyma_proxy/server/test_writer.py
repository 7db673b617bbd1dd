from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.observe.endings import EndReason

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


class Pieces:
    """A reply stream that says when it was closed; an exception among its pieces is raised, a float is waited."""

    def __init__(self, *pieces: bytes | float | BaseException) -> None:
        self.pieces = pieces
        self.read = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed += 1


def handler(stream: Pieces | bytes, status: int = 200, forwarded: bool = True, **headers: str):  # type: ignore[no-untyped-def]
    async def handle(flow: Flow) -> Reply:
        pairs = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        return Reply(status, pairs, stream, forwarded=forwarded)

    return handle


async def test_a_client_that_leaves_its_upload_unfinished_ends_a_silent_answer(serve) -> None:
    stream = Pieces(b"ab", 30.0)
    edge = await serve(handler(stream), read_buffer_bytes=1024)
    client = await edge.connect()
    # More than is read ahead: the connection stands still, and the event loop no longer looks at it.
    await client.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n" + bytes(1_000_000))
    await edge.until(lambda: stream.read == 2)
    linger = struct.pack("ii", 1, 0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.writer.transport.abort()
    await edge.until(lambda: edge.records)
    assert edge.records[0].ending.reason is EndReason.CLIENT_LEFT


async def test_a_stream_without_a_length_is_chunked(serve) -> None:
    stream = Pieces(b"ab", b"", b"c" * 100_000)
    edge = await serve(handler(stream))
    client = await edge.connect()
    await client.send(GET)
    answer = await client.answer()
    assert answer.head == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert answer.body == b"ab" + b"c" * 100_000
    await edge.until(lambda: edge.records)
    assert stream.closed == 1
    assert edge.records[0].bytes_out == 100_002
    assert edge.records[0].ending.reason is EndReason.COMPLETED
    await client.send(GET)
    assert (await client.answer()).status == 200


async def test_a_stream_with_a_length_keeps_it(serve) -> None:
    edge = await serve(handler(Pieces(b"ab", b"c"), Content_Length="3", Date="then", Server="origin"))
    answer = await edge.ask(GET)
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: then\r\nServer: origin\r\n\r\n"
    assert answer.body == b"abc"


async def test_pieces_are_not_held_back(serve) -> None:
    edge = await serve(handler(Pieces(b"first", 30.0, b"never")))
    client = await edge.connect()
    await client.send(GET)
    async with asyncio.timeout(2):
        await client.reader.readuntil(b"5\r\nfirst\r\n")


async def test_http_1_0_gets_a_body_that_ends_with_the_connection(serve) -> None:
    edge = await serve(handler(Pieces(b"ab", b"c")))
    client = await edge.connect()
    await client.send(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert await client.rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    ("stream", "headers"),
    [
        (Pieces(b"ab", 0.05, OSError("upstream died")), {}),
        (Pieces(b"ab", 0.05, OSError("upstream died")), {"Content_Length": "10"}),
        (Pieces(b"ab", 0.05), {"Content_Length": "10"}),
        (Pieces(b"ab", 0.05, b"cd"), {"Content_Length": "3"}),
    ],
)
async def test_a_stream_that_breaks_off_resets_the_connection(serve, version, stream, headers) -> None:
    stream.closed = 0
    edge = await serve(handler(stream, **headers))
    client = await edge.connect()
    await client.send(b"GET /a HTTP/" + version + b"\r\nHost: h\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await edge.until(lambda: edge.records)
    assert stream.closed == 1
    assert edge.records[0].ending.reason is EndReason.UPSTREAM_FAILED
    assert edge.records[0].status == 200


async def test_a_stream_that_times_out_is_told_apart(serve) -> None:
    edge = await serve(handler(Pieces(b"ab", GatewayError(ErrorCode.UPSTREAM_TIMEOUT, "slow"))))
    client = await edge.connect()
    await client.send(GET)
    with pytest.raises(ConnectionResetError):
        await client.rest()
    await edge.until(lambda: edge.records)
    assert edge.records[0].ending.reason is EndReason.TIMED_OUT


async def test_a_client_that_leaves_ends_a_silent_stream(serve) -> None:
    stream = Pieces(b"ab", 60.0)
    edge = await serve(handler(stream))
    client = await edge.connect()
    await client.send(GET)
    await client.reader.readuntil(b"ab")
    await client.close()
    await edge.until(lambda: edge.records)
    assert stream.closed == 1
    assert edge.records[0].ending.reason is EndReason.CLIENT_LEFT


async def test_back_pressure_reaches_the_stream(serve) -> None:
    stream = Pieces(*[b"x" * 65536] * 400)
    edge = await serve(handler(stream))
    client = await edge.connect()
    await client.send(GET)
    await asyncio.sleep(0.3)
    assert 0 < stream.read < 300
    body = (await client.answer()).body
    assert len(body) == 400 * 65536


async def test_a_client_that_takes_nothing_is_cut_off(serve) -> None:
    stream = Pieces(*[b"x" * 65536] * 2000)
    edge = await serve(handler(stream), send_timeout_seconds=0.2)
    client = await edge.connect()
    await client.send(GET)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await edge.until(lambda: edge.records)
    assert edge.records[0].ending.reason is EndReason.TIMED_OUT
    assert stream.closed == 1


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [("HEAD", 200, {"Content_Length": "7"}), ("HEAD", 200, {}), ("GET", 304, {"Content_Length": "7", "ETag": "x"})],
)
async def test_bodiless_forwarded_answers_keep_their_head(serve, method, status, headers) -> None:
    stream = Pieces(b"never")
    edge = await serve(handler(stream, status, **headers))
    client = await edge.connect()
    for _ in range(2):
        await client.send(GET.replace(b"GET", method.encode()))
        answer = await client.answer(method)
        assert dict(answer.headers) == {name.replace("_", "-"): value for name, value in headers.items()}
    await edge.until(lambda: stream.closed == 2)
    assert stream.read == 0


async def test_a_head_with_a_whole_body_of_ours_tells_its_length(serve) -> None:
    edge = await serve(handler(b"hello", forwarded=False))
    answer = await edge.ask(GET.replace(b"GET", b"HEAD"), "HEAD")
    assert answer.headers["Content-Length"] == "5"
    assert answer.headers["x-request-id"]


async def test_a_small_answer_is_one_write(serve) -> None:
    edge = await serve(handler(b"hello", forwarded=False))
    with socket.create_connection(("127.0.0.1", edge.listener.port)) as connection:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, GET)
        data = await loop.sock_recv(connection, 65536)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\nhello")


async def test_a_large_whole_answer(serve) -> None:
    body = b"x" * 3_000_000
    edge = await serve(handler(body, forwarded=False))
    assert (await edge.ask(GET)).body == body


async def test_a_reply_whose_head_cannot_be_written_is_a_500(serve) -> None:
    stream = Pieces(b"never")
    edge = await serve(handler(stream, X="a\r\nSet-Cookie: b"))
    answer = await edge.ask(GET)
    assert answer.status == 500
    assert "Set-Cookie" not in answer.headers
    assert (stream.closed, stream.read) == (1, 0)
    assert edge.records[0].ending.reason is EndReason.PLUGIN_CRASHED
