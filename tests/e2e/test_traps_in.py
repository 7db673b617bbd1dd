"""Ways in which aiohttp's server goes wrong as a proxy's: one test each that the running gateway does not."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e_kit.raw_edge import OK, PATH, UPLOAD, Edge, EdgeOptions, answer, head, raw_edge, request, upload
from e2e_kit.wire import PATIENCE_SECONDS, Wire, within
from kyma_proxy.app import Rehearsal
from kyma_proxy.database.pool import DatabaseTarget

SPEECH = b"/v1/audio/speech"
MIB = 1024 * 1024


@pytest.fixture
async def edge(database_target: DatabaseTarget, tmp_path: Path) -> AsyncIterator[Edge]:
    options = EdgeOptions(server="head_timeout_seconds: 0.3, keepalive_timeout_seconds: 30")
    async with raw_edge(database_target, tmp_path, options) as running:
        yield running


async def sent(edge: Edge, data: bytes) -> Wire:
    wire = await edge.connect()
    await wire.send(data)
    return wire


def key(edge: Edge) -> bytes:
    return b"Authorization: Bearer " + edge.api_key.encode()


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


async def test_trap_100_continue(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sends `100 Continue`, and an early 413 has to come before it."""
    monkeypatch.setattr("kyma_proxy.upstreams.exchange.EXPECT_SECONDS", 0.1)
    wire = await sent(edge, upload(b"Content-Length: 2", b"Expect: 100-continue"))
    assert (await wire.head()).status == 100
    await wire.send(b"ok")
    assert (await wire.message()).body == b"ok"
    too_large = (b"Expect: 100-continue", b"Content-Length: 9999999", key(edge))
    assert (await edge.ask(*too_large, method=b"POST", target=SPEECH)).head.status == 413


async def test_trap_inflated_body(edge: Edge) -> None:
    """The server inflates a gzip body and leaves the `Content-Encoding` header."""
    for target, plain, guard in ((UPLOAD, 1000, ()), (SPEECH, 50_000_000, (key(edge), b"Content-Type: a/json"))):
        packed = gzip.compress(bytes(plain))
        fields = (b"Content-Encoding: gzip", b"Content-Length: %d" % len(packed), *guard)
        said = await edge.ask(*fields, method=b"POST", target=target, body=packed)
        if guard:  # it decodes by itself, with a bound
            assert said.head.status == 413
        else:
            assert edge.origin.request.body == packed
            assert edge.origin.request.head.one(b"content-encoding") == b"gzip"


async def test_trap_parse_errors(edge: Edge) -> None:
    """Parse errors answer `text/plain` over HTTP/1.0."""
    said = await (await sent(edge, b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n")).message()
    assert said.head.first == b"HTTP/1.1 400 Bad Request"
    assert (said.head.one(b"content-type") or b"").startswith(b"application/json")
    assert code(said.body) == "invalid_request"


REFUSED = {
    "HTTP/2.0": request(version=b"2.0"),
    "coding on HTTP/1.0": request(b"Transfer-Encoding: chunked", method=b"POST", version=b"1.0") + b"0\r\n\r\n",
    "two codings": request(b"Transfer-Encoding: gzip, chunked", method=b"POST") + b"0\r\n\r\n",
    "CONNECT": request(method=b"CONNECT", target=b"h:80"),
    "asterisk": request(method=b"OPTIONS", target=b"*"),
    "no host": b"GET %s HTTP/1.1\r\n\r\n" % PATH,
    "two hosts": request(b"Host: h"),
}


async def test_trap_odd_requests(edge: Edge) -> None:
    """`HTTP/2.0`, `Transfer-Encoding` on HTTP/1.0 and `gzip, chunked` pass; CONNECT and `*` reach the handler."""
    for name, raw in REFUSED.items():
        said = await (await sent(edge, raw)).message()
        assert said.head.first.startswith(b"HTTP/1.1 "), name
        assert said.head.status == (405 if name == "CONNECT" else 400), name
        assert said.head.one(b"connection") == b"close", name
        assert code(said.body), name
    assert edge.origin.connections == 0


async def test_trap_head_limits(edge: Edge) -> None:
    """Header fields over 8190 bytes or more than 128 of them are 400; replies over 8190 break as well."""
    for bad in ((b"X: " + b"v" * 8200,), [b"X-%d: v" % number for number in range(129)]):
        said = await (await sent(edge, request(*bad))).message()
        assert (said.head.status, code(said.body)) == (400, "invalid_request")
    fields = [b"X-Long: " + b"v" * 20_000, *(b"X-%d: v" % number for number in range(300))]
    edge.origin.answering(answer(*fields, b"Content-Length: 2", body=b"ok"))
    assert [b"%s: %s" % field for field in (await edge.ask()).head.fields[:-1]] == fields


async def test_trap_repeated_headers(edge: Edge) -> None:
    """Repeated headers whose names differ only in case are lost when copied."""
    fields = ((b"X-A", b"1"), (b"x-a", b"2"), (b"X-A", b"3"))
    lines = [b"%s: %s" % field for field in fields]
    edge.origin.answering(answer(*lines, b"Content-Length: 0"))
    assert (await edge.ask(*lines)).head.fields[:3] == fields
    assert tuple(field for field in edge.origin.request.head.fields if field[0].lower() == b"x-a") == fields


async def test_trap_status_line(edge: Edge) -> None:
    """Answers may carry the status line `HTTP/0.9 200` or `HTTP/2.0 200`."""
    for version in (b"0.9", b"2.0", b"3.0"):
        said = await (await sent(edge, request(version=version))).message()
        assert said.head.first.startswith(b"HTTP/1.1 4"), version
    assert edge.origin.connections == 0


async def test_trap_head_timeout(edge: Edge) -> None:
    """There is no head timeout of its own; `keepalive_timeout` acts as one."""
    for kept_alive in (False, True):
        wire = await edge.connect()
        if kept_alive:
            await wire.send(request())
            assert (await wire.message()).body == b"ok"
        await wire.send(b"GET %s HTTP/1.1\r\nHost: " % PATH)
        said = asyncio.ensure_future(wire.rest())
        async with asyncio.timeout(PATIENCE_SECONDS):  # far below the 30 s of an idle connection
            while not said.done():
                wire.writer.write(b"h")
                await asyncio.sleep(0.02)
        assert (await said).startswith(b"HTTP/1.1 408 ")


async def test_trap_cleanup(edge: Edge) -> None:
    """`cleanup()` closes every connection: an upload in flight is dropped, its client gets an empty reply."""
    arrived = asyncio.Event()

    async def serve(wire: Wire) -> None:
        await wire.head()
        arrived.set()
        assert await wire.exactly(4) == b"some"
        await wire.send(OK)

    edge.origin.script = serve
    idle, busy = await edge.connect(), await sent(edge, upload(b"Content-Length: 4") + b"so")
    await within(PATIENCE_SECONDS, arrived)
    stopping = asyncio.ensure_future(edge.application.stop())
    assert await idle.ended() == "closed"
    await busy.send(b"me")
    said = await busy.message()
    assert (said.body, said.head.one(b"connection")) == (b"ok", b"close")
    await stopping


async def test_trap_bytes_that_are_not_utf_8(edge: Edge) -> None:
    """The C header writer drops what is not UTF-8 on replies and upstream."""
    edge.origin.answering(answer(b"X-Name: caf\xe9", b"Content-Length: 0"))
    assert (await edge.ask(b"X-Name: caf\xe9")).head.one(b"x-name") == b"caf\xe9"
    assert edge.origin.request.head.one(b"x-name") == b"caf\xe9"


async def test_trap_prepare_headers(edge: Edge) -> None:
    """`_prepare_headers` adds Server, Date, Content-Type and deletes Content-Length on 304."""
    edge.origin.answering(answer(b"Content-Length: 77", b"ETag: x", status=b"304 Not Modified"))
    assert (await edge.ask()).head.fields == ((b"Content-Length", b"77"), (b"ETag", b"x"))


async def test_trap_short_answer(edge: Edge) -> None:
    """Returning short of the promised Content-Length leaves the client hanging."""

    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(head(b"Content-Length: 9") + b"some")

    edge.origin.script = serve
    assert await (await sent(edge, request())).ended() == "reset"


async def test_trap_abort(either_edge: Edge) -> None:
    """`transport.abort()` sends a plain FIN: on close-delimited bodies that looks like success."""
    seen = asyncio.Event()

    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(head() + b"some")
        await within(PATIENCE_SECONDS, seen)
        wire.reset()

    either_edge.origin.script = serve
    wire = await sent(either_edge, request(version=b"1.0"))
    assert (await wire.head()).all(b"transfer-encoding") == []
    assert await wire.exactly(4) == b"some"
    seen.set()
    assert await wire.ended() == "reset"


async def stuck(wire: Wire) -> None:
    """Wait until nothing more of what was written is taken."""
    left = -1
    while left != (left := wire.writer.transport.get_write_buffer_size()):
        await asyncio.sleep(0.2)


async def test_trap_no_cancellation_while_paused(either_edge: Edge) -> None:
    """No cancellation while reading is paused by back-pressure."""
    gone = asyncio.Event()

    async def never_reading(wire: Wire) -> None:
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sock = wire.writer.get_extra_info("socket")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sock.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1)[0] == 1:  # established
                await asyncio.sleep(0.02)
        gone.set()

    either_edge.origin.script = never_reading
    wire = await either_edge.connect()
    wire.writer.write(upload(b"Content-Length: 50000000") + bytes(20 * MIB))
    await stuck(wire)
    assert wire.writer.transport.get_write_buffer_size() > 0
    assert not gone.is_set()
    wire.reset()
    await within(PATIENCE_SECONDS, gone)


async def test_trap_half_close(either_edge: Edge) -> None:
    """A client that half-closes loses its reply at once; here it counts as leaving, with either setting."""
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def serve(wire: Wire) -> None:
        await wire.message()
        arrived.set()
        await wire.ended()
        gone.set()

    either_edge.origin.script = serve
    wire = await sent(either_edge, request())
    await within(PATIENCE_SECONDS, arrived)
    wire.writer.write_eof()
    await within(PATIENCE_SECONDS, gone)


@pytest.mark.parametrize("cancelling", [False, True], ids=["cancellation-off", "cancellation-on"])
async def test_trap_test_server(
    database_target: DatabaseTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancelling: bool
) -> None:
    """The test server turns handler cancellation on, production defaults to off: both are told explicitly."""
    arrived, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    outcomes = []

    async def handle(*_arguments: Any) -> None:
        arrived.set()
        try:
            await release.wait()
            outcomes.append("finished")
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise
        finally:
            ended.set()
        raise ZeroDivisionError

    monkeypatch.setattr("kyma_voice_ownership.plugin.VoiceOwnership.handle", handle)
    async with raw_edge(database_target, tmp_path, EdgeOptions(handler_cancellation=cancelling)) as edge:
        wire = await sent(edge, request(key(edge), b"Content-Length: 0", method=b"POST", target=SPEECH))
        await within(PATIENCE_SECONDS, arrived)
        wire.reset()
        if not cancelling:
            await asyncio.sleep(0.2)  # the end of the connection arrives
            release.set()
        await within(PATIENCE_SECONDS, ended)
    assert outcomes == ["cancelled" if cancelling else "finished"]
    assert Rehearsal().handler_cancellation is False


async def test_trap_unknown_methods(edge: Edge) -> None:
    """Unknown method tokens are 400 in the C parser."""
    said = await edge.ask(method=b"FROBNICATE")
    assert (said.head.status, code(said.body)) == (400, "invalid_request")
    assert (await edge.ask(method=b"PROPFIND")).body == b"ok"
