"""Connections are kept and handed out again, and nobody waits for one for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientConnectorError, ConnectionTimeoutError
from yarl import URL

from kyma_proxy.upstreams.connections import Connections, reader_of


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_released_connection_is_taken_again_and_a_taken_one_is_not(origin: Any) -> None:
    server = await origin(silent)
    connections = Connections(1.0)
    first = await connections.take(URL(server.base_url))
    other = await connections.take(URL(server.base_url))
    assert reader_of(first) is not reader_of(other)
    kept = reader_of(first)
    kept.expect_answer(bodiless=False)
    kept.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await kept.read()
    first.release()
    again = await connections.take(URL(server.base_url) / "another" / "path")
    assert reader_of(again) is kept
    other.close()
    again.close()
    await connections.close()


async def test_a_port_that_nobody_listens_on(refused_url: str) -> None:
    connections = Connections(1.0)
    with pytest.raises(ClientConnectorError):
        await connections.take(URL(refused_url))
    await connections.close()


async def test_a_handshake_that_stalls(origin: Any) -> None:
    server = await origin(silent)
    connections = Connections(0.1)
    with pytest.raises(ConnectionTimeoutError):
        await connections.take(URL(server.base_url.replace("http:", "https:")))
    await connections.close()


async def test_closed_connections_are_gone(origin: Any) -> None:
    server = await origin(silent)
    connections = Connections(1.0)
    taken = await connections.take(URL(server.base_url))
    await connections.close()
    assert taken.transport is None or taken.transport.is_closing()
    taken.close()
    with pytest.raises(ClientConnectionError):
        await connections.take(URL(server.base_url))


class Watch:
    """Counts connections."""

    def __init__(self) -> None:
        self.open = 0
        self.made: list[float] = []

    def connected(self, seconds: float) -> None:
        self.made.append(seconds)

    def opened(self) -> None:
        self.open += 1

    def closed(self) -> None:
        self.open -= 1


async def test_connections_are_told_of_once_each(origin: Any, refused_url: str) -> None:
    server, watch = await origin(silent), Watch()
    connections = Connections(1.0, watch)
    with pytest.raises(ClientConnectorError):
        await connections.take(URL(refused_url))
    taken = [await connections.take(URL(server.base_url)) for _ in range(2)]
    assert (watch.open, len(watch.made)) == (2, 2)
    assert all(0 <= seconds < 5 for seconds in watch.made)
    taken[0].close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert watch.open == 1
    taken[1].close()
    await connections.close()
    assert (watch.open, len(watch.made)) == (0, 2)


async def test_a_connection_that_is_taken_again_was_not_made_again(origin: Any) -> None:
    server, watch = await origin(silent), Watch()
    connections = Connections(1.0, watch)
    first = await connections.take(URL(server.base_url))
    reader = reader_of(first)
    reader.expect_answer(bodiless=False)
    reader.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await reader.read()
    first.release()
    (await connections.take(URL(server.base_url))).close()
    assert len(watch.made) == 1
    await connections.close()
