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
