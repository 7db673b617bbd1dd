"""A data listener on a loopback socket, and a client that writes exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from multidict import CIMultiDict

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.observe.requests import RequestObserver, RequestRecord
from kyma_proxy.server.listener import DataListener
from kyma_proxy.server.options import ListenerOptions

Handle = Callable[[Flow], Awaitable[Reply]]


class Recorder(RequestObserver):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.records: list[RequestRecord] = []

    def ended(self, record: RequestRecord) -> None:
        super().ended(record)
        self.records.append(record)

    def refused_unread(self, record: RequestRecord) -> None:
        super().refused_unread(record)
        self.records.append(record)


@dataclass
class Answer:
    """One answer as read off the wire."""

    status: int
    line: bytes
    head: bytes
    headers: CIMultiDict[str]
    body: bytes


@dataclass
class Client:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        """Read one answer, framed as its head says."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            line, *lines = head[:-4].split(b"\r\n")
            headers = CIMultiDict(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in (raw.split(b": ", 1) for raw in lines)
            )
            status = int(line.split(b" ")[1])
            body = b"" if method == "HEAD" or status in (204, 304) or status < 200 else await self._body(headers)
        return Answer(status, line, head, headers, body)

    async def _body(self, headers: CIMultiDict[str]) -> bytes:
        if "Content-Length" in headers:
            return await self.reader.readexactly(int(headers["Content-Length"]))
        if headers.get("Transfer-Encoding") != "chunked":
            return await self.reader.read()
        body = bytearray()
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readline() == b"\r\n"
        return bytes(body)

    async def rest(self) -> bytes:
        """Everything until the server closes; raises ConnectionResetError on a reset."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Edge:
    """A running listener and what it observed."""

    listener: DataListener
    observer: Recorder
    clients: list[Client] = field(default_factory=list)

    @property
    def records(self) -> list[RequestRecord]:
        return self.observer.records

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.listener.port))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        client = await self.connect()
        await client.send(data)
        return await client.answer(method)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait, at most five seconds, until something is so."""
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.fixture(params=[False, True], ids=["cancellation-off", "cancellation-on"])
def handler_cancellation(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def serve(handler_cancellation: bool) -> AsyncIterator[Callable[..., Awaitable[Edge]]]:
    """Start a listener around a handler; every test runs with both values of handler cancellation."""
    edges: list[Edge] = []

    async def start(handle: Handle, **options: Any) -> Edge:
        observer = Recorder()
        chosen = ListenerOptions(**{"handler_cancellation": handler_cancellation, "linger_seconds": 2.0, **options})
        listener = DataListener(handle, chosen, observer)
        await listener.start("127.0.0.1", 0)
        edges.append(Edge(listener, observer))
        return edges[-1]

    yield start
    for edge in edges:
        for client in edge.clients:
            await client.close()
        await edge.listener.stop()


@pytest.fixture
def echo() -> Handle:
    """A handler that answers with the body it was sent."""

    async def handle(flow: Flow) -> Reply:
        body = b"".join([chunk async for chunk in flow.body])
        return Reply(200, CIMultiDict({"Content-Type": "application/octet-stream"}), body)

    return handle
