"""Reading answers from a connection to an upstream: what was asked for, and nothing else."""

from __future__ import annotations

import os

from aiohttp import ClientPayloadError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import _EXC_SENTINEL
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage

_READ_BYTES = 64 * 1024


class AnswerReader(ResponseHandler):
    """aiohttp's reader of answers, held to one final answer for each request.

    aiohttp keeps what comes on an idle connection for whoever asks next, who may be somebody else; here such a
    connection ends. Of interim answers only `100 Continue` counts: aiohttp would send a body on any of them, and
    nobody behind the gateway asked for the others.
    """

    _is_asked = False
    heard = False
    """Whether anything came in since the last request."""

    def expect_answer(self) -> None:
        """A request is about to go out."""
        self._is_asked = True
        self.heard = False

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        if data:
            self.heard = True
            if self._is_idle():
                self._end()
                return
        super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take an answer whose head is complete."""
        status = data[0].code
        if not self._is_asked:
            self.force_close()
            return
        if 101 < status < 200:
            return
        if status != 100:
            self._is_asked = False
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
            while data := os.read(connection.fileno(), _READ_BYTES):
                self.data_received(data)
        except OSError:
            return
