"""Bodies on their way: a request's to the upstream, a reply's from it. Both stream, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import EMPTY_PAYLOAD, ClientError, ClientResponse
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from kyma_proxy.upstreams.errors import FailureKind, Limit, TransportError

if TYPE_CHECKING:
    from kyma_proxy.upstreams.exchange import Exchange

Chunk = bytes | memoryview

HEAD_SECONDS = 0.02
"""How long a request's head waits for the first of its body, to leave in one piece with it."""


class OutgoingBody(Payload):
    """A request body that is written as its source yields it.

    `length` is its size in bytes, None when unknown (it then goes chunked); a source that yields another number of
    bytes breaks the request off. The upstream may stop reading for at most `idle_seconds`. `failure` tells why a
    body broke off: the source's own exception, or a TransportError of an upstream that stopped reading.
    """

    def __init__(self, source: AsyncIterable[Chunk], length: int | None, idle_seconds: float) -> None:
        super().__init__(source)
        self._source = source
        self._size = length
        self._idle_seconds = idle_seconds
        self.failure: Exception | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not offered: the body passes once and is not kept. Raises TypeError."""
        raise TypeError("a streamed body cannot be read back")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the whole body; see `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the whole body. Raises what the source raises, kept in `failure`; OSError of the connection."""
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

    async def _flush(self, writer: AbstractStreamWriter, chunk: Chunk | None) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await (writer.drain() if chunk is None else writer.write(chunk))
        except TimeoutError:
            self._fail(TransportError(FailureKind.SILENT, "the upstream stopped reading the request", "idle"))

    def _fail(self, error: Exception) -> None:
        self.failure = error
        raise error


def _send_head(writer: AbstractStreamWriter) -> None:
    # Whoever writes the body, or waits for the answer, is told of a connection that has ended.
    with suppress(ConnectionError):
        writer.send_headers()


class ReplyBody:
    """A reply's body as it arrives (a ReplyStream). Nothing is decoded.

    Iterating raises TransportError when the body breaks off or stays silent for `idle_seconds`. `aclose` gives the
    connection back when the body was read whole, and cuts it otherwise.
    """

    def __init__(self, response: ClientResponse, exchange: Exchange, idle_seconds: float) -> None:
        self._response = response
        self._exchange = exchange
        self._idle_seconds = idle_seconds
        headers = response.headers
        self._ends_with_connection = "Content-Length" not in headers and "Transfer-Encoding" not in headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        clock = asyncio.timeout(self._idle_seconds)
        try:
            async with clock:
                chunk = await self._response.content.readany()
        except TimeoutError:
            # aiohttp's clock for the whole exchange runs on while the body is read.
            limit: Limit = "idle" if clock.expired() else "total"
            failure = TransportError(FailureKind.SILENT, "the answer did not end in time", limit)
        except (ClientError, OSError) as error:
            failure = TransportError(FailureKind.BROKEN, f"within the answer: {error}"[:300])
        else:
            if chunk:
                return chunk
            if not self._cut_short():
                raise StopAsyncIteration
            failure = TransportError(FailureKind.BROKEN, "the connection was cut within the answer")
        # The client's own body may have failed first, and the connection been cut for it.
        raise self._exchange.source_failure() or failure

    def whole(self) -> bytes | None:
        """The whole body if it has arrived already and its length was announced; None if it must be streamed."""
        content = self._response.content
        if content is EMPTY_PAYLOAD:
            return b""
        if "Content-Length" not in self._response.headers or not content.is_eof() or content.exception() is not None:
            return None
        return content.read_nowait()

    async def aclose(self) -> None:
        """Release the connection and end the sending of a request body that was still under way."""
        if self._response.connection is not None:
            self._exchange.abort()
        self._response.close()
        await self._response.wait_for_close()

    def _cut_short(self) -> bool:
        """Whether the end is none: a body that ends with its connection is whole only if that closed in order."""
        return self._ends_with_connection and self._exchange.broken_off()
