"""One request on its way through aiohttp's client, exactly as it was written down."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

from aiohttp import ClientRequest, ClientResponse
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.payload import Payload
from multidict import CIMultiDict

from kyma_proxy.upstreams.answers import AnswerReader
from kyma_proxy.upstreams.bodies import OutgoingBody
from kyma_proxy.upstreams.errors import Limit

EXPECT_SECONDS = 1.0
"""How long `100 Continue` is waited for before the body is sent anyway (RFC 9110 section 10.1.1: not indefinitely)."""

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """What is to be sent, literally: nothing is added to the headers but the framing of the body.

    `target` is the request target with its query, byte for byte. `body` is None for a request without one.
    `first_byte_seconds` limits the wait for the answer's head once the request is out. A `repeatable` request may
    be sent a second time where the first cannot have had an effect. With `websocket_idle_seconds` it asks to go on as
    a WebSocket, which ends when both sides have been silent for so long.
    """

    method: str
    target: str
    headers: CIMultiDict[str] = field(repr=False)
    first_byte_seconds: float
    body: Payload | None = None
    repeatable: bool = False
    websocket_idle_seconds: float | None = None


class Exchange:
    """One attempt at a request: its clock and its connection.

    As a context it lasts until the head of the answer is there. Raises TimeoutError when that takes too long; an
    attempt that fails has its connection cut, since closing would wait for a peer that may never read again.
    """

    def __init__(self, request: OutgoingRequest, known: WeakSet[ResponseHandler]) -> None:
        self.request = request
        self._known = known
        self._reused = False
        self._reader: AnswerReader | None = None
        self._presuming: asyncio.TimerHandle | None = None
        self._clock = asyncio.timeout(None)
        self._waiting = False
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        await self._clock.__aenter__()
        self._waiting = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting = False
        if self._presuming is not None:
            # Behind the head of an answer nobody is told any more to go on.
            self._presuming.cancel()
        if kind is not None:
            self.abort()
        await self._clock.__aexit__(kind, error, trace)

    def connected(self, protocol: ResponseHandler) -> None:
        """The connection is there and the head is about to go out."""
        if isinstance(protocol, AnswerReader):
            self._reader = protocol
            protocol.expect_answer()
        self._reused = protocol in self._known
        self._transport = protocol.transport
        self._closed = protocol.closed
        if not self._reused:
            self._known.add(protocol)
            if self._closed is not None:
                self._closed.add_done_callback(_retrieve)

    def presume_continue(self, expected: asyncio.Future[bool]) -> None:
        """Go on after a while as if `100 Continue` had come, unless the answer comes first."""
        loop = asyncio.get_running_loop()
        self._presuming = loop.call_later(EXPECT_SECONDS, _presume, expected)

    def request_finished(self) -> None:
        """The request is out: the time for the answer's head begins."""
        if self._waiting:
            now = asyncio.get_running_loop().time()
            self._clock.reschedule(now + self.request.first_byte_seconds)

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
    def limit(self) -> Limit:
        """Which limit a TimeoutError was of: the only other clock is aiohttp's, of the whole exchange."""
        return "first_byte" if self._clock.expired() else "total"

    @property
    def transport(self) -> asyncio.Transport:
        """The connection that the request went out on, whether or not it has ended."""
        assert self._transport is not None, "the request has not gone out"
        return self._transport

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
        stale = self._reused and (self._reader is None or not self._reader.heard)
        return request.repeatable and stale and request.body is None and request.method in _IDEMPOTENT


def _retrieve(closed: asyncio.Future[None]) -> None:
    """Look at the exception of a lost connection, so that asyncio does not report it as overlooked."""
    if not closed.cancelled():
        closed.exception()


def _presume(expected: asyncio.Future[bool]) -> None:
    """Go on as if `100 Continue` had come."""
    if not expected.done():
        expected.set_result(True)


class _ExactTarget:
    """Stands where aiohttp asks a URL for the request target: a URL would re-quote it and drop a lone `?`."""

    def __init__(self, target: str) -> None:
        self.raw_path_qs = target

    def __str__(self) -> str:
        return "the upstream"  # stands in aiohttp's error texts, where a query has no place


class ExactRequest(ClientRequest):
    """aiohttp's request, with target, headers and body as the exchange has them.

    The exchange comes in as `data`, which the session hands on untouched; through the session's `headers`, names
    that differ only in case would swallow each other.
    """

    exchange: Exchange

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Take over what is to be sent, in place of aiohttp's own reading of `data`."""
        self.exchange = body
        request = self.exchange.request
        self.headers = request.headers.copy()
        self._body = request.body
        if request.body is not None and "Content-Length" not in self.headers:
            self.chunked = True

    async def send(self, conn: Connection) -> ClientResponse:
        """Send the head, and start on the body if there is one."""
        assert conn.protocol is not None
        self.exchange.connected(conn.protocol)
        self.url = _ExactTarget(self.exchange.request.target)  # type: ignore[assignment]
        if (expected := self._continue) is not None:
            self.exchange.presume_continue(expected)
        response = await super().send(conn)
        if self._body is None:
            self.exchange.request_finished()
        return response

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body; when its source fails, cut the connection so that an answer under way breaks off too."""
        await super().write_bytes(writer, conn, content_length)
        if self.exchange.source_failure() is None:
            self.exchange.request_finished()
        else:
            self.exchange.abort()
