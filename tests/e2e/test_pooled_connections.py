"""Connections to an upstream that are kept: an answer is its asker's, and a leaver or a refusal is noticed in time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from e2e_kit.raw_edge import OK, Edge, EdgeOptions, answer, head, raw_edge, request, upload
from e2e_kit.wire import Wire
from kyma_proxy.database.pool import DatabaseTarget


@pytest.mark.parametrize("late", [0.0, 0.05])
async def test_an_answer_that_nobody_asked_for_is_nobodys(edge: Edge, late: float) -> None:
    async def serve(wire: Wire) -> None:
        for number in range(10):
            who = (await wire.message()).head.one(b"x-who")
            assert who is not None
            await wire.send(answer(b"Content-Length: %d" % len(who), body=who))
            if number == 0:
                await asyncio.sleep(late)
                await wire.send(answer(b"Content-Length: 6", body=b"secret"))

    edge.origin.script = serve
    for who in (b"ann", b"bob", b"cid", b"dan"):
        assert (await edge.ask(b"X-Who: " + who)).body == who
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "stray",
    [
        answer(b"Content-Length: 0", status=b"408 Request Timeout"),
        answer(status=b"103 Early Hints"),
        answer(status=b"100 Continue"),
        b"x",
    ],
    ids=["an answer", "103", "100", "junk"],
)
@pytest.mark.parametrize(
    "first",
    [answer(b"Content-Length: 2", body=b"ok"), head(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n"],
    ids=["length", "chunked"],
)
async def test_a_connection_on_which_something_came_unasked_is_not_used_again(
    edge: Edge, stray: bytes, first: bytes
) -> None:
    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(first)
        await asyncio.sleep(0.05)
        await wire.send(stray)
        await wire.rest()

    edge.origin.script = serve
    assert (await edge.ask()).body == b"ok"
    await asyncio.sleep(0.2)
    edge.origin.answering(OK)
    assert (await edge.ask()).body == b"ok"
    assert edge.origin.connections == 2


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Content-Length: 40"], ids=["chunked", "length"])
async def test_nothing_is_written_into_an_answer_that_came_instead_of_100_continue(edge: Edge, framing: bytes) -> None:
    pieces = [b"ev %02d" % number for number in range(8)]

    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(head(framing))
        for piece in pieces:
            await wire.send(b"5\r\n%s\r\n" % piece if b"chunked" in framing else piece)
            await asyncio.sleep(0.2)
        await wire.send(b"0\r\n\r\n" if b"chunked" in framing else b"")
        await wire.ended()

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 4", b"Expect: 100-continue"))
    said = await wire.head()
    assert await wire.body(said) == b"".join(pieces)


async def test_an_upload_that_is_refused_early_still_gets_its_refusal(edge: Edge) -> None:
    refusal = answer(b"Content-Length: 2", b"Connection: close", body=b"no", status=b"413 Theirs")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(30):
            connection, _ = listener.accept()
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(4096)
            connection.sendall(refusal)
            connection.close()  # with most of the upload unread: a reset

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    upstream: Any = edge.application.gateway._snapshot.upstreams["origin"]  # type: ignore[union-attr]
    upstream._transport._doors.first.base = URL(f"http://127.0.0.1:{listener.getsockname()[1]}")
    for _ in range(30):
        wire = await edge.connect()

        async def pump(wire: Wire = wire) -> None:
            await wire.send(upload(b"Content-Length: 20000000"))
            for _ in range(300):
                await wire.send(bytes(65_536))

        pumping = asyncio.ensure_future(pump())
        assert (await wire.head()).first == b"HTTP/1.1 413 Theirs"
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)
        wire.reset()
    listener.close()
    thread.join(5)


@pytest.mark.parametrize("ahead", [0, 100_000])
async def test_a_leaver_is_noticed_whatever_it_sent_ahead(edge: Edge, ahead: int) -> None:
    gone = asyncio.Event()

    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(head(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
        await wire.ended()
        gone.set()

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(request())
    await wire.head()
    await wire.chunk()
    await wire.send(request() * (ahead // len(request())))
    await asyncio.sleep(0.3)
    wire.close()
    async with asyncio.timeout(1):
        await gone.wait()


@pytest.mark.parametrize("method", [b"DELETE", b"GET"])
@pytest.mark.parametrize(
    "bad",
    [
        b"HTTP/1.1 200 OK\r\nX-",
        head(b"Transfer-Encoding: gzip") + b"xxx",
        head(b"Content-Length: 1", b"Content-Length: 2"),
    ],
    ids=["part of a head", "an odd coding", "two lengths"],
)
async def test_a_connection_that_answered_anything_was_not_stale(edge: Edge, method: bytes, bad: bytes) -> None:
    seen: list[bytes] = []

    async def serve(wire: Wire) -> None:
        while True:
            seen.append((await wire.message()).head.first)
            await wire.send(bad if len(seen) >= 2 else OK)
            if len(seen) >= 2:
                return

    edge.origin.script = serve
    await edge.ask()
    assert (await edge.ask(method=method)).head.status == 502
    assert len(seen) == 2


@pytest.mark.parametrize("phrase", [b"O\x01K", b"O\x7fK"])
async def test_a_control_character_in_the_status_line_is_the_origins_fault(edge: Edge, phrase: bytes) -> None:
    edge.origin.answering(answer(b"Content-Length: 2", body=b"ok", status=b"200 " + phrase))
    said = await edge.ask()
    assert (said.head.status, json.loads(said.body)["error"]["code"]) == (502, "upstream_unreachable")


async def test_a_steady_slow_reader_is_not_taken_for_one_that_stopped(
    database_target: DatabaseTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A player reads at the pace of the audio; the kernel's buffer is seconds, or minutes, ahead of it."""
    from kyma_proxy.server import writer

    real = writer.ReplyWriter.__init__

    def impatient(self: Any, connection: Any, protocol: Any, seconds: float) -> None:
        real(self, connection, protocol, 3.0)

    monkeypatch.setattr(writer.ReplyWriter, "__init__", impatient)
    async with raw_edge(database_target, tmp_path, EdgeOptions()) as edge:

        async def serve(wire: Wire) -> None:
            await wire.head()
            await wire.send(head(b"Content-Length: 20000000"))
            await wire.send(bytes(20_000_000))

        edge.origin.script = serve
        wire = await edge.connect()
        await wire.send(request())
        await wire.head()
        for _ in range(60):
            await wire.exactly(8_000)
            await asyncio.sleep(0.1)
