"""One request on its way to an upstream, exactly as it was written down, and the head of its answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from aiohttp import ClientError
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from kyma_proxy.heads import serialize_head
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.answers import Answer, AnswerReader
from kyma_proxy.upstreams.bodies import OutgoingBody
from kyma_proxy.upstreams.connections import Connections, reader_of
from kyma_proxy.upstreams.errors import Limit
from kyma_proxy.upstreams.writing import RequestWriter
from kyma_proxy.wheel import TimerWheel, WheelTimer

EXPECT_SECONDS = 1.0
"""How long `100 Continue` is waited for before the body is sent anyway (RFC 9110 section 10.1.1: not indefinitely)."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(slots=True)
class OutgoingRequest:
    """What is to be sent, literally: nothing is added to the headers but the framing of a body of unknown length.

    `target` is the request target with its query, byte for byte. `body` is None for a request without one.
    `first_byte_seconds` limits the wait for the answer's head once the request is out. A `repeatable` request may
    be sent a second time where the first cannot have had an effect. With `websocket_idle_seconds` it asks to go on as
    a WebSocket, which ends when both sides have been silent for so long.
    """

    method: str
    target: str
    headers: CIMultiDict[str] = field(repr=False)
    first_byte_seconds: float
    body: bytes | OutgoingBody | None = field(default=None, repr=False)
    repeatable: bool = False
    websocket_idle_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Means:
    """What exchanges of one transport share: where their timers and the tasks that send their bodies are kept."""

    wheel: TimerWheel
    tasks: Tasks


class Exchange:
    """One attempt at a request: its limits of time, and the fate of its connection.

    An attempt that fails has its connection cut, since closing would wait for a peer that may never read again.
    """

    def __init__(self, request: OutgoingRequest, means: Means, total_seconds: float | None = None) -> None:
        self.request = request
        self.expired: Limit | None = None
        """Which limit of time ended it, if one did."""
        self._means = means
        self._connection: Connection | None = None
        self._reader: AnswerReader | None = None
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] | None = None
        self._was_used = False
        self._sending: asyncio.Task[None] | None = None
        self._is_out = False
        self._invited: asyncio.Future[None] | None = None
        self._first_byte: WheelTimer | None = None
        self._total_seconds = total_seconds
        self._total: WheelTimer | None = None

    async def run(self, connections: Connections, origin: URL) -> Answer:
        """Send the request to an origin, and return the head of its answer and the body still to be read.

        Raises ClientError, HttpProcessingError or OSError, TimeoutError among them: see `expired`.
        """
        try:
            self._take(await self._connect(connections, origin))
            self._send()
            return await self._answer()
        except BaseException:
            await self.close()
            raise
        finally:
            if self._first_byte is not None:
                self._first_byte.cancel()
                self._first_byte = None

    def expire(self, limit: Limit) -> None:
        """A limit of time is over: whoever waits for the answer, or for more of it, gets a TimeoutError."""
        self.expired = self.expired or limit
        if self._reader is not None:
            self._reader.fail(TimeoutError())

    def idle_timer(self, seconds: float) -> WheelTimer:
        """A limit on the wait for the next piece of the answer's body."""
        return self._means.wheel.after(seconds, partial(self.expire, "idle"))

    def finish(self) -> None:
        """The answer was read whole: the connection may serve another request, if this one has gone out whole too."""
        connection = self._connection
        if connection is None or not self._is_out:
            return
        self._connection = None
        self._stop_total()
        connection.release()

    async def close(self, *, cut: bool = True) -> None:
        """End what is left: a connection that was not given back, and the sending of the request's body.

        Without `cut` the connection is somebody else's by now.
        """
        self._stop_total()
        connection, self._connection = self._connection, None
        if connection is not None:
            if cut:
                self.abort()
            connection.close()
        if self._sending is not None and not self._sending.done():
            self._sending.cancel()
            await asyncio.wait([self._sending])

    def abort(self) -> None:
        """Cut the connection, with whatever is still to be written to it; nothing happens if it has ended."""
        ended = self._closed is None or self._closed.done()  # asyncio's abort fails on a transport that has ended
        if self._transport is not None and not ended:
            connection = self._transport.get_extra_info("socket")
            if self._transport.get_write_buffer_size() and connection is not None and connection.fileno() >= 0:
                # An end in order would wait behind what the peer does not take.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    @property
    def transport(self) -> asyncio.Transport:
        """The connection that the request went out on, whether or not it has ended."""
        assert self._transport is not None, "the request has not gone out"
        return self._transport

    @property
    def reader(self) -> AnswerReader:
        """What reads the answer."""
        assert self._reader is not None, "the request has not gone out"
        return self._reader

    def source_failure(self) -> Exception | None:
        """Why the request body broke off, if it did."""
        body = self.request.body
        return body.failure if isinstance(body, OutgoingBody) else None

    def broken_off(self) -> bool:
        """Whether the connection ended otherwise than by an orderly close, or was cut because of the request body."""
        return self.lost_because() is not None or self.source_failure() is not None

    def lost_because(self) -> Exception | None:
        """Why the connection has ended; None while it has not, and after an orderly close."""
        closed = self._closed
        if closed is None or not closed.done() or closed.cancelled():
            return None
        failure = closed.exception()
        return failure if isinstance(failure, Exception) else None

    def may_repeat(self) -> bool:
        """Whether this attempt, lost on a kept-alive connection that had gone stale, may be made once more.

        A connection on which anything came back was not stale.
        """
        request = self.request
        stale = self._was_used and self._reader is not None and not self._reader.heard
        return request.repeatable and stale and request.body is None and request.method in _IDEMPOTENT

    async def _connect(self, connections: Connections, origin: URL) -> Connection:
        if self._total_seconds is None:
            return await connections.take(origin)
        self._total = self._means.wheel.after(self._total_seconds, partial(self.expire, "total"))
        clock = asyncio.timeout(self._total_seconds)
        try:
            async with clock:
                return await connections.take(origin)
        except TimeoutError:
            if clock.expired():
                self.expire("total")
            raise

    def _take(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = reader = reader_of(connection)
        self._was_used = reader.used
        self._transport = reader.transport
        self._closed = reader.closed
        if not self._was_used and self._closed is not None:
            self._closed.add_done_callback(_retrieve)
        reader.expect_answer(bodiless=self.request.method == "HEAD")

    def _send(self) -> None:
        """Send the request at once, or start on it if its body is still to come."""
        request, body = self.request, self.request.body
        headers = request.headers
        chunked = isinstance(body, OutgoingBody) and "Content-Length" not in headers
        if chunked:
            headers = headers.copy()
            headers["Transfer-Encoding"] = "chunked"
        head = serialize_head(f"{request.method} {request.target} HTTP/1.1", headers.items())
        if isinstance(body, OutgoingBody):
            writer = RequestWriter(self.reader, head, chunked=chunked)
            if "Expect" in headers:
                self._invited = asyncio.get_running_loop().create_future()
            self._sending = self._means.tasks.spawn(self._send_body(body, writer), name="send a request's body")
        else:
            self.reader.write(head + body if body else head)
            self._request_is_out()

    async def _send_body(self, body: OutgoingBody, writer: RequestWriter) -> None:
        """Send the body; when its source fails the connection is cut, so that an answer under way breaks off too."""
        try:
            if self._invited is not None:
                writer.send_head()
                await self._invitation(self._invited)
            await body.write(writer)
        except (ClientError, OSError):
            if body.failure is None:
                return  # the connection has ended: whoever waits for the answer is told
        except Exception:
            if body.failure is None:
                raise
        if body.failure is None:
            self._request_is_out()
        else:
            self.reader.fail(ConnectionError("the request's body broke off"))
            self.abort()

    async def _invitation(self, invited: asyncio.Future[None]) -> None:
        """Wait for `100 Continue`, but not for ever."""
        try:
            async with asyncio.timeout(EXPECT_SECONDS):
                await asyncio.shield(invited)
        except TimeoutError:
            return

    async def _answer(self) -> Answer:
        while True:
            answer = await self.reader.read()
            invited = self._invited
            if invited is not None and not invited.done():
                if answer[0].code == 100:
                    invited.set_result(None)
                else:
                    invited.cancel()  # nobody wants the body any more
            if answer[0].code != 100:
                return answer

    def _request_is_out(self) -> None:
        """The time for the answer's head begins, if that is still to come."""
        self._is_out = True
        if self.reader.awaits_answer:
            seconds = self.request.first_byte_seconds
            self._first_byte = self._means.wheel.after(seconds, partial(self.expire, "first_byte"))

    def _stop_total(self) -> None:
        if self._total is not None:
            self._total.cancel()
            self._total = None


def _retrieve(closed: asyncio.Future[None]) -> None:
    """Look at the exception of a lost connection, so that asyncio does not report it as overlooked."""
    if not closed.cancelled():
        closed.exception()
