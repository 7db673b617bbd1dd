"""A Reply on its way to the client: one write for a small answer, piece by piece with back-pressure for a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp.http import StreamWriter
from aiohttp.web import BaseRequest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.flow import ClientLeftError, Reply, ReplyStream, ReplyTunnel
from kyma_proxy.observe.endings import COMPLETED
from kyma_proxy.server.connection import client_connected
from kyma_proxy.server.head import Framing, frame, reply_head
from kyma_proxy.server.protocol import Connection
from kyma_proxy.server.tunnel import Tunnel, switching_head

_LOOK_SECONDS: Final = 0.1
_JOINED_BYTES_MAX: Final = 64 * 1024  # beyond this a second write is cheaper than a copy
_SLICE_BYTES: Final = 256 * 1024


class StreamBrokeOffError(Exception):
    """A reply's stream failed, or gave more or less than its head had announced; the cause is chained."""


class SlowClientError(Exception):
    """The client took no byte of its answer for too long."""


class ReplyWriter:
    """Writes one reply to one request."""

    def __init__(self, request: BaseRequest, connection: Connection, send_timeout_seconds: float) -> None:
        self._request = request
        self._connection = connection
        assert isinstance(request.writer, StreamWriter)
        self._writer = request.writer
        self._send_timeout_seconds = send_timeout_seconds
        self.bytes_out = 0
        """Bytes of body handed to the connection so far."""
        self.body_bytes_taken = 0
        """Bytes of body that the client's socket took: the least that it may have got."""
        self.bytes_in = 0
        """Bytes that came from the client in answer to the reply's head: only a tunnel has any."""
        self.head_sent = False
        self.head_at = 0.0
        """When the head had gone to the connection, in seconds of the monotonic clock."""
        self._look: asyncio.TimerHandle | None = None
        self.ending = COMPLETED
        """How a reply that was written has ended."""
        self.tunnelled = False
        """Whether the connection was given to a tunnel."""

    async def write(self, reply: Reply, close: bool) -> Framing:
        """Write a reply and return how it was framed; its stream is read here but closed by the caller.

        Raises ValueError, before anything is written, when its head cannot be written safely. After any other error
        (ClientLeftError, StreamBrokeOffError, SlowClientError, cancellation) the connection is good for nothing.
        """
        if isinstance(reply.body, ReplyTunnel):
            return await self._leave_http(switching_head(reply), reply.body)
        framing = frame(reply, self._request.method, self._request.version, close)
        head = reply_head(reply, framing, self._request.version, self._request.keep_alive)
        if isinstance(reply.body, bytes):
            body = reply.body if framing.has_body else b""
            await self._send_whole(head, body)
        else:
            await self._send(head)
            self._head_is_out()
            if framing.has_body:
                await self._stream(reply.body, framing)
        return framing

    def _head_is_out(self) -> None:
        self.head_sent = True
        self.head_at = monotonic_seconds()

    async def _leave_http(self, head: bytes, upstream: ReplyTunnel) -> Framing:
        await self._send(head)
        self._head_is_out()
        tunnel = Tunnel(self._connection, upstream)
        self.tunnelled = True
        try:
            self.ending = await tunnel.run()
        finally:
            self.bytes_in, self.bytes_out = tunnel.bytes_in, tunnel.bytes_out
        return Framing(has_body=False, length=None, chunked=False, close=True)

    async def _send_whole(self, head: bytes, body: bytes) -> None:
        if len(body) <= _JOINED_BYTES_MAX:
            if await self._send(head + body):
                self.body_bytes_taken = len(body)
        else:
            await self._send(head)
            self._head_is_out()
            with memoryview(body) as view:
                for at in range(0, len(body), _SLICE_BYTES):
                    piece = view[at : at + _SLICE_BYTES]
                    self.bytes_out += len(piece)
                    if await self._send(piece):
                        self.body_bytes_taken += len(piece)
            return
        self._head_is_out()
        self.bytes_out = len(body)

    async def _stream(self, stream: ReplyStream, framing: Framing) -> None:
        """Relay a stream until it ends or the client leaves.

        A leaver is noticed even while the upstream is silent; aiohttp itself would only tell at the next write.
        """
        try:
            async with asyncio.timeout(None) as presence:
                self._connection.on_lost(lambda: presence.reschedule(0))
                self._look_for_client(presence)
                try:
                    if self._request.transport is None:
                        raise ClientLeftError("the client hung up before its answer began")
                    await self._relay(stream, framing)
                finally:
                    self._connection.on_lost(None)
                    if self._look is not None:
                        self._look.cancel()
        except TimeoutError as error:
            raise ClientLeftError("the client hung up while its answer was written") from error

    def _look_for_client(self, presence: asyncio.Timeout) -> None:
        """Ask about the client now and then: a connection that is not read, since too much was sent, tells nothing."""
        self._look = None
        if client_connected(self._request):
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(_LOOK_SECONDS, self._look_for_client, presence)
        else:
            presence.reschedule(0)

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
            if piece and await self._send(piece):
                self.body_bytes_taken += len(piece)
        if framing.length is not None and self.bytes_out < framing.length:
            raise StreamBrokeOffError("the body is shorter than its Content-Length")
        await self._end()

    async def _end(self) -> None:
        try:
            if self._writer.chunked:
                await self._writer.write_eof()
        except ConnectionError as error:
            raise ClientLeftError("the client hung up while its answer was written") from error
        if self._request.transport is None:
            raise ClientLeftError("the client hung up before the end of its answer")

    async def _send(self, data: bytes | memoryview) -> bool:
        """Hand bytes to the client's socket and wait until it has room; whether it took them all, for certain."""
        try:
            await self._writer.write(data, drain=False)
            if self._connection.writing_paused:
                async with asyncio.timeout(self._send_timeout_seconds):
                    await self._writer.drain()
        except TimeoutError as error:
            raise SlowClientError("the client took nothing of its answer for too long") from error
        except ConnectionError as error:
            raise ClientLeftError("the client hung up while its answer was written") from error
        # An error of the socket is told later, by closing.
        return self._request.transport is not None and not self._request.transport.is_closing()


async def _next_piece(pieces: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return None
    except Exception as error:
        raise StreamBrokeOffError("the reply's stream failed") from error
