"""One client connection: aiohttp's protocol with our answers to malformed HTTP, a head timer and a patient close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import HttpVersion11, StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, RequestHandler, RequestPayloadError, Server, StreamResponse

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import EndReason
from kyma_proxy.observe.requests import RequestObserver, RequestRecord
from kyma_proxy.server.head import error_reply, frame, reply_head, sign
from kyma_proxy.server.intake import new_request_id
from kyma_proxy.server.occupancy import Occupancy
from kyma_proxy.server.options import ListenerOptions

# While draining, a connection that is in the middle of a head gets this long to complete it.
_DRAIN_HEAD_SECONDS: Final = 5.0

_log = structlog.get_logger("kyma_proxy.server")


class WrittenResponse(StreamResponse):
    """Tells aiohttp that the answer is on the wire already, and whether the connection lives on."""

    def __init__(self, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive
        self._eof_sent = True


class _MalformedResponse(WrittenResponse):
    """Writes an error in the envelope when aiohttp gets to it, then lets the client read it."""

    def __init__(self, connection: Connection, error: GatewayError) -> None:
        super().__init__(keep_alive=False)
        self._connection = connection
        self._error = error

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        await self._connection.refuse_unread(self._error, EndReason.MALFORMED)
        return None


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = (
        "_discard_bytes",
        "_drain_head_seconds",
        "_head_begun",
        "_head_seconds",
        "_head_timer",
        "_lingering",
        "_observer",
        "_occupancy",
        "_on_lost",
        "_options",
        "_unread",
    )

    def __init__(self, server: ConnectionServer, loop: asyncio.AbstractEventLoop) -> None:
        options = server.options
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # ours is written elsewhere
            auto_decompress=False,
            keepalive_timeout=options.keepalive_seconds,
            lingering_time=0,  # ours is bounded in bytes too
            max_field_size=options.max_header_bytes,
            max_headers=options.max_headers,
            max_line_size=options.max_line_bytes,
            read_bufsize=options.read_buffer_bytes,
        )
        self._options = options
        self._head_seconds = options.head_timeout_seconds
        self._drain_head_seconds = min(_DRAIN_HEAD_SECONDS, options.head_timeout_seconds)
        self._observer = server.observer
        self._occupancy = server.occupancy
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_begun = False
        self._lingering: asyncio.Future[None] | None = None
        self._discard_bytes = 0
        self._unread: StreamReader | None = None
        self._on_lost: Callable[[], None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether the connection waits for a request's head: nothing is being answered."""
        return self._waiter is not None and not self._waiter.done()

    def taken(self, body: StreamReader) -> None:
        """A request with this body was taken off the queue."""
        self._unread = body

    def on_lost(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called when the connection ends; None takes that back."""
        self._on_lost = callback

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the client connected."""
        super().connection_made(transport)
        self._occupancy.opened(self)
        self._start_head_timer(self._drain_head_seconds if self._occupancy.draining else self._head_seconds)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        if self._lingering is not None:
            self._discard_bytes -= len(data)
            if self._discard_bytes < 0:
                self._stop_lingering()
            return
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_head_timer()
            self._fail_broken_body()
        elif data and self.waiting:
            self._head_begun = True
            if self._head_timer is None:
                self._start_head_timer(self._head_seconds)

    def eof_received(self) -> None:
        """asyncio: the client closed its half; the transport is then closed, a half-close counts as leaving."""
        self._stop_lingering()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio: the connection has ended."""
        self._stop_head_timer()
        self._stop_lingering()
        super().connection_lost(exc)
        self._occupancy.closed(self)
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
        return _MalformedResponse(self, _malformed(exc, self._options))

    async def refuse_unread(self, error: GatewayError, reason: EndReason) -> None:
        """Answer what never became a request, and end the connection once the client could read the answer."""
        self._write_refusal(error, reason)
        await self.linger()

    async def linger(self) -> None:
        """Read and discard for a while what the client still sends.

        Closing with unread bytes in the socket would reset the connection, and the client would lose an answer that
        was already on its way.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._discard_bytes = self._options.linger_bytes
        self._lingering = self._loop.create_future()
        try:
            if transport.can_write_eof():
                transport.write_eof()
        except OSError:
            # The client is gone already: there is nobody left to read the answer.
            return
        transport.resume_reading()
        try:
            async with asyncio.timeout(self._options.linger_seconds):
                await self._lingering
        except TimeoutError:
            pass

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
            self._write_refusal(GatewayError(ErrorCode.REQUEST_TIMEOUT, message), EndReason.TIMED_OUT)
        self.force_close()

    def _write_refusal(self, error: GatewayError, reason: EndReason) -> None:
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
                reason=reason,
                error_code=error.code.code,
                bytes_out=len(reply.body),
            )
        )

    def _stop_lingering(self) -> None:
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    def _fail_broken_body(self) -> None:
        """Tell the reader of a body that its framing broke.

        aiohttp queues the parser's error as the next request and tells nobody else: the reader would wait for ever.
        """
        if not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        body = self._messages[-2][1] if len(self._messages) > 1 else self._unread
        if body is not None and not body.is_eof():
            body.set_exception(RequestPayloadError("broken framing"))


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
        return BaseRequest(message, payload, protocol, writer, task, self._loop)


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
