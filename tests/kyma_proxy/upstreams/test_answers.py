"""One final answer a request, from bytes as they come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientConnectionError, StreamReader

from kyma_proxy.upstreams.answers import AnswerReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line(asyncio.Transport):
    """A connection that only knows whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def reader() -> tuple[AnswerReader, Line]:
    protocol, line = AnswerReader(asyncio.get_running_loop()), Line()
    protocol.connection_made(line)
    return protocol, line


async def answer(protocol: AnswerReader) -> tuple[int, bytes]:
    message, payload = await protocol.read()
    assert isinstance(payload, StreamReader)
    return message.code, await payload.read()


async def test_one_answer_for_one_request() -> None:
    protocol, line = reader()
    for _ in range(2):
        protocol.expect_answer(bodiless=False)
        assert not protocol.heard
        protocol.data_received(OK)
        assert await answer(protocol) == (200, b"ok")
        assert protocol.heard
    assert not line.closed


async def test_what_comes_behind_an_answer_ends_the_connection() -> None:
    protocol, line = reader()
    protocol.expect_answer(bodiless=False)
    protocol.data_received(OK)
    await answer(protocol)
    protocol.data_received(OK)
    assert line.closed
    assert protocol.should_close


async def test_a_second_answer_in_the_same_bytes_is_nobodys() -> None:
    protocol, _ = reader()
    protocol.expect_answer(bodiless=False)
    protocol.data_received(OK + OK)
    assert await answer(protocol) == (200, b"ok")
    assert protocol.should_close
    assert len(protocol) == 0


async def test_of_interim_answers_only_100_counts() -> None:
    protocol, _ = reader()
    protocol.expect_answer(bodiless=False)
    protocol.data_received(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    message, _payload = await protocol.read()
    assert message.code == 100
    protocol.data_received(OK)
    assert await answer(protocol) == (200, b"ok")


async def test_an_answer_in_pieces_is_no_stray() -> None:
    protocol, line = reader()
    protocol.expect_answer(bodiless=False)
    for at in range(len(OK)):
        protocol.data_received(OK[at : at + 1])
    assert await answer(protocol) == (200, b"ok")
    assert not line.closed


async def test_an_answer_without_a_body_is_none_the_less_one_answer() -> None:
    protocol, line = reader()
    for bodiless in (False, True, True, False, False):
        protocol.expect_answer(bodiless=bodiless)
        assert protocol.awaits_answer
        protocol.data_received(OK[:-2] if bodiless else OK)
        assert await answer(protocol) == (200, b"" if bodiless else b"ok")
        assert not protocol.awaits_answer
    assert not line.closed


async def test_whoever_waits_is_told_of_a_failure_and_the_connection_is_not_used_again() -> None:
    waiting_for_head, _ = reader()
    waiting_for_head.expect_answer(bodiless=False)
    head = asyncio.ensure_future(waiting_for_head.read())
    await asyncio.sleep(0)
    waiting_for_head.fail(TimeoutError("head"))
    with pytest.raises(TimeoutError, match="head"):
        await head
    waiting_for_body, _ = reader()
    waiting_for_body.expect_answer(bodiless=False)
    waiting_for_body.data_received(OK[:-1])
    _, payload = await waiting_for_body.read()
    waiting_for_body.fail(TimeoutError("body"))
    with pytest.raises(TimeoutError, match="body"):
        await payload.read()
    assert waiting_for_head.should_close
    assert waiting_for_body.should_close


async def test_what_was_read_whole_does_not_fail_afterwards() -> None:
    protocol, _ = reader()
    protocol.expect_answer(bodiless=False)
    protocol.data_received(OK)
    _, payload = await protocol.read()
    protocol.fail(TimeoutError())
    assert await payload.read() == b"ok"


async def test_nothing_is_written_to_a_connection_that_has_ended() -> None:
    protocol, line = reader()
    protocol.write(memoryview(b"GET"))
    line.close()
    with pytest.raises(ClientConnectionError):
        protocol.write(b"more")
    assert line.sent == b"GET"


async def test_a_trailer_is_no_header_of_the_next_answer() -> None:
    protocol, _ = reader()
    for ending in (b"0\r\nX-Sum: 1\r\n\r\n", b"0\r\n\r\n"):
        protocol.expect_answer(bodiless=False)
        protocol.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + ending)
        message, payload = await protocol.read()
        assert await payload.read() == b"ok"
        assert message.raw_headers == ((b"Transfer-Encoding", b"chunked"),)
