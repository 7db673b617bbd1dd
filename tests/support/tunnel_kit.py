"""Tunnels between raw sockets: a client, a real listener and forwarding upstream, and an origin that answers 101."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kyma_proxy.server.tunnel import Tunnel
from kyma_proxy.settings.models import ForwardUpstreamSettings
from kyma_proxy.upstreams.forward import ForwardUpstream

REQUEST: Final = (
    b"GET /v1/audio/live HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
)
ANSWER: Final = b"HTTP/1.1 101 Go on\r\nUpgrade: WebSocket\r\nconnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"
_FIXTURES: Final = Path(__file__).parents[1] / "fixtures" / "tls"


@dataclass
class Peer:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def exactly(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Everything until the other end closes; ConnectionResetError on a reset."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@dataclass
class Open:
    """An open tunnel, its two ends, and the listener it goes through."""

    client: Peer
    origin: Peer
    edge: Any
    tunnel: Tunnel

    async def ended(self) -> Any:
        """The record of the request, once there is one."""
        await self.edge.until(lambda: self.edge.records)
        (record,) = self.edge.records
        assert record.status == 101
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a tunnel should be like; `behind_request` and `behind_answer` are sent in one piece with the heads."""

    behind_request: bytes = b""
    behind_answer: bytes = b""
    idle_seconds: float = 30.0
    tls: bool = False
    origin_tls: bool = False
    timeouts: dict[str, float] = field(default_factory=dict)
    then: Callable[[Peer], None] = lambda _: None


class Bench:
    """Opens tunnels through listeners that `serve` starts, and cleans up after them.

    `made` are the tunnels that the listener has made; `problems` is what the event loop complained of.
    """

    def __init__(self, serve: Callable[..., Awaitable[Any]]) -> None:
        self._serve = serve
        self._peers: list[Peer] = []
        self._upstreams: list[ForwardUpstream] = []
        self._servers: list[asyncio.Server] = []
        self.made: list[Tunnel] = []
        self.problems: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, problem: self.problems.append(problem))

    async def open(self, **wanted: Any) -> Open:
        """Open a tunnel that is as `Wanted` says."""
        want = Wanted(**wanted)
        arrived: asyncio.Queue[Peer] = asyncio.Queue()
        upstream = await self._upstream(want, await self._origin(want, arrived))
        edge = await self._serve(upstream.send, tls=_server_tls() if want.tls else None)
        port, tls = edge.listener.port, _client_tls() if want.tls else None
        client = Peer(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
        self._peers.append(client)
        await client.send(REQUEST + want.behind_request)
        async with asyncio.timeout(5):
            assert await client.reader.readuntil(b"\r\n\r\n") == ANSWER
            origin = await arrived.get()
        return Open(client, origin, edge, self.made[-1])

    async def close(self) -> None:
        """End everything."""
        for peer in self._peers:
            if not peer.writer.is_closing():
                peer.writer.transport.abort()
        for server in self._servers:
            server.close()
        for upstream in self._upstreams:
            await upstream.stop()
        await asyncio.sleep(0)

    async def _origin(self, want: Wanted, arrived: asyncio.Queue[Peer]) -> int:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            origin = Peer(reader, writer)
            self._peers.append(origin)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER + want.behind_answer)
            want.then(origin)
            arrived.put_nowait(origin)

        tls = _server_tls() if want.origin_tls else None
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _upstream(self, want: Wanted, port: int) -> ForwardUpstream:
        settings = ForwardUpstreamSettings.model_validate(
            {
                "base_url": f"{'https' if want.origin_tls else 'http'}://127.0.0.1:{port}",
                "websocket_idle_seconds": want.idle_seconds,
                "timeouts": want.timeouts,
            }
        )
        upstream = ForwardUpstream("origin", settings)
        self._upstreams.append(upstream)
        await upstream.start()
        assert upstream._transport._connections is not None
        upstream._transport._connections._connector._ssl = _client_tls()
        return upstream


def _server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_FIXTURES / "one.crt", _FIXTURES / "one.key")
    return context


def _client_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
