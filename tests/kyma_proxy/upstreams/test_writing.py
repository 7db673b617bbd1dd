"""Requests with a body: what goes in one write, how it is framed, and who waits."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientConnectionError

from kyma_proxy.upstreams.answers import AnswerReader
from kyma_proxy.upstreams.writing import RequestWriter

HEAD = b"POST / HTTP/1.1\r\n\r\n"


class Line(asyncio.Transport):
    """Keeps every write on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.ended


def writer(*, chunked: bool) -> tuple[RequestWriter, Line, AnswerReader]:
    reader, line = AnswerReader(asyncio.get_running_loop()), Line()
    reader.connection_made(line)
    return RequestWriter(reader, HEAD, chunked=chunked), line, reader


async def test_the_head_leaves_with_the_first_piece() -> None:
    request, line, _ = writer(chunked=False)
    for piece in (b"", b"one", memoryview(b"two")):
        await request.write(piece)
    await request.end()
    assert line.writes == [HEAD + b"one", b"two"]


async def test_a_head_that_was_sent_before_is_not_sent_again() -> None:
    request, line, _ = writer(chunked=False)
    request.send_head()
    request.send_head()
    await request.write(b"one")
    await request.end()
    assert line.writes == [HEAD, b"one"]


async def test_a_body_of_unknown_length_goes_in_chunks_with_an_end() -> None:
    request, line, _ = writer(chunked=True)
    for piece in (b"", b"x" * 17, b"y" * 100_000):
        await request.write(piece)
    await request.end()
    assert b"".join(line.writes) == HEAD + b"11\r\n" + b"x" * 17 + b"\r\n186a0\r\n" + b"y" * 100_000 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(("chunked", "end"), [(False, b""), (True, b"0\r\n\r\n")])
async def test_an_empty_body_has_a_head_all_the_same(chunked: bool, end: bytes) -> None:
    request, line, _ = writer(chunked=chunked)
    await request.end()
    assert b"".join(line.writes) == HEAD + end


async def test_a_writer_waits_for_room_and_is_told_when_the_connection_ends_meanwhile() -> None:
    request, _, reader = writer(chunked=False)
    reader.pause_writing()
    waiting = asyncio.ensure_future(request.write(b"one"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    reader.resume_writing()
    await waiting
    reader.pause_writing()
    waiting = asyncio.ensure_future(request.write(b"two"))
    await asyncio.sleep(0.01)
    reader.connection_lost(ConnectionResetError())
    with pytest.raises((ClientConnectionError, ConnectionError)):
        await waiting


async def test_nothing_is_written_where_the_connection_has_ended() -> None:
    request, line, _ = writer(chunked=False)
    line.ended = True
    with pytest.raises(ClientConnectionError):
        await request.write(b"one")
