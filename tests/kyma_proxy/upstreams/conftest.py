"""Origins that misbehave on purpose, over real sockets, and flows to send to them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from kyma_proxy.flow import Flow, Reply, RequestTarget
from kyma_proxy.settings.models import ForwardUpstreamSettings, UpstreamTimeouts
from kyma_proxy.upstreams.forward import ForwardUpstream

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Origin:
    """A raw TCP server: `handler` gets each connection; `reset` cuts one with RST."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            if not writer.is_closing() or writer.transport.get_write_buffer_size():
                writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _read(reply: Reply) -> bytes:
    if isinstance(reply.body, bytes):
        return reply.body
    try:
        return b"".join([chunk async for chunk in reply.body])
    finally:
        await reply.body.aclose()


def _answering(answer: bytes, heads: list[bytes]) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await _read_head(reader))
            writer.write(answer)

    return serve


class Body:
    """A request body for tests: chunks, or an async iterator of them."""

    def __init__(self, chunks: Iterable[bytes] | AsyncIterator[bytes] = (), length: int | None = 0) -> None:
        self._chunks = chunks
        self.content_length = length
        self.was_read = False

    def narrow(self, max_bytes: int) -> None:
        raise AssertionError("forwarding narrows nothing")

    def whole(self) -> bytes | None:
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.was_read = True
        if isinstance(self._chunks, AsyncIterator):
            async for chunk in self._chunks:
                yield chunk
        else:
            for chunk in self._chunks:
                yield chunk


def _make_flow(
    method: str = "GET",
    path: str = "/v1/audio/voices",
    query: str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = ((b"Host", b"gateway.test"),),
    body: Body | None = None,
) -> Flow:
    decoded = CIMultiDict((n.decode(), v.decode("utf-8", "surrogateescape")) for n, v in headers)
    return Flow(
        id="req_0123456789",
        method=method,
        target=RequestTarget(path, query, path),
        headers=CIMultiDictProxy(decoded),
        raw_headers=tuple(headers),
        body=body or Body(),
        client_address="203.0.113.7",
        scheme="https",
        host="gateway.test",
    )


@pytest.fixture
async def origin() -> AsyncIterator[Callable[[Handler], Awaitable[Origin]]]:
    """Starts an origin with the given handler."""
    origins: list[Origin] = []

    async def start(handler: Handler) -> Origin:
        one = Origin(handler)
        origins.append(one)
        await one.start()
        return one

    yield start
    for one in origins:
        await one.stop()


@pytest.fixture
def wire() -> SimpleNamespace:
    """What tests do at either end of the wire."""
    return SimpleNamespace(
        read_head=_read_head, read=_read, answering=_answering, reset=_reset, flow=_make_flow, body=Body
    )


@pytest.fixture
def quick() -> UpstreamTimeouts:
    """Time limits short enough to be waited for."""
    return UpstreamTimeouts(connect_seconds=1.0, first_byte_seconds=0.3, idle_seconds=0.3)


@pytest.fixture
def refused_url() -> str:
    """The URL of a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
async def forward(quick: UpstreamTimeouts) -> AsyncIterator[Callable[..., Awaitable[ForwardUpstream]]]:
    """Starts a forwarding upstream with short time limits."""
    opened: list[ForwardUpstream] = []

    async def start(base_url: str, **settings: Any) -> ForwardUpstream:
        made = ForwardUpstreamSettings.model_validate({"base_url": base_url, "timeouts": quick, **settings})
        upstream = ForwardUpstream("origin", made)
        opened.append(upstream)
        await upstream.start()
        return upstream

    yield start
    for upstream in opened:
        await upstream.stop()
