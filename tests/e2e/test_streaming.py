"""Bodies pass as they come, in bounded memory, and a part is never taken for the whole."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from e2e_kit.raw_edge import OK, UPLOAD, Edge, head, request, upload
from e2e_kit.wire import PATIENCE_SECONDS, Wire, within

MIB = 1024 * 1024
PIECE = bytes(64 * 1024)
SMALL_BUFFER = 16 * 1024
"""Of a socket: what a peer takes that does not read is then little beside what is measured."""


FRAMINGS = {
    "length": (head(b"Content-Length: 3"), lambda piece: piece, b""),
    "chunked": (
        head(b"Transfer-Encoding: chunked"),
        lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece),
        b"0\r\n\r\n",
    ),
    "until-close": (head(), lambda piece: piece, b""),
}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_answer_passes_byte_by_byte(edge: Edge, framing: str) -> None:
    first, framed, last = FRAMINGS[framing]
    steps: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(wire: Wire) -> None:
        await wire.message()
        while piece := await steps.get():
            await wire.send(piece)

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(request())
    steps.put_nowait(first)
    answer = await wire.head()  # the head comes before there is a body
    chunked = answer.one(b"transfer-encoding") is not None
    for piece in (b"a", b"b", b"c"):
        steps.put_nowait(framed(piece))
        assert await (wire.chunk() if chunked else wire.exactly(1)) == piece
    for end in (last, b""):
        steps.put_nowait(end)
    if chunked:
        assert await wire.chunk() == b""


async def test_events_arrive_one_by_one(edge: Edge) -> None:
    go_on = asyncio.Semaphore(0)

    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(head(b"Content-Type: text/event-stream", b"Transfer-Encoding: chunked"))
        for number in range(5):
            event = b"data: %d\n\n" % number
            await wire.send(b"%x\r\n%s\r\n" % (len(event), event))
            await go_on.acquire()
        await wire.send(b"0\r\n\r\n")

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(request())
    await wire.head()
    for number in range(5):
        assert await wire.chunk() == b"data: %d\n\n" % number
        go_on.release()
    assert await wire.chunk() == b""


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_an_upload_passes_byte_by_byte(edge: Edge, chunked: bool) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(wire: Wire) -> None:
        seen.put_nowait((await wire.head()).first)
        for _ in range(3):
            seen.put_nowait(await (wire.chunk() if chunked else wire.exactly(1)))
        assert not chunked or await wire.chunk() == b""
        await wire.send(OK)

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 3"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await seen.get() == b"POST %s HTTP/1.1" % UPLOAD  # before there is a body
        for piece in (b"a", b"b", b"c"):
            await wire.send(b"1\r\n%s\r\n" % piece if chunked else piece)
            assert await seen.get() == piece
    if chunked:
        await wire.send(b"0\r\n\r\n")
    assert (await wire.message()).body == b"ok"


async def test_both_directions_run_at_once(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(head(b"Transfer-Encoding: chunked"))
        while piece := await wire.chunk():
            await wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        await wire.send(b"0\r\n\r\n")

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Transfer-Encoding: chunked"))
    await wire.head()
    for piece in (b"a", b"bc", b"def"):
        await wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert await wire.chunk() == piece
    await wire.send(b"0\r\n\r\n")
    assert await wire.chunk() == b""


class Pump:
    """Writes pieces of zeros for as long as the peer takes them, and counts."""

    def __init__(self, wire: Wire, size: int) -> None:
        self.sent = 0
        self._wire = wire
        self._size = size
        sock = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        wire.writer.transport.set_write_buffer_limits(0)

    async def run(self) -> None:
        while self.sent < self._size:
            await self._wire.send(PIECE)
            self.sent += len(PIECE)

    async def stopped(self) -> int:
        """How much was sent once nothing more has been for a while."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            sent = -1
            while sent != self.sent or not sent:
                sent = self.sent
                await asyncio.sleep(0.3)
        return sent


@pytest.fixture
def traced() -> Any:
    """Traces Python's memory; `traced()` is what is in use now, in bytes."""
    tracemalloc.start()

    def in_use() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield in_use
    tracemalloc.stop()


STALLED = 8


async def test_readers_that_stall_stop_the_origin_and_cost_little(edge: Edge, traced: Callable[[], int]) -> None:
    pumps: list[Pump] = []

    async def serve(wire: Wire) -> None:
        await wire.message()
        await wire.send(head(b"Content-Length: %d" % (50 * MIB)))
        pumps.append(Pump(wire, 50 * MIB))
        await pumps[-1].run()

    edge.origin.script = serve
    await edge.connect()
    before = traced()
    for _ in range(STALLED):
        wire = await edge.connect(receive_bytes=SMALL_BUFFER)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.send(request())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(pumps) < STALLED:
            await asyncio.sleep(0.02)
    sent = await asyncio.gather(*(pump.stopped() for pump in pumps))
    assert max(sent) < 16 * MIB  # the system's own buffers between three processes, and little of ours
    assert (traced() - before) / STALLED < MIB


async def test_origins_that_stall_stop_the_client_and_cost_little(edge: Edge, traced: Callable[[], int]) -> None:
    started = asyncio.Semaphore(0)

    async def serve(wire: Wire) -> None:
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        started.release()
        await asyncio.sleep(60)

    edge.origin.script = serve
    before = traced()
    pumping, pumps = [], []
    for _ in range(STALLED):
        wire = await edge.connect()
        await wire.send(upload(b"Content-Length: %d" % (25 * MIB)))
        pumps.append(Pump(wire, 25 * MIB))
        pumping.append(asyncio.get_running_loop().create_task(pumps[-1].run()))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await started.acquire()
    sent = await asyncio.gather(*(pump.stopped() for pump in pumps))
    assert max(sent) < 16 * MIB
    assert (traced() - before) / STALLED < MIB
    for task in pumping:
        task.cancel()
    await asyncio.gather(*pumping, return_exceptions=True)


async def test_large_bodies_leave_memory_flat(edge: Edge, traced: Callable[[], int]) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        left = 25 * MIB
        while left:
            left -= len(await wire.reader.read(min(left, len(PIECE))))
        await wire.send(head(b"Transfer-Encoding: chunked"))
        for _ in range(50 * MIB // len(PIECE)):
            await wire.send(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))
        await wire.send(b"0\r\n\r\n")

    edge.origin.script = serve
    wire = await edge.connect()
    before = traced()
    tracemalloc.reset_peak()
    await wire.send(upload(b"Content-Length: %d" % (25 * MIB)))
    for _ in range(25 * MIB // len(PIECE)):
        await wire.send(PIECE)
    await wire.head()
    received = 0
    while piece := await wire.chunk():
        received += len(piece)
    assert received == 50 * MIB
    assert tracemalloc.get_traced_memory()[1] - before < 3 * MIB  # the origin's and the client's own included
    assert traced() - before < MIB // 2


async def test_go_on_is_said_once_the_origin_says_it(edge: Edge) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def serve(wire: Wire) -> None:
        assert (await wire.head()).one(b"expect") == b"100-continue"
        asked.set()
        await within(PATIENCE_SECONDS, go_on)
        await wire.send(head(status=b"100 Continue"))
        assert await wire.exactly(4) == b"body"
        await wire.send(OK)

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 4", b"Expect: 100-continue"))
    await within(PATIENCE_SECONDS, asked)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await wire.reader.read(1)
    go_on.set()
    assert (await wire.head()).first == b"HTTP/1.1 100 Continue"
    await wire.send(b"body")
    assert (await wire.message()).body == b"ok"


async def test_another_interim_answer_is_no_invitation(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(head(b"Link: </a>", status=b"103 Early Hints"))
        await asyncio.sleep(0.2)
        await wire.send(head(b"Content-Length: 2", status=b"401 No") + b"no")
        await wire.ended()

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 4", b"Expect: 100-continue"))
    said = await wire.message()
    assert (said.head.first, said.body) == (b"HTTP/1.1 401 No", b"no")


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"401 Unauthorized", b"413 Too Large", b"200 OK"])
async def test_a_final_answer_before_the_body_spares_the_body(either_edge: Edge, status: bytes) -> None:
    rest = b""
    ended = asyncio.Event()

    async def serve(wire: Wire) -> None:
        nonlocal rest
        await wire.head()
        await wire.send(head(b"Content-Length: 2", status=status) + b"no")
        try:
            rest = await wire.rest()
        finally:
            ended.set()

    either_edge.origin.script = serve
    wire = await either_edge.connect()
    await wire.send(upload(b"Content-Length: 4", b"Expect: 100-continue"))
    said = await wire.message()
    assert (said.head.first, said.body) == (b"HTTP/1.1 " + status, b"no")
    assert said.head.one(b"connection") == b"close"
    await within(PATIENCE_SECONDS, ended)
    assert rest == b""


async def test_an_origin_that_does_not_know_the_question_gets_the_body(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kyma_proxy.upstreams.exchange.EXPECT_SECONDS", 0.1)
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 4", b"Expect: 100-continue"))
    assert (await wire.head()).first == b"HTTP/1.1 100 Continue"
    await wire.send(b"body")
    assert (await wire.message()).body == b"ok"
    assert edge.origin.request.body == b"body"


async def test_a_body_sent_without_waiting_is_taken(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(head(status=b"100 Continue"))
        assert await wire.exactly(4) == b"body"
        await wire.send(OK)

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 4", b"Expect: 100-continue") + b"body")
    assert (await wire.message()).body == b"ok"


async def test_an_early_413_comes_before_any_invitation(edge: Edge) -> None:
    wire = await edge.connect()
    fields = (b"Authorization: Bearer " + edge.api_key.encode(), b"Content-Length: 9000000", b"Expect: 100-continue")
    await wire.send(request(*fields, method=b"POST", target=b"/v1/audio/speech"))
    said = await wire.message()
    assert said.head.status == 413
    assert edge.origin.connections == 0


async def test_an_early_answer_reaches_a_client_that_still_uploads(edge: Edge) -> None:
    async def serve(wire: Wire) -> None:
        await wire.head()
        await wire.send(head(b"Content-Length: 2", b"Connection: close", status=b"413 Theirs") + b"no")

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(upload(b"Content-Length: 20000000") + bytes(4 * MIB))
    said = await wire.message()
    assert (said.head.first, said.body) == (b"HTTP/1.1 413 Theirs", b"no")
