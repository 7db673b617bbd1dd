"""Connections to an upstream: aiohttp's connector makes them, keeps them alive and hands them out again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final, Protocol, cast

from aiohttp import ClientRequest, ClientTimeout, ConnectionTimeoutError, TCPConnector
from aiohttp.connector import Connection
from yarl import URL

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.upstreams.answers import AnswerReader


class ConnectionWatch(Protocol):
    """Told of the connections to one upstream."""

    def connected(self, seconds: float) -> None:
        """Whoever asked for a connection has a new one, after so long."""

    def opened(self) -> None:
        """A connection is there; `closed` follows once."""

    def closed(self) -> None:
        """A connection has ended."""


class _Unwatched:
    def connected(self, seconds: float) -> None:
        """Nobody wants to know."""

    def opened(self) -> None:
        """Nobody wants to know."""

    def closed(self) -> None:
        """Nobody wants to know."""


UNWATCHED: Final = _Unwatched()


class Connections:
    """The connections of one event loop.

    aiohttp's session is left out: what it does for a request (cookies, redirects, headers of its own) is not wanted
    here, and costs as much processor time as everything else of a forwarded request.
    """

    def __init__(self, connect_seconds: float, watch: ConnectionWatch = UNWATCHED) -> None:
        # The requests in flight are bounded where they come in; a second bound would only make them wait here.
        self._connector = TCPConnector(limit=0)
        loop = asyncio.get_running_loop()
        self._connector._factory = partial(AnswerReader, loop, watch.opened, watch.closed)  # type: ignore[assignment]
        self._watch = watch
        self._timeout = ClientTimeout(connect=connect_seconds)
        self._requests: dict[URL, ClientRequest] = {}

    async def take(self, origin: URL) -> Connection:
        """A connection to an origin, kept alive or new, for the taker to release or close.

        Raises ClientConnectorError, ClientSSLError, ConnectionTimeoutError, and ClientConnectionError after `close`.
        """
        request = self._requests.get(origin)
        if request is None:
            request = self._requests[origin] = ClientRequest("GET", origin, loop=asyncio.get_running_loop())
        asked = monotonic_seconds()
        try:
            connection = await self._connector.connect(request, [], self._timeout)
        except ConnectionTimeoutError:
            raise
        except TimeoutError as error:
            raise ConnectionTimeoutError("no connection was made in time") from error
        if not reader_of(connection).used:
            self._watch.connected(monotonic_seconds() - asked)
        return connection

    async def close(self) -> None:
        """Close every connection."""
        await self._connector.close()


def reader_of(connection: Connection) -> AnswerReader:
    """What reads a connection's answers."""
    return cast(AnswerReader, connection.protocol)
