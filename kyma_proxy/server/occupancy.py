"""What a listener is busy with, and waiting until it is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kyma_proxy.server.protocol import Connection


class Occupancy:
    """The open connections of a listener and its requests in flight. Used from one event loop."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.in_flight = 0
        """Requests whose head is complete and whose answer is not yet delivered."""
        self.draining = False
        """Whether every answer from now on ends its connection."""
        self.stopping = False
        """Whether what is still in flight is being cut off."""
        self._changed = asyncio.Event()

    def opened(self, connection: Connection) -> None:
        """A client connected."""
        self.connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        self._changed.set()

    def request_begun(self) -> None:
        """A request's head is complete."""
        self.in_flight += 1

    def request_ended(self) -> None:
        """A request is over, its connection may still be open."""
        self.in_flight -= 1
        self._changed.set()

    async def empty(self) -> None:
        """Wait until no connection is open and no request in flight, not even one whose client left."""
        while self.connections or self.in_flight:
            self._changed.clear()
            await self._changed.wait()
