"""One final answer a request, from bytes as they come."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import StreamReader
from aiohttp.helpers import TimerNoop

from kyma_proxy.upstreams.answers import AnswerReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line(asyncio.Transport):
    """A connection that only knows whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def reader() -> tuple[AnswerReader, Line]:
    protocol, line = AnswerReader(asyncio.get_running_loop()), Line()
    protocol.connection_made(line)
    protocol.set_response_params(timer=TimerNoop(), read_until_eof=True)
    return protocol, line


async def answer(protocol: AnswerReader) -> tuple[int, bytes]:
    message, payload = await protocol.read()
    assert isinstance(payload, StreamReader)
    return message.code, await payload.read()


async def test_one_answer_for_one_request() -> None:
    protocol, line = reader()
    for _ in range(2):
        protocol.expect_answer()
        assert not protocol.heard
        protocol.data_received(OK)
        assert await answer(protocol) == (200, b"ok")
        assert protocol.heard
    assert not line.closed


async def test_what_comes_behind_an_answer_ends_the_connection() -> None:
    protocol, line = reader()
    protocol.expect_answer()
    protocol.data_received(OK)
    await answer(protocol)
    protocol.data_received(OK)
    assert line.closed
    assert protocol.should_close


async def test_a_second_answer_in_the_same_bytes_is_nobodys() -> None:
    protocol, _ = reader()
    protocol.expect_answer()
    protocol.data_received(OK + OK)
    assert await answer(protocol) == (200, b"ok")
    assert protocol.should_close
    assert len(protocol) == 0


async def test_of_interim_answers_only_100_counts() -> None:
    protocol, _ = reader()
    protocol.expect_answer()
    protocol.data_received(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    message, _payload = await protocol.read()
    assert message.code == 100
    protocol.data_received(OK)
    assert await answer(protocol) == (200, b"ok")


async def test_an_answer_in_pieces_is_no_stray() -> None:
    protocol, line = reader()
    protocol.expect_answer()
    for at in range(len(OK)):
        protocol.data_received(OK[at : at + 1])
    assert await answer(protocol) == (200, b"ok")
    assert not line.closed
