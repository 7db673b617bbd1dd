"""The data listener: accepts connections, serves them, and leaves without dropping anything."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from kyma_proxy.observe.requests import RequestObserver
from kyma_proxy.server.acceptor import Acceptor
from kyma_proxy.server.exchange import Exchanges, Handle
from kyma_proxy.server.occupancy import Occupancy
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.server.protocol import ConnectionServer
from kyma_proxy.tasks import Tasks

# At a stop: what a request gets to finish on its own, and then its task to let go of what it holds.
_STOP_SECONDS: Final = 0.1
_CANCELLED_SECONDS: Final = 1.0


class DataListener:
    """Listens on the data plane and hands every request to `handle`.

    `handle` answers with a Reply or raises GatewayError; any other exception is a fault and becomes a 500. `observer`
    is told of every request.
    """

    def __init__(self, handle: Handle, options: ListenerOptions, observer: RequestObserver) -> None:
        self._options = options
        self._observer = observer
        self._occupancy = Occupancy()
        self._exchanges = Exchanges(handle, options, observer, self._occupancy)
        self._connections: ConnectionServer | None = None
        self._sockets: asyncio.Server | Acceptor | None = None
        self.port = 0
        """The port listened on; differs from the one asked for when that was 0."""

    def __repr__(self) -> str:
        return f"DataListener(in_flight={self.in_flight}, connections={self.connections})"

    @property
    def in_flight(self) -> int:
        """Requests whose head is complete and whose answer is not yet written."""
        return self._occupancy.in_flight

    @property
    def connections(self) -> int:
        """Open connections, idle ones included."""
        return len(self._occupancy.connections)

    def start_on(self, sockets: tuple[socket.socket, ...], tasks: Tasks) -> None:
        """Listen on sockets that are bound already, and that other processes listen on, too."""
        self._connections = ConnectionServer(self._exchanges.serve, self._options, self._observer, self._occupancy)
        self._sockets = Acceptor(sockets, self._connections, tasks, tls=self._options.tls)
        self._sockets.start()
        self.port = int(sockets[0].getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the address is not to be had."""
        self._connections = ConnectionServer(self._exchanges.serve, self._options, self._observer, self._occupancy)
        server = await asyncio.get_running_loop().create_server(
            self._connections,
            host,
            port,
            ssl=self._options.tls,
            backlog=self._options.backlog,
            reuse_port=self._options.reuse_port or None,
        )
        self._sockets = server
        self.port = int(server.sockets[0].getsockname()[1])

    async def drain(self, seconds: float) -> bool:
        """Stop listening, close idle connections, and let what is in flight finish, with `Connection: close`.

        Returns True when nothing is left, False when `seconds` went by first; nothing is dropped before that.
        """
        if self._connections is None or self._sockets is None:
            return True
        self._occupancy.draining = True
        # Requests whose bytes the kernel already has get a turn of the loop to be noticed.
        await asyncio.sleep(0)
        self._sockets.close()
        await asyncio.sleep(0)
        for connection in tuple(self._occupancy.connections):
            connection.leave_when_idle()
        try:
            async with asyncio.timeout(seconds):
                await self._occupancy.empty()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Stop listening and end every connection, whatever it is doing. May be called again."""
        if self._connections is None or self._sockets is None:
            return
        self._occupancy.draining = self._occupancy.stopping = True
        self._sockets.close()
        await self._connections.shutdown(_STOP_SECONDS)
        try:
            async with asyncio.timeout(_CANCELLED_SECONDS):
                await self._occupancy.empty()
        except TimeoutError:
            pass
        self._connections = None
        self._sockets = None
