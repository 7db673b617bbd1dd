"""An upstream's connection that has left HTTP, taken out of aiohttp's client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kyma_proxy.flow import RawConnection, ReplyTunnel

if TYPE_CHECKING:
    from kyma_proxy.upstreams.exchange import Exchange


class UpstreamTunnel(ReplyTunnel):
    """The connection behind a 101.

    Until it is handed over its reader keeps what arrives, up to its read buffer.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._client = exchange.reader
        self._handed_over = False
        self.idle_seconds = exchange.request.websocket_idle_seconds or 0.0

    def hand_over(self, protocol: asyncio.Protocol) -> RawConnection:
        """Give the connection away, even if it has ended already: `protocol` is told so then."""
        self._handed_over = True
        client, transport = self._client, self._exchange.transport
        early, client._tail = client._tail, b""
        if client.transport is None:
            loop = asyncio.get_running_loop()
            loop.call_soon(protocol.connection_lost, self._exchange.lost_because())
            return RawConnection(transport, early, lambda _: None)
        client.transport = None  # or the pool would close it
        transport.set_protocol(protocol)
        return RawConnection(transport, early, client.connection_lost)

    async def aclose(self) -> None:
        """Take the connection out of the pool, and cut it if nobody took it over."""
        await self._exchange.close(cut=not self._handed_over)
