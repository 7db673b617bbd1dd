from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, Flow, Reply
from kyma_proxy.observe.endings import EndReason
from kyma_proxy.server.body import BodyPace

HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n"


async def test_a_body_with_a_length_and_a_chunked_one(serve, echo) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert (await client.answer()).body == b"hello"
    await client.send(HEAD + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: x\r\n\r\n")
    assert (await client.answer()).body == b"hello"
    assert [record.bytes_in for record in edge.records] == [5, 5]


async def test_a_compressed_body_is_left_as_it_came(serve, echo) -> None:
    edge = await serve(echo)
    body = bytes.fromhex("1f8b0800") + b"not really gzip"
    answer = await edge.ask(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.body == body


async def test_100_continue_is_sent_on_the_first_read_only(serve) -> None:
    proceed = asyncio.Event()

    async def handle(flow: Flow) -> Reply:
        await proceed.wait()
        return Reply(200, body=b"".join([chunk async for chunk in flow.body]))

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(HEAD + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.reader.read(1), 0.1)
    proceed.set()
    invitation = await client.answer()
    assert (invitation.line, invitation.head) == (b"HTTP/1.1 100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n")
    await client.send(b"hello")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"hello")


async def test_no_100_continue_for_a_body_that_is_there_already(serve, echo) -> None:
    edge = await serve(echo)
    answer = await edge.ask(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    assert (answer.status, answer.body) == (200, b"hello")


async def test_narrow_refuses_by_content_length_before_any_byte_is_asked_for(serve) -> None:
    async def handle(flow: Flow) -> Reply:
        flow.body.narrow(4)
        raise AssertionError

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    answer = await client.answer()
    assert answer.status == 413
    assert answer.headers["Connection"] == "close"
    assert await client.rest() == b""
    assert edge.records[0].error_code == ErrorCode.TOO_LARGE.code


async def test_narrow_counts_where_no_length_is_announced_and_never_widens(serve) -> None:
    taken = 0

    async def handle(flow: Flow) -> Reply:
        nonlocal taken
        flow.body.narrow(4)
        flow.body.narrow(100)
        async for chunk in flow.body:
            taken += len(chunk)
        raise AssertionError

    edge = await serve(handle)
    answer = await edge.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n")
    assert answer.status == 413
    assert taken <= 4


async def test_a_body_of_exactly_the_bound_passes(serve, echo) -> None:
    async def handle(flow: Flow) -> Reply:
        flow.body.narrow(5)
        return await echo(flow)

    edge = await serve(handle)
    assert (await edge.ask(HEAD + b"Content-Length: 5\r\n\r\nhello")).body == b"hello"


async def test_a_silent_client_gets_408(serve, echo) -> None:
    edge = await serve(echo, body_idle_timeout_seconds=0.1)
    client = await edge.connect()
    await client.send(HEAD + b"Content-Length: 5\r\n\r\nhe")
    answer = await client.answer()
    assert answer.status == 408
    assert answer.headers["Connection"] == "close"
    assert edge.records[0].ending.reason is EndReason.TIMED_OUT


@pytest.mark.parametrize("broken", [b"zz\r\n", b"3\r\nhelxx", b"-1\r\n", b"fffffffffffffffff\r\n"])
async def test_broken_chunked_framing_is_refused_at_once(serve, echo, broken: bytes) -> None:
    edge = await serve(echo)
    client = await edge.connect()
    await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n")
    await edge.until(lambda: edge.listener.in_flight)
    await asyncio.sleep(0.02)
    await client.send(broken)
    answer = await client.answer()
    assert answer.status == 400
    assert b"chunked framing" in answer.body
    assert await client.rest() == b""
    assert len(edge.records) == 1


async def test_a_client_that_leaves_ends_the_reading(serve, handler_cancellation: bool) -> None:
    seen: list[BaseException] = []

    async def handle(flow: Flow) -> Reply:
        try:
            async for _ in flow.body:
                pass
        except BaseException as error:
            seen.append(error)
            raise
        raise AssertionError

    edge = await serve(handle)
    client = await edge.connect()
    await client.send(HEAD + b"Content-Length: 5\r\n\r\nhe")
    await edge.until(lambda: edge.listener.in_flight)
    await client.close()
    await edge.until(lambda: edge.records)
    expected = asyncio.CancelledError if handler_cancellation else ClientLeftError
    assert isinstance(seen[0], expected | ClientLeftError)
    assert edge.records[0].ending.reason is EndReason.CLIENT_LEFT
    assert edge.records[0].status is None


async def test_nobody_reads_so_the_socket_is_not_read_either(serve) -> None:
    proceed = asyncio.Event()

    async def handle(flow: Flow) -> Reply:
        await proceed.wait()
        total = 0
        async for chunk in flow.body:
            total += len(chunk)
        return Reply(200, body=str(total).encode())

    edge = await serve(handle, read_buffer_bytes=4096)
    client = await edge.connect()
    size = 20 * 1024 * 1024
    sending = asyncio.ensure_future(client.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + bytes(size)))
    await asyncio.sleep(0.2)
    assert not sending.done()
    proceed.set()
    assert (await client.answer()).body == str(size).encode()
    await sending


async def test_errors_of_the_body_are_gateway_errors(serve) -> None:
    caught: list[GatewayError] = []

    async def handle(flow: Flow) -> Reply:
        try:
            async for _ in flow.body:
                pass
        except GatewayError as error:
            caught.append(error)
        return Reply(200)

    edge = await serve(handle, body_idle_timeout_seconds=0.05)
    answer = await edge.ask(HEAD + b"Content-Length: 5\r\n\r\n")
    assert answer.status == 200
    assert answer.headers["Connection"] == "close"
    assert [error.code for error in caught] == [ErrorCode.REQUEST_TIMEOUT]


def test_pace_counts_waiting_alone_and_asks_for_a_rate_after_one_idle_time() -> None:
    pace = BodyPace(idle_seconds=10, bytes_per_second_min=100)
    assert pace.waited(9.9, 1)
    assert pace.waited(0.1, 0)
    assert not pace.waited(0.1, 9)
    assert pace.waited(0, 10), "bytes make up for time"
    assert not pace.waited(5, 500)


async def test_a_trickle_is_ended_though_it_never_falls_silent(serve, echo) -> None:
    edge = await serve(echo, body_idle_timeout_seconds=0.3, body_bytes_per_second_min=1000)
    client = await edge.connect()
    await client.send(HEAD + b"Content-Length: 1000\r\n\r\n")
    for _ in range(20):
        await client.send(b"x")
        await asyncio.sleep(0.05)
    assert (await client.answer()).status == 408
    assert edge.records[0].ending.reason is EndReason.TIMED_OUT
