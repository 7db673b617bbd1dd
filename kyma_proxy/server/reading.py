"""Requests read one at a time: aiohttp's parser gets the bytes of one, and those behind it wait until it is answered.

So no request is made of bytes whose beginning is in doubt, and what is behind a request to switch protocols is kept.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from aiohttp import EMPTY_PAYLOAD, StreamReader
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import BaseRequest, RequestHandler, RequestPayloadError, StreamResponse
from aiohttp.web_protocol import _ErrInfo

from kyma_proxy.server.boundaries import Boundaries
from kyma_proxy.server.options import ListenerOptions

if TYPE_CHECKING:
    from kyma_proxy.server.protocol import ConnectionServer


class RequestReader(RequestHandler, ABC):
    """The reading half of a connection.

    What waits behind the present request is in `_message_tail`, where aiohttp itself looks for the first bytes of
    another protocol: `set_parser` hands them, and all that follows, to whoever takes the connection over.
    """

    __slots__ = (
        "_boundaries",
        "_discard_bytes",
        "_linger_bytes",
        "_linger_seconds",
        "_lingering",
        "_request_open",
        "_unread",
    )

    def __init__(self, server: ConnectionServer, loop: asyncio.AbstractEventLoop, options: ListenerOptions) -> None:
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
        self._boundaries = Boundaries(options.max_line_bytes)
        self._request_open = False
        self._unread: StreamReader | None = None
        self._linger_seconds = options.linger_seconds
        self._linger_bytes = options.linger_bytes
        self._lingering: asyncio.Future[None] | None = None
        self._discard_bytes = 0

    @property
    def reusable(self) -> bool:
        """Whether another request may be read behind the present one."""
        return not self._boundaries.ended

    def taken(self, body: StreamReader) -> None:
        """A request with this body was taken off the queue."""
        self._unread = body

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived; aiohttp: without bytes, its parser may go on."""
        if self._lingering is not None:
            self._discard(data)
            return
        if self._force_close or self._close:
            return
        if self._payload_parser is not None:
            super().data_received(data)
            return
        if not data:
            self._parse_body(data)
            return
        if not self._request_open:
            data = self._read_head(data)
        if data and self._boundaries.in_body:
            data = self._read_body(data)
        if data:
            self._keep(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp: there is room for more. Told at every piece of a body, it would run its parser for nothing."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """aiohttp: a request is answered."""
        if self._upgraded and self._payload_parser is None:
            # aiohttp would read it as requests; but it is of another protocol, which was refused.
            self._message_tail = b""
        finished = await super().finish_response(request, resp, start_time)
        if self._payload_parser is None:
            if resp.keep_alive and not self._boundaries.ended:
                self._read_on()
            else:
                await self._leave()
        return finished

    async def linger(self) -> None:
        """Read and discard for a while what the client still sends.

        Closing with unread bytes in the socket would reset the connection, and the client would lose an answer that
        was already on its way.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        self._discard_bytes = self._linger_bytes
        self._message_tail = b""
        self._lingering = self._loop.create_future()
        try:
            if transport.can_write_eof():
                transport.write_eof()
        except OSError:
            # The client is gone already: there is nobody left to read the answer.
            return
        transport.resume_reading()
        try:
            async with asyncio.timeout(self._linger_seconds):
                await self._lingering
        except TimeoutError:
            pass

    def stop_lingering(self) -> None:
        """Have `linger` return: nothing more comes."""
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    @abstractmethod
    def head_begun(self) -> None:
        """The first bytes of a head, or more of them, have arrived; the connection decides what follows from that."""

    @abstractmethod
    def head_ended(self) -> None:
        """A head is complete, or broken; the connection decides what follows from that."""

    def _read_on(self) -> None:
        self._request_open = False
        data = self._message_tail
        if not data:
            return
        self._message_tail = b""
        self.data_received(data)
        if self._buffer_paused and len(self._message_tail) < self._read_bufsize:
            self._resume_reading_for_buffer()

    async def _leave(self) -> None:
        if self._message_tail:
            await self.linger()
        self.close()

    def _read_head(self, data: bytes) -> bytes:
        """Parse what belongs to the head; returns what is behind it."""
        size = self._boundaries.head_size(data)
        count = self._request_count
        super().data_received(data if size == len(data) else data[:size])
        if self._request_count == count and not self._boundaries.head_complete:
            self.head_begun()
            return b""
        self._request_open = True
        self._judge_head(self._request_count - count)
        self.head_ended()
        return data[size:]

    def _judge_head(self, count: int) -> None:
        message, body = self._messages[-1] if count else (None, EMPTY_PAYLOAD)
        if isinstance(message, _ErrInfo):
            self._boundaries.end()
        elif message is None or count > 1 or not self._boundaries.head_agrees(message):
            self._refuse_instead_of(count)
        else:
            self._boundaries.enter_body(message, body)

    def _read_body(self, data: bytes) -> bytes:
        """Parse what belongs to the body; returns what is behind it."""
        try:
            size = self._boundaries.body_size(data)
        except ValueError:
            self._refuse_instead_of(0)
            self._fail_body()
            return b""
        self._parse_body(data if size == len(data) else data[:size])
        return data[size:]

    def _parse_body(self, data: bytes) -> None:
        count = self._request_count
        super().data_received(data)
        if self._request_count == count:
            return
        if isinstance(self._messages[-1][0], RawRequestMessage):
            self._refuse_instead_of(self._request_count - count)
        self._boundaries.end()
        self._fail_body()

    def _discard(self, data: bytes) -> None:
        self._discard_bytes -= len(data)
        if self._discard_bytes < 0:
            self.stop_lingering()

    def _keep(self, data: bytes) -> None:
        self._message_tail += data
        if not self._buffer_paused and len(self._message_tail) >= self._read_bufsize:
            self._pause_reading_for_buffer()

    def _refuse_instead_of(self, count: int) -> None:
        """Answer 400 in place of the last `count` requests, and read no further."""
        for _ in range(count):
            self._messages.pop()
        error = BadHttpMessage("the parser and the bytes disagree")
        self._messages.append((_ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD))
        self._request_count += 1
        self._boundaries.end()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail_body(self) -> None:
        """Tell the reader of a body that its framing broke.

        aiohttp queues the parser's error as the next request and tells nobody else: the reader would wait for ever.
        """
        body = self._messages[-2][1] if len(self._messages) > 1 else self._unread
        if body is not None and not body.is_eof():
            body.set_exception(RequestPayloadError("broken framing"))
