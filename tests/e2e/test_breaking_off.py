"""Whoever leaves ends the call at the other side, and a part of an answer is never taken for the whole."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from e2e_kit.raw_edge import Edge, head, request, upload
from e2e_kit.wire import PATIENCE_SECONDS, Script, Wire, within

MIB = 1024 * 1024
SMALL_BUFFER = 16 * 1024


class Watched:
    """An origin that tells when a request has arrived, and when its connection is gone."""

    def __init__(self, edge: Edge, *, says: bytes = b"", reads: bool = True) -> None:
        self.arrived, self.gone = asyncio.Event(), asyncio.Event()
        self._says = says
        self._reads = reads
        edge.origin.script = self._serve

    async def _serve(self, wire: Wire) -> None:
        try:
            await wire.head()
            await wire.send(self._says)
            self.arrived.set()
            if not self._reads:
                wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await self._lost(wire)
            else:
                await wire.ended()
        finally:
            self.gone.set()

    async def _lost(self, wire: Wire) -> None:
        """Wait until the connection is reset, without reading."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            sock = wire.writer.get_extra_info("socket")
            while sock.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 1)[0] == 1:  # established
                await asyncio.sleep(0.02)


LEAVING = {
    "before the answer": (request(), b"", True),
    "in an upload": (upload(b"Content-Length: 1000000") + b"some", b"", True),
    "in a chunked upload": (upload(b"Transfer-Encoding: chunked") + b"4\r\nsome\r\n", b"", True),
    "in an upload that is not taken": (upload(b"Content-Length: 50000000") + bytes(20 * MIB), b"", False),
    "waiting to go on": (upload(b"Content-Length: 5", b"Expect: 100-continue"), b"", True),
    "in the answer": (request(), head(b"Content-Length: 9") + b"some", True),
    "in a chunked answer": (request(), head(b"Transfer-Encoding: chunked") + b"4\r\nsome\r\n", True),
    "in a large answer": (request(), head(b"Content-Length: 90000000") + bytes(20 * MIB), True),
    "in the answer to an upload": (
        upload(b"Content-Length: 1000000") + b"some",
        head(b"Content-Length: 9") + b"some",
        True,
    ),
    "in the answer to an upload that is not taken": (
        upload(b"Content-Length: 50000000") + bytes(20 * MIB),
        head(b"Content-Length: 9") + b"some",
        False,
    ),
}


async def stuck(wire: Wire) -> None:
    """Wait until nothing more of what was written is taken."""
    left = -1
    while left != (left := wire.writer.transport.get_write_buffer_size()):
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("moment", LEAVING)
async def test_a_client_that_leaves_ends_the_call_upstream(either_edge: Edge, moment: str) -> None:
    sent, says, reads = LEAVING[moment]
    # Behind bytes that nobody takes, TCP itself tells of no orderly end.
    for how in ("close", "reset", "half-close") if reads else ("reset",):
        origin = Watched(either_edge, says=says, reads=reads)
        wire = await either_edge.connect()
        wire.writer.write(sent)
        if says:
            await wire.head()
        else:
            await within(PATIENCE_SECONDS, origin.arrived)
        if not reads:
            await stuck(wire)
        if how == "half-close":
            wire.writer.write_eof()
        elif how == "close":
            wire.writer.transport.abort()
        else:
            wire.reset()
        await within(1, origin.gone)


CHUNKED = head(b"Transfer-Encoding: chunked")
CUT = {
    "length": (head(b"Content-Length: 9") + b"some", b""),
    "chunked": (CHUNKED + b"4\r\nsome\r\n", b""),
    "chunked, in a chunk": (CHUNKED + b"9\r\nsome", b""),
    "chunked, before its end": (CHUNKED + b"4\r\nsome\r\n0\r\n", b""),
    "chunked, then nonsense": (CHUNKED + b"4\r\nsome\r\n", b"zz\r\n"),
    "chunked, then a wrong size": (CHUNKED + b"4\r\nsome\r\n", b"2\r\nthree\r\n"),
    "until close": (head() + b"some", b""),
}


@pytest.mark.parametrize("answer", CUT)
async def test_an_answer_cut_short_never_looks_whole(either_edge: Edge, answer: str) -> None:
    _, nonsense = CUT[answer]
    for how in ("fin", "rst", "hang") if nonsense else ("fin", "rst"):
        seen = asyncio.Event()
        either_edge.origin.script = cutting(answer, how, seen)
        wire = await either_edge.connect()
        await wire.send(request())
        said = await wire.head()
        chunked = said.one(b"transfer-encoding") is not None
        assert await (wire.chunk() if chunked else wire.exactly(4)) == b"some"
        seen.set()
        if (answer, how) == ("until close", "fin"):
            assert await wire.chunk() == b""  # that is how such a body ends
        else:
            assert await wire.ended() == "reset"


def cutting(answer: str, how: str, seen: asyncio.Event) -> Script:
    """An origin that goes wrong within its answer, once the client has seen the beginning."""

    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(CUT[answer][0])
        await within(PATIENCE_SECONDS, seen)
        await wire.send(CUT[answer][1])
        if how == "hang":
            await wire.ended()
        if how == "rst":
            wire.reset()

    return serve


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_an_answer_cut_short_while_the_client_reads_slowly_is_reset_too(edge: Edge, how: str) -> None:
    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(head(b"Content-Length: 90000000") + bytes(2 * MIB))
        if how == "rst":
            wire.reset()

    edge.origin.script = serve
    wire = await edge.connect(receive_bytes=SMALL_BUFFER)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await wire.send(request())
    await asyncio.sleep(0.3)
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert await wire.ended() == "reset"


async def test_an_origin_that_dies_in_an_upload_is_a_502(either_edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.exactly(4)
        wire.reset()

    either_edge.origin.script = serve
    wire = await either_edge.connect()
    await wire.send(upload(b"Content-Length: 1000000") + b"some")
    said = await wire.message()
    assert (said.head.status, json.loads(said.body)["error"]["code"]) == (502, "upstream_unreachable")
    assert said.head.one(b"connection") == b"close"
