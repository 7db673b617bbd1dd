"""Bodies on their way: a request's to the upstream, a reply's from it. Both stream, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import EMPTY_PAYLOAD, ClientError, StreamReader
from aiohttp.http_parser import RawResponseMessage

from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.writing import Chunk, RequestWriter

if TYPE_CHECKING:
    from kyma_proxy.upstreams.exchange import Exchange

HEAD_SECONDS = 0.02
"""How long a request's head waits for the first of its body, to leave in one piece with it."""


class OutgoingBody:
    """A request body that is written as its source yields it.

    `length` is its size in bytes, None when unknown (it then goes chunked); a source that yields another number of
    bytes breaks the request off. The upstream may stop reading for at most `idle_seconds`. `failure` tells why a
    body broke off: the source's own exception, or a TransportError of an upstream that stopped reading.
    """

    def __init__(self, source: AsyncIterable[Chunk], length: int | None, idle_seconds: float) -> None:
        self._source = source
        self._size = length
        self._idle_seconds = idle_seconds
        self.failure: Exception | None = None

    async def write(self, writer: RequestWriter) -> None:
        """Write the whole body. Raises what the source raises, kept in `failure`; ClientError of the connection."""
        chunks = aiter(self._source)
        sent_bytes = 0
        # A client may wait for an answer to its head before it sends a byte.
        head = asyncio.get_running_loop().call_later(HEAD_SECONDS, _send_head, writer)
        try:
            while (chunk := await self._next(chunks)) is not None:
                sent_bytes += len(chunk)
                if self._size is not None and sent_bytes > self._size:
                    self._fail(ValueError("a request body is longer than its Content-Length"))
                await self._flush(writer, chunk)
            if self._size is not None and sent_bytes < self._size:
                self._fail(ValueError("a request body is shorter than its Content-Length"))
            await self._flush(writer, None)
        finally:
            head.cancel()
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _next(self, chunks: AsyncIterator[Chunk]) -> Chunk | None:
        try:
            return await anext(chunks)
        except StopAsyncIteration:
            return None
        except Exception as error:
            self.failure = error
            raise

    async def _flush(self, writer: RequestWriter, chunk: Chunk | None) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await (writer.end() if chunk is None else writer.write(chunk))
        except TimeoutError:
            self._fail(TransportError(FailureKind.SILENT, "the upstream stopped reading the request", "idle"))

    def _fail(self, error: Exception) -> None:
        self.failure = error
        raise error


def _send_head(writer: RequestWriter) -> None:
    # Whoever writes the body, or waits for the answer, is told of a connection that has ended.
    with suppress(ClientError):
        writer.send_head()


class ReplyBody:
    """A reply's body as it arrives (a ReplyStream). Nothing is decoded.

    Iterating raises TransportError when the body breaks off or stays silent for `idle_seconds`. `aclose` gives the
    connection back when the body was read whole, and cuts it otherwise.
    """

    def __init__(
        self, message: RawResponseMessage, content: StreamReader, exchange: Exchange, idle_seconds: float
    ) -> None:
        self._content = content
        self._exchange = exchange
        self._idle_seconds = idle_seconds
        self._has_length = "Content-Length" in message.headers
        self._ends_with_connection = not self._has_length and "Transfer-Encoding" not in message.headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            # What is here already needs no limit of time.
            chunk = self._content.read_nowait() or await self._wait()
        except TimeoutError:
            failure = TransportError(FailureKind.SILENT, "the answer did not end in time", self._exchange.expired)
        except (ClientError, OSError) as error:
            failure = TransportError(FailureKind.BROKEN, f"within the answer: {error}"[:300])
        else:
            if chunk:
                return chunk
            if not self._cut_short():
                self._exchange.finish()
                raise StopAsyncIteration
            failure = TransportError(FailureKind.BROKEN, "the connection was cut within the answer")
        # The client's own body may have failed first, and the connection been cut for it.
        raise self._exchange.source_failure() or failure

    async def _wait(self) -> bytes:
        if self._content.at_eof():
            return b""
        timer = self._exchange.idle_timer(self._idle_seconds)
        try:
            return await self._content.readany()
        finally:
            timer.cancel()

    def whole(self) -> bytes | None:
        """The whole body if it has arrived already and its length was announced; None if it must be streamed.

        The connection is given back then, if the request has gone out whole.
        """
        content = self._content
        is_whole = self._has_length and content.is_eof() and content.exception() is None
        if not is_whole and content is not EMPTY_PAYLOAD:
            return None
        self._exchange.finish()
        return content.read_nowait()

    async def aclose(self) -> None:
        """Release the connection and end the sending of a request body that was still under way."""
        await self._exchange.close()

    def _cut_short(self) -> bool:
        """Whether the end is none: a body that ends with its connection is whole only if that closed in order."""
        return self._ends_with_connection and self._exchange.broken_off()
