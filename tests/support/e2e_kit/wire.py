"""HTTP as bytes on a socket, for either side: nothing is tidied up, nothing added."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

PATIENCE_SECONDS: Final = 10.0
"""How long anything on a wire is waited for before the test fails; far more than it takes."""

Field = tuple[bytes, bytes]


@dataclass(frozen=True)
class Head:
    """First line and fields of a message, in their order and spelling."""

    first: bytes
    fields: tuple[Field, ...]

    def all(self, name: bytes) -> list[bytes]:
        """The values of every field of this name, whatever its case."""
        return [value for sent, value in self.fields if sent.lower() == name.lower()]

    def one(self, name: bytes) -> bytes | None:
        """The value of the only field of this name; None without one."""
        values = self.all(name)
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def names(self) -> list[bytes]:
        """Names in their order and spelling."""
        return [name for name, _ in self.fields]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(b" ")[1])


@dataclass(frozen=True)
class Message:
    """A message read whole, its body without its framing."""

    head: Head
    body: bytes


def parse_head(raw: bytes) -> Head:
    """A head from its bytes, the empty line included."""
    first, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, line
        fields.append((name, value.removeprefix(b" ")))
    return Head(first, tuple(fields))


class Wire:
    """One end of a connection. Reads fail after `PATIENCE_SECONDS`; a reset by the peer is ConnectionResetError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Write bytes and wait until the peer, or the system's buffers, have taken most of them."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Head:
        """The next head. Raises IncompleteReadError when the connection ends instead."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return parse_head(await self.reader.readuntil(b"\r\n\r\n"))

    async def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readexactly(size)

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty at its end, trailers then being read and dropped."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            size = int((await self.reader.readline()).split(b";")[0], 16)
            if size:
                return (await self.reader.readexactly(size + 2))[:-2]
            while (await self.reader.readline()).strip():
                pass
            return b""

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()

    async def body(self, head: Head) -> bytes:
        """The body that a request's or an answer's head announces; only an answer's may end with its connection."""
        if head.first.startswith(b"HTTP/") and (head.status < 200 or head.status in (204, 304)):
            return b""
        if b"chunked" in b",".join(head.all(b"transfer-encoding")):
            return b"".join([piece async for piece in self._chunks()])
        length = head.one(b"content-length")
        if length is not None:
            return await self.exactly(int(length))
        return await self.rest() if head.first.startswith(b"HTTP/") else b""

    async def _chunks(self) -> Any:
        while piece := await self.chunk():
            yield piece

    async def message(self, *, of_head: bool = False) -> Message:
        """The next message; `of_head` says that it answers HEAD and has no body."""
        head = await self.head()
        return Message(head, b"" if of_head else await self.body(head))

    async def ended(self) -> str:
        """How the peer ended the connection: `closed` or `reset`; bytes still arriving are thrown away."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while await self.reader.read(1 << 20):
                    pass
            except ConnectionResetError:
                return "reset"
            return "closed"

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def close(self) -> None:
        """Close the connection in order."""
        self.writer.close()


async def within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        await event.wait()


async def connect(port: int, *, receive_bytes: int | None = None) -> Wire:
    """A client's end; `receive_bytes` makes the system's receive buffer small, so that not reading soon shows."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    if receive_bytes is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await loop.sock_connect(client, ("127.0.0.1", port))
    return Wire(*await asyncio.open_connection(sock=client, limit=1 << 18))


Script = Callable[[Wire], Awaitable[None]]
"""What an origin does with one connection; the connection is closed when it returns."""


class RawOrigin:
    """An origin that does as its `script` says, which may be changed at any time for connections to come."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Message] = []
        """What scripts of `answering` have read."""
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._wires: list[Wire] = []
        self._failures: list[BaseException] = []

    @property
    def request(self) -> Message:
        """The only request so far."""
        (request,) = self.requests
        return request

    def answering(self, *answers: bytes, of_head: bool = False) -> None:
        """From now on read each request whole, and give these answers in turn, the last one for ever."""
        waiting = list(answers)

        async def serve(wire: Wire) -> None:
            while True:
                self.requests.append(await wire.message())
                await wire.send(waiting.pop(0) if len(waiting) > 1 else waiting[0])

        self.script = serve

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 18)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut every connection; fails if a script failed."""
        assert self._server is not None
        self._server.close()
        for wire in self._wires:
            wire.writer.transport.abort()
        await asyncio.sleep(0)
        if self._failures:
            raise self._failures[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(reader, writer)
        self._wires.append(wire)
        try:
            await self.script(wire)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self._failures.append(error)
        finally:
            writer.close()
