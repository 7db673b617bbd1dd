"""Connections to an origin: shared, tried again only where nothing can have happened, and given up in time."""

from __future__ import annotations

import asyncio
import json
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any

import pytest
from structlog.testing import capture_logs

from e2e_kit.raw_edge import OK, UPLOAD, Edge, OpenEdge, request
from e2e_kit.wire import PATIENCE_SECONDS, Message, Wire


def error(answer: Message) -> tuple[int, str, str]:
    """Status, code and `x-should-retry` of an error of ours."""
    retry = answer.head.one(b"x-should-retry")
    assert retry is not None
    return answer.head.status, json.loads(answer.body)["error"]["code"], retry.decode()


async def ended_request(logs: list[Any]) -> dict[str, Any]:
    """The log line of the only request, which may be written after its answer has arrived."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (lines := [line for line in logs if line["event"] == "request"]):
            await asyncio.sleep(0.01)
    (line,) = lines
    return dict(line)


async def test_one_connection_serves_requests_of_many_clients(edge: Edge) -> None:
    for number in range(6):
        fields, method, body = ((b"Content-Length: 4",), b"POST", b"body") if number % 2 else ((), b"GET", b"")
        assert (await edge.ask(*fields, method=method, body=body)).body == b"ok"
    assert edge.origin.connections == 1


async def test_requests_at_once_get_connections_of_their_own_and_leave_them_behind(edge: Edge) -> None:
    together = asyncio.Barrier(10)

    async def serve(wire: Wire) -> None:
        while True:
            await wire.message()
            await together.wait()
            await wire.send(OK)

    edge.origin.script = serve
    for _ in range(3):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*(edge.ask() for _ in range(10)))
    assert edge.origin.connections == 10


async def test_a_connection_that_the_origin_closed_is_not_used_again(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        edge.origin.requests.append(await wire.message())
        await wire.send(OK)

    edge.origin.script = serve
    for _ in range(3):
        answer = await edge.ask(b"Content-Length: 4", method=b"POST", body=b"body")
        assert answer.body == b"ok"
        await asyncio.sleep(0.05)  # the end of the connection arrives
    assert edge.origin.connections == len(edge.origin.requests) == 3


@pytest.mark.parametrize("answer", [b"Connection: close\r\n", b""], ids=["announced", "more-than-announced"])
async def test_a_connection_in_doubt_is_not_used_again(edge: Edge, answer: bytes) -> None:
    extra = b"" if answer else b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    edge.origin.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + answer + b"\r\nok" + extra)
    for _ in range(3):
        assert (await edge.ask()).body == b"ok"
    assert edge.origin.connections == 3


EARLY = {
    "whole": OK,
    "streamed": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("asking", [(), (b"Expect: 100-continue",)], ids=["sent-at-once", "asking-first"])
@pytest.mark.parametrize("early", EARLY)
async def test_a_connection_with_half_an_upload_on_it_is_not_used_again(
    edge: Edge, early: str, asking: tuple[bytes, ...]
) -> None:
    async def serve(wire: Wire) -> None:
        while True:
            head = await wire.head()
            edge.origin.requests.append(Message(head, b""))
            await wire.send(EARLY[early])

    edge.origin.script = serve
    wire = await edge.connect()
    head = request(b"Content-Length: 90", *asking, method=b"POST", target=UPLOAD)
    await wire.send(head if asking else head + b"GET /v1/audio/smuggled HTTP/1.1\r\nHost: x\r\n")
    assert (await wire.message()).body == b"ok"
    assert (await edge.ask()).body == b"ok"
    assert edge.origin.connections == 2
    assert [message.head.first.split()[0] for message in edge.origin.requests] == [b"POST", b"GET"]


class Refusals:
    """Refuses the first connections of the gateway to its origin, as the kernel would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, port: int, count: int) -> None:
        self.left = count
        self.attempts = 0
        connect = BaseSelectorEventLoop.sock_connect

        async def refuse(loop: Any, sock: socket.socket, address: Any) -> None:
            if address[1] == port:
                self.attempts += 1
                if self.left:
                    self.left -= 1
                    raise ConnectionRefusedError(111, "Connection refused")
            await connect(loop, sock, address)

        monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", refuse)


METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"PROPFIND"]


@pytest.mark.parametrize("body", [b"", b"body"], ids=["bodiless", "with-body"])
async def test_a_failed_connect_is_tried_once_more_for_any_method(
    edge: Edge, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = (b"Content-Length: 4",) if body else ()
    edge.origin.answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    for method in METHODS:
        refusals = Refusals(monkeypatch, edge.origin.port, 1)
        assert (await edge.ask(*fields, method=method, body=body)).head.status == 200
        monkeypatch.undo()
        assert refusals.attempts == 2
    assert [message.body for message in edge.origin.requests] == [body] * len(METHODS)


@pytest.mark.parametrize("expect", [False, True], ids=["sent-at-once", "asking-first"])
async def test_a_second_failed_connect_is_a_502_that_may_be_retried(
    edge: Edge, expect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals(monkeypatch, edge.origin.port, 9)
    wire = await edge.connect()
    asking = (b"Expect: 100-continue",) if expect else ()
    head = request(b"Content-Length: 4", *asking, method=b"POST", target=UPLOAD)
    await wire.send(head if expect else head + b"body")
    answer = await wire.message()  # and no `100 Continue` before it
    assert error(answer) == (502, "upstream_unreachable", "true")
    assert refusals.attempts == 2


def going_stale(edge: Edge) -> None:
    """Have the origin answer one request on each connection, and cut it at the second."""

    async def serve(wire: Wire) -> None:
        edge.origin.requests.append(await wire.message())
        is_head = edge.origin.requests[-1].head.first.startswith(b"HEAD")
        await wire.send(OK.removesuffix(b"ok") if is_head else OK)
        edge.origin.requests.append(await wire.message())
        wire.reset()

    edge.origin.script = serve


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"])
async def test_a_stale_connection_is_replaced_for_what_changes_nothing_twice(edge: Edge, method: bytes) -> None:
    going_stale(edge)
    await edge.ask()
    if method == b"HEAD":
        assert (await edge.ask(method=method)).head.one(b"content-length") == b"2"
    else:
        assert (await edge.ask(method=method)).body == b"ok"
    assert edge.origin.connections == 2
    assert [message.head.first.split()[0] for message in edge.origin.requests] == [b"GET", method, method]


@pytest.mark.parametrize(
    ("method", "body"),
    [(b"POST", b"body"), (b"POST", b""), (b"PATCH", b"body"), (b"PUT", b"body"), (b"GET", b"body"), (b"MERGE", b"")],
)
async def test_nothing_else_is_sent_twice(edge: Edge, method: bytes, body: bytes) -> None:
    going_stale(edge)
    await edge.ask()
    answer = await edge.ask(b"Content-Length: %d" % len(body), method=method, body=body)
    assert error(answer) == (502, "upstream_unreachable", "false")
    assert [(message.head.first.split()[0], message.body) for message in edge.origin.requests] == [
        (b"GET", b""),
        (method, body),
    ]


async def test_a_fresh_connection_that_breaks_is_not_tried_again(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        edge.origin.requests.append(await wire.message())
        wire.reset()

    edge.origin.script = serve
    assert error(await edge.ask()) == (502, "upstream_unreachable", "false")
    assert len(edge.origin.requests) == 1


async def test_a_stale_connection_is_replaced_only_once(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        edge.origin.requests.append(await wire.message())
        if len(edge.origin.requests) == 1:
            await wire.send(OK)
            edge.origin.requests.append(await wire.message())
        wire.reset()

    edge.origin.script = serve
    await edge.ask()
    assert error(await edge.ask()) == (502, "upstream_unreachable", "false")
    assert len(edge.origin.requests) == 3


async def silent(wire: Wire) -> None:
    await wire.head()
    await wire.ended()


async def begun(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")
    await wire.ended()


async def dripping(wire: Wire) -> None:
    await wire.head()
    await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(200):
        await wire.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.02)


async def not_reading(wire: Wire) -> None:
    await wire.head()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(5)


PLAIN_REQUEST = request()
LARGE_UPLOAD = request(b"Content-Length: 90000000", method=b"POST", target=UPLOAD) + bytes(20_000_000)
BEFORE_THE_HEAD = {
    "first_byte": ("first_byte_seconds: 0.2", silent, PLAIN_REQUEST, "begin"),
    "idle": ("idle_seconds: 0.2", not_reading, LARGE_UPLOAD, "stopped taking"),
    "total": ("total_seconds: 0.2", silent, PLAIN_REQUEST, "whole exchange"),
}


@pytest.mark.parametrize("limit", BEFORE_THE_HEAD)
async def test_each_limit_before_the_answer_has_its_own_error(open_edge: OpenEdge, limit: str) -> None:
    setting, script, sent, words = BEFORE_THE_HEAD[limit]
    edge = await open_edge(origin=f"timeouts: {{{setting}}}")
    edge.origin.script = script
    wire = await edge.connect()
    with capture_logs() as logs:
        wire.writer.write(sent)
        answer = await wire.message()
        line = await ended_request(logs)
    assert error(answer) == (504, "upstream_timeout", "false")
    assert words in json.loads(answer.body)["error"]["message"]
    assert (line["reason"], line["upstream_limit"], line["upstream_failure"]) == ("timed_out", limit, "silent")


@pytest.mark.parametrize(
    ("limit", "setting", "script"),
    [("idle", "idle_seconds: 0.2", begun), ("total", "total_seconds: 0.2", dripping)],
)
async def test_each_limit_within_the_answer_resets_and_says_why(
    open_edge: OpenEdge, limit: str, setting: str, script: Any
) -> None:
    edge = await open_edge(origin=f"timeouts: {{{setting}}}")
    edge.origin.script = script
    wire = await edge.connect()
    with capture_logs() as logs:
        await wire.send(PLAIN_REQUEST)
        assert (await wire.head()).status == 200
        assert await wire.ended() == "reset"
        line = await ended_request(logs)
    assert (line["reason"], line["status"], line["upstream_limit"]) == ("timed_out", 200, limit)


async def test_an_answer_that_breaks_off_is_no_timeout(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")

    edge.origin.script = serve
    wire = await edge.connect()
    with capture_logs() as logs:
        await wire.send(PLAIN_REQUEST)
        assert await wire.ended() == "reset"
        line = await ended_request(logs)
    assert (line["reason"], line["upstream_failure"], "upstream_limit" in line) == ("upstream_failed", "broken", False)


async def test_a_connect_that_takes_too_long_is_a_502_of_its_own(
    open_edge: OpenEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await open_edge(origin="timeouts: {connect_seconds: 0.2}")

    async def hang(*_: Any) -> None:
        await asyncio.sleep(60)

    with monkeypatch.context() as patched, capture_logs() as logs:
        wire = await edge.connect()
        patched.setattr(BaseSelectorEventLoop, "sock_connect", hang)
        await wire.send(PLAIN_REQUEST)
        answer = await wire.message()
        line = await ended_request(logs)
    assert error(answer) == (502, "upstream_unreachable", "false")
    assert "accept a connection" in json.loads(answer.body)["error"]["message"]
    assert (line["upstream_limit"], line["upstream_failure"]) == ("connect", "unreachable")


async def test_a_slow_upload_is_not_cut_by_the_wait_for_the_first_byte(open_edge: OpenEdge) -> None:
    edge = await open_edge(origin="timeouts: {first_byte_seconds: 0.3}")
    wire = await edge.connect()
    await wire.send(request(b"Content-Length: 8", method=b"POST", target=UPLOAD))
    for _ in range(8):
        await wire.send(b"x")
        await asyncio.sleep(0.1)
    assert (await wire.message()).body == b"ok"
