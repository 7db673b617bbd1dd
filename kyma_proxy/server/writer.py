"""A Reply on its way to the client: one write for a small answer, piece by piece with back-pressure for a stream."""

from __future__ import annotations

import asyncio

from aiohttp.web import BaseRequest

from kyma_proxy.flow import ClientLeftError, Reply, ReplyStream
from kyma_proxy.server.head import Framing, frame, serialise_head
from kyma_proxy.server.protocol import Connection


class StreamBrokeOffError(Exception):
    """A reply's stream failed, or gave more or less than its head had announced; the cause is chained."""


class SlowClientError(Exception):
    """The client took no byte of its answer for too long."""


class ReplyWriter:
    """Writes one reply to one request."""

    def __init__(self, request: BaseRequest, connection: Connection, send_timeout_seconds: float) -> None:
        self._request = request
        self._connection = connection
        self._writer = request.writer
        self._send_timeout_seconds = send_timeout_seconds
        self.bytes_out = 0
        """Bytes of body handed to the connection so far."""

    async def write(self, reply: Reply, close: bool) -> Framing:
        """Write a reply and return how it was framed; its stream is read here but closed by the caller.

        Raises ValueError, before anything is written, when its head cannot be written safely. After any other error
        (ClientLeftError, StreamBrokeOffError, SlowClientError, cancellation) the connection is good for nothing.
        """
        framing = frame(reply, self._request.method, self._request.version, close)
        head = serialise_head(reply, framing, self._request.version, self._request.keep_alive)
        if isinstance(reply.body, bytes):
            body = reply.body if framing.has_body else b""
            await self._send(head + body)
            self.bytes_out += len(body)
        else:
            await self._send(head)
            if framing.has_body:
                await self._stream(reply.body, framing)
        return framing

    async def _stream(self, stream: ReplyStream, framing: Framing) -> None:
        """Relay a stream until it ends or the client leaves.

        A leaver is noticed even while the upstream is silent; aiohttp itself would only tell at the next write.
        """
        try:
            async with asyncio.timeout(None) as presence:
                self._connection.on_lost(lambda: presence.reschedule(0))
                try:
                    if self._request.transport is None:
                        raise ClientLeftError("the client hung up before its answer began")
                    await self._relay(stream, framing)
                finally:
                    self._connection.on_lost(None)
        except TimeoutError as error:
            raise ClientLeftError("the client hung up while its answer was written") from error

    async def _relay(self, stream: ReplyStream, framing: Framing) -> None:
        if framing.chunked:
            self._writer.enable_chunking()
        pieces = aiter(stream)
        while True:
            piece = await _next_piece(pieces)
            if piece is None:
                break
            self.bytes_out += len(piece)
            if framing.length is not None and self.bytes_out > framing.length:
                raise StreamBrokeOffError("the body is longer than its Content-Length")
            if piece:
                await self._send(piece)
        if framing.length is not None and self.bytes_out < framing.length:
            raise StreamBrokeOffError("the body is shorter than its Content-Length")
        await self._end()
