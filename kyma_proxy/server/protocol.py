"""One client connection: aiohttp's protocol with our answers to malformed HTTP, a head timer and a patient close."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Final, cast

import structlog
from aiohttp import HttpVersion11, StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, RawConnection
from kyma_proxy.observe.endings import HEAD_TOO_LONG, MALFORMED, SLOW_HEAD, TOO_MANY_CONNECTIONS, Ending
from kyma_proxy.observe.requests import RequestObserver, RequestRecord
from kyma_proxy.server.head import error_reply, frame, reply_head, sign
from kyma_proxy.server.intake import new_request_id
from kyma_proxy.server.occupancy import Occupancy
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.server.reading import RequestReader

# While draining, a connection that is in the middle of a head gets this long to complete it.
_DRAIN_HEAD_SECONDS: Final = 5.0
_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if sys.platform == "linux" else None)
_UNSENT_BYTES_MAX: Final = 128 * 1024

_log = structlog.get_logger("kyma_proxy.server")


class WrittenResponse(StreamResponse):
    """Tells aiohttp that the answer is on the wire already, and whether the connection lives on."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive
        self._eof_sent = True


class _MalformedResponse(WrittenResponse):
    """Writes an error in the envelope when aiohttp gets to it, then lets the client read it."""

    def __init__(self, connection: Connection, error: GatewayError, ending: Ending) -> None:
        super().__init__(keep_alive=False)
        self._connection = connection
        self._error = error
        self._ending = ending

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        await self._connection.refuse_unread(self._error, self._ending)
        return None


class _Request(BaseRequest):
    """A request that knows whether another one may follow on its connection."""

    @property
    def keep_alive(self) -> bool:
        assert isinstance(self.protocol, Connection)
        return super().keep_alive and self.protocol.reusable


class Connection(RequestReader):
    """One client's connection."""

    __slots__ = (
        "_drain_head_seconds",
        "_head_begun",
        "_head_seconds",
        "_head_timer",
        "_observer",
        "_occupancy",
        "_on_lost",
        "_options",
    )

    def __init__(self, server: ConnectionServer, loop: asyncio.AbstractEventLoop) -> None:
        options = server.options
        super().__init__(server, loop, options)
        self._options = options
        self._head_seconds = options.head_timeout_seconds
        self._drain_head_seconds = min(_DRAIN_HEAD_SECONDS, options.head_timeout_seconds)
        self._observer = server.observer
        self._occupancy = server.occupancy
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_begun = False
        self._on_lost: Callable[[], None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether the connection waits for a request's head: nothing is being answered."""
        return self._waiter is not None and not self._waiter.done()

    def on_lost(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called when the connection ends; None takes that back."""
        self._on_lost = callback

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the client connected."""
        super().connection_made(transport)
        writable = cast("asyncio.WriteTransport", transport)  # uvloop's are no instances of it
        # What was written is then in the hands of the kernel: it holds enough, and what an answer costs depends on it.
        # asyncio's TLS counts up to the limit, plain connections beyond it.
        writable.set_write_buffer_limits(high=1 if transport.get_extra_info("sslcontext") else 0)
        _hold_back_little(writable)
        self._occupancy.opened(self)
        self._observer.connected()
        if len(self._occupancy.connections) > self._options.max_connections:
            message = "The gateway has too many connections open. Try again shortly."
            refusal = GatewayError(ErrorCode.UNAVAILABLE, message, headers={"Retry-After": "1"}, close_connection=True)
            self._write_refusal(refusal, TOO_MANY_CONNECTIONS)
            transport.close()
            return
        self._start_head_timer(self._drain_head_seconds if self._occupancy.draining else self._head_seconds)

    def head_begun(self) -> None:
        """The first bytes of a head, or more of them, have arrived."""
        self._head_begun = True
        if self._head_timer is None:
            self._start_head_timer(self._head_seconds)

    def head_ended(self) -> None:
        """A head is complete, or broken."""
        self._stop_head_timer()

    def eof_received(self) -> None:
        """asyncio: the client closed its half; the transport is then closed, a half-close counts as leaving."""
        self.stop_lingering()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio: the connection has ended."""
        self._stop_head_timer()
        self.stop_lingering()
        super().connection_lost(exc)
        self._occupancy.closed(self)
        self._observer.disconnected()
        if self._on_lost is not None:
            self._on_lost()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """aiohttp: the parser gave up (status 400), or a fault escaped the request handler."""
        if status >= 500 or request.writer.output_size > 0:
            _log.error("connection_failed", exc_info=exc)
            raise ConnectionError("nothing more can be said on this connection") from exc
        ending = HEAD_TOO_LONG if isinstance(exc, LineTooLong) else MALFORMED
        return _MalformedResponse(self, _malformed(exc, self._options), ending)

    async def refuse_unread(self, error: GatewayError, ending: Ending) -> None:
        """Answer what never became a request, and end the connection once the client could read the answer."""
        self._write_refusal(error, ending)
        await self.linger()

    def hand_over(self, protocol: asyncio.Protocol) -> RawConnection:
        """Leave HTTP: from now on `protocol` is told of what happens on the connection.

        Raises ClientLeftError when the client has left already.
        """
        transport, self.transport = self.transport, None
        if transport is None:
            raise ClientLeftError("the client hung up before it could go on in another protocol")
        early, self._message_tail = self._message_tail, b""
        transport.set_protocol(protocol)
        return RawConnection(transport, early, self.connection_lost)

    def leave_when_idle(self) -> None:
        """Close the connection if it is idle; a head that has begun gets a few seconds to be completed."""
        if not self.waiting:
            return
        if self._head_begun:
            self._start_head_timer(self._drain_head_seconds)
        else:
            self.force_close()

    def _start_head_timer(self, seconds: float) -> None:
        # Not restarted by bytes that trickle in: the whole head has to arrive in this time.
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self._loop.call_later(seconds, self._head_timed_out)

    def _stop_head_timer(self) -> None:
        self._head_begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self._head_begun:
            message = f"The request's head was not complete after {self._head_seconds:g} seconds."
            self._write_refusal(GatewayError(ErrorCode.REQUEST_TIMEOUT, message), SLOW_HEAD)
        self.force_close()

    def _write_refusal(self, error: GatewayError, ending: Ending) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        request_id = new_request_id()
        reply = error_reply(error)
        sign(reply, request_id)
        assert isinstance(reply.body, bytes)
        head = reply_head(reply, frame(reply, "GET", HttpVersion11, close=True), HttpVersion11, False)
        self.transport.write(head + reply.body)
        self._observer.refused_unread(
            RequestRecord(
                request_id,
                status=reply.status,
                ending=ending,
                error_code=error.code.code,
                bytes_out=len(reply.body),
            )
        )


class ConnectionServer(Server):
    """Makes a Connection for every client."""

    def __init__(
        self,
        handler: Callable[[BaseRequest], Awaitable[StreamResponse]],
        options: ListenerOptions,
        observer: RequestObserver,
        occupancy: Occupancy,
    ) -> None:
        super().__init__(handler, request_factory=self._take_request, handler_cancellation=options.handler_cancellation)
        self.options = options
        self.observer = observer
        self.occupancy = occupancy

    def __call__(self) -> Connection:
        """A protocol for a new client; asyncio calls this."""
        return Connection(self, self._loop)

    def _take_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> BaseRequest:
        assert isinstance(protocol, Connection)
        protocol.taken(payload)
        return _Request(message, payload, protocol, writer, task, self._loop)


def _hold_back_little(transport: asyncio.WriteTransport) -> None:
    """Have the kernel tell of room for more as soon as little is unsent.

    Otherwise Linux waits until a third of its buffer is free, which has grown to megabytes by then: a client that reads
    steadily, but slowly, would look as if it took nothing for minutes.
    """
    connection = transport.get_extra_info("socket")
    is_tcp = connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6)
    if is_tcp and _NOTSENT_LOWAT is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _UNSENT_BYTES_MAX)


def _malformed(exc: BaseException | None, options: ListenerOptions) -> GatewayError:
    # The parser's own words quote the request, secrets included.
    if isinstance(exc, LineTooLong):
        limit = max(options.max_line_bytes, options.max_header_bytes)
        message = f"The request line and each header may have at most {limit} bytes."
    elif isinstance(exc, BadHttpMethod):
        message = "The request's method is not known, or this is not HTTP/1.1."
    else:
        message = "This is not a well-formed HTTP/1.1 request."
    return GatewayError(ErrorCode.INVALID_REQUEST, message, close_connection=True)
