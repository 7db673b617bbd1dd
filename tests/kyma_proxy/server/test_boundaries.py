from __future__ import annotations

import asyncio

import pytest
from aiohttp import EMPTY_PAYLOAD, StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage

from kyma_proxy.server.boundaries import Boundaries

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"


def parse(data: bytes) -> list[tuple[RawRequestMessage, StreamReader]]:
    """What aiohttp's own parser makes of some bytes."""
    loop = asyncio.get_running_loop()
    messages, _, _ = HttpRequestParser(BaseProtocol(loop), loop, 2**16).feed_data(data)
    return list(messages)


def begin(head: bytes) -> Boundaries:
    """Behind a whole head, in the body that it announces."""
    boundaries = Boundaries(100)
    assert boundaries.head_size(head) == len(head)
    ((message, body),) = parse(head)
    assert boundaries.head_agrees(message)
    boundaries.enter_body(message, body)
    return boundaries


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
def test_a_head_ends_at_its_empty_line_however_it_arrives(piece: int) -> None:
    data = GET + b"\r\nmore\r\n\r\n"
    boundaries = Boundaries(100)
    at = 0
    while not boundaries.head_complete:
        at += boundaries.head_size(data[at : at + piece])
    assert at == len(GET)


@pytest.mark.parametrize(
    ("head", "agrees"),
    [
        (GET, True),
        (b"\r\n" + GET, True),
        (b"M-SEARCH http://h/a?b HTTP/1.0\r\n\r\n", True),
        (b"GET /a?%ff HTTP/1.1\r\nHost: h\r\nX: \xff \r\nY:\t\r\n\r\n", True),
        (b"GET  /a HTTP/1.1\r\nHost: h\r\n\r\n", False),
        (b"GET /a RTSP/1.0\r\nHost: h\r\n\r\n", False),
    ],
)
async def test_a_request_line_is_what_the_parser_says(head: bytes, agrees: bool) -> None:
    boundaries = Boundaries(100)
    boundaries.head_size(head)
    ((message, _),) = parse(head)
    assert boundaries.head_agrees(message) is agrees


async def test_a_header_that_is_not_in_the_bytes_is_noticed() -> None:
    boundaries = Boundaries(100)
    boundaries.head_size(GET)
    ((message, _),) = parse(GET.replace(b"\r\n\r\n", b"\r\nX: left over\r\n\r\n"))
    assert not boundaries.head_agrees(message)


async def test_a_head_that_is_not_complete_agrees_with_nothing() -> None:
    boundaries = Boundaries(100)
    boundaries.head_size(GET[:-1])
    assert not boundaries.head_agrees(parse(GET)[0][0])


async def test_a_request_without_body_is_over_with_its_head() -> None:
    boundaries = begin(GET)
    assert (boundaries.in_body, boundaries.ended) == (False, False)
    assert boundaries.head_size(GET) == len(GET)


async def test_a_body_of_known_length() -> None:
    boundaries = begin(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
    assert boundaries.body_size(b"abc") == 3
    assert boundaries.in_body
    assert boundaries.body_size(b"de" + GET) == 2
    assert (boundaries.in_body, boundaries.ended) == (False, False)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("trailers", [b"", b"X: y\r\n"])
async def test_a_chunked_body_however_it_arrives(piece: int, trailers: bytes) -> None:
    boundaries = begin(CHUNKED)
    sent = BODY[:-2] + trailers + b"\r\n"
    data = sent + GET
    at = 0
    while boundaries.in_body:
        at += boundaries.body_size(data[at : at + piece])
    assert at == len(sent)
    assert boundaries.ended is bool(trailers)


@pytest.mark.parametrize(
    "line",
    [
        b"0x3\r\n",
        b"+3\r\n",
        b"-3\r\n",
        b" 3\r\n",
        b"3 \r\n",
        b"3\n",
        b"\r\n",
        b"3_0\r\n",
        b"3;\rb\r\n",
        b"1" * 17 + b"\r\n",
    ],
)
async def test_what_is_not_the_size_of_a_chunk(line: bytes) -> None:
    boundaries = begin(CHUNKED)
    with pytest.raises(ValueError, match="not the size"):
        boundaries.body_size(line)


@pytest.mark.parametrize("piece", [1, 50, 101])
async def test_an_endless_size_line_is_not_kept(piece: int) -> None:
    boundaries = begin(CHUNKED)
    for _ in range(100 // piece):
        boundaries.body_size(b"1" * piece)
    with pytest.raises(ValueError, match="too long"):
        boundaries.body_size(b"1" * piece)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
async def test_nothing_is_read_behind_a_request_to_switch_protocols(protocol: bytes) -> None:
    upgrade = b"POST /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nContent-Length: 2\r\nUpgrade: "
    boundaries = begin(upgrade + protocol + b"\r\n\r\n")
    assert (boundaries.ended, boundaries.in_body) == (True, True)
    assert boundaries.body_size(b"abc") == 2


async def test_nothing_is_read_behind_what_is_in_doubt() -> None:
    boundaries = begin(CHUNKED)
    boundaries.end()
    assert (boundaries.ended, boundaries.in_body) == (True, False)


async def test_an_empty_chunked_body_is_a_body() -> None:
    boundaries = Boundaries(100)
    boundaries.head_size(CHUNKED)
    ((message, body),) = parse(CHUNKED)
    assert body is not EMPTY_PAYLOAD
    boundaries.enter_body(message, body)
    assert boundaries.body_size(b"0\r\n\r\n") == 5
    assert (boundaries.in_body, boundaries.ended) == (False, False)
