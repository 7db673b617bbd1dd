"""Reading answers from a connection to an upstream: what was asked for, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from aiohttp import ClientConnectionError, ClientPayloadError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage

MAX_HEAD_FIELD_BYTES = 65_536
MAX_HEAD_FIELDS = 512
READ_BUFFER_BYTES = 64 * 1024
"""Limits on an upstream's answer: wider than what the listener takes, so that no origin's head is refused; and where
reading stops while a client does not keep up."""

Answer = tuple[RawResponseMessage, StreamReader]


class AnswerReader(ResponseHandler):
    """aiohttp's reader of answers, held to one final answer for each request.

    aiohttp keeps what comes on an idle connection for whoever asks next, who may be somebody else; here such a
    connection ends. Of interim answers only `100 Continue` counts: aiohttp would send a body on any of them, and
    nobody behind the gateway asked for the others.
    """

    _is_asked = False
    _is_bodiless = False
    _was_chunked = False
    heard = False
    """Whether anything came in since the last request."""
    used = False
    """Whether a request has gone out here."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        opened: Callable[[], None] = lambda: None,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(loop)
        self._when_opened = opened
        self._when_closed = closed
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        super().connection_made(transport)
        self._is_open = True
        self._when_opened()

    def expect_answer(self, *, bodiless: bool) -> None:
        """A request is about to go out; `bodiless` says that its answer has a head alone, whatever that says."""
        self._is_asked = self.used = True
        self.heard = False
        if self._parser is None or bodiless or self._is_bodiless or self._was_chunked:
            # A parser is good for several answers, but must know beforehand of one without a body, and would give the
            # last trailer of a chunked one to the next as a header.
            self._is_bodiless = bodiless
            self._was_chunked = False
            self.set_response_params(
                skip_payload=bodiless,
                read_until_eof=True,
                auto_decompress=False,
                read_bufsize=READ_BUFFER_BYTES,
                max_line_size=MAX_HEAD_FIELD_BYTES,
                max_field_size=MAX_HEAD_FIELD_BYTES,
                max_headers=MAX_HEAD_FIELDS,
            )

    @property
    def awaits_answer(self) -> bool:
        """Whether the head of a final answer is still to come."""
        return self._is_asked

    def fail(self, error: Exception) -> None:
        """Have whoever waits for an answer, or for more of its body, fail with this; the connection ends with it."""
        body = self._payload
        self.set_exception(error)
        if body is not None and not body.is_eof():
            body.set_exception(error)

    def write(self, data: bytes | memoryview) -> None:
        """Hand bytes of a request to the connection. Raises ClientConnectionError where it has ended."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionError("the connection has ended")
        transport.write(data)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        if data:
            self.heard = True
            if self._is_idle():
                self._end()
                return
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp: there is room for more. Told at every piece of a body, it would run its parser for nothing."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def feed_data(self, data: Answer, size: int = 0) -> None:
        """Take an answer whose head is complete."""
        status = data[0].code
        if not self._is_asked:
            self.force_close()
            return
        if 101 < status < 200:
            return
        if status != 100:
            self._is_asked = False
            self._was_chunked = data[0].chunked
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        """Fail whoever waits for an answer; a body with broken framing fails too, which aiohttp forgets."""
        super().set_exception(exc, exc_cause)
        body = self._payload
        if isinstance(exc, HttpProcessingError) and body is not None and not body.is_eof():
            body.set_exception(ClientPayloadError("the framing of the body is broken"))

    def connection_lost(self, exc: BaseException | None) -> None:
        """asyncio: the connection has ended."""
        if isinstance(exc, ConnectionError):
            self._read_what_came_before()
        super().connection_lost(exc)
        if self._is_open:
            self._is_open = False
            self._when_closed()

    def _is_idle(self) -> bool:
        """Whether nothing is due here any more: the answer was read whole, and no request has followed it."""
        body_ended = self._payload is None or self._payload.is_eof()
        return not self._is_asked and not self._upgraded and body_ended

    def _end(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _read_what_came_before(self) -> None:
        """Read an answer that came before the connection was reset: an upload that is refused ends so.

        asyncio learns of the reset by writing, and would leave in the kernel what has arrived by then.
        """
        transport = self.transport
        if transport is None or self._parser is None or transport.get_extra_info("sslcontext") is not None:
            return
        connection = transport.get_extra_info("socket")
        try:
            while data := os.read(connection.fileno(), READ_BUFFER_BYTES):
                self.data_received(data)
        except OSError:
            return
