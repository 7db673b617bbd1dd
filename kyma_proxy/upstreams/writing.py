"""A request whose body is sent as it comes: its head with the first of it, its framing, its back-pressure."""

from __future__ import annotations

from aiohttp import ClientConnectionError

from kyma_proxy.upstreams.answers import AnswerReader

Chunk = bytes | memoryview

_JOINED_BYTES_MAX = 64 * 1024  # beyond this a second write is cheaper than a copy


class RequestWriter:
    """Writes one request to its connection; every call but `send_head` waits until there is room for more."""

    def __init__(self, reader: AnswerReader, head: bytes, *, chunked: bool) -> None:
        self._reader = reader
        self._head = head
        self._chunked = chunked

    def send_head(self) -> None:
        """Send the head now, if it has not gone with a piece of the body. Raises ClientConnectionError."""
        head, self._head = self._head, b""
        if head:
            self._reader.write(head)

    async def write(self, chunk: Chunk) -> None:
        """Send a piece of the body. Raises ClientConnectionError where the connection has ended."""
        if not len(chunk):
            return
        if len(chunk) > _JOINED_BYTES_MAX:
            self.send_head()
            if self._chunked:
                self._reader.write(b"%x\r\n" % len(chunk))
            self._reader.write(chunk)
            if self._chunked:
                self._reader.write(b"\r\n")
        else:
            framing = (b"%x\r\n" % len(chunk), b"\r\n") if self._chunked else (b"", b"")
            head, self._head = self._head, b""
            self._reader.write(b"".join((head, framing[0], chunk, framing[1])))
        await self._drain()

    async def end(self) -> None:
        """The body is whole. Raises ClientConnectionError where the connection has ended."""
        self.send_head()
        if self._chunked:
            self._reader.write(b"0\r\n\r\n")
        await self._drain()

    async def _drain(self) -> None:
        if self._reader.writing_paused:
            await self._reader._drain_helper()
        if not self._reader.connected:
            raise ClientConnectionError("the connection has ended")
