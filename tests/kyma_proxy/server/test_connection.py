from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kyma_proxy.server.connection import client_connected, reset


async def _pair() -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamWriter, asyncio.Server]:
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    return reader, writer, await accepted.get(), server


def _request(writer: asyncio.StreamWriter | None) -> Any:
    return SimpleNamespace(transport=None if writer is None else writer.transport)


@pytest.mark.parametrize("unread", [b"", b"still unread"])
async def test_a_half_close_is_seen_at_once_even_behind_unread_data(unread: bytes) -> None:
    _, client, accepted, server = await _pair()
    accepted.transport.pause_reading()  # type: ignore[attr-defined]
    assert client_connected(_request(accepted))
    client.write(unread)
    client.write_eof()
    for _ in range(100):
        if not client_connected(_request(accepted)):
            break
        await asyncio.sleep(0.01)
    assert not client_connected(_request(accepted))
    client.close()
    accepted.close()
    server.close()


async def test_a_closed_transport_is_not_connected() -> None:
    _, client, accepted, server = await _pair()
    accepted.close()
    assert not client_connected(_request(accepted))
    assert not client_connected(_request(None))
    client.close()
    server.close()


async def test_reset_is_a_reset_and_not_an_end() -> None:
    reader, client, accepted, server = await _pair()
    accepted.write(b"half")
    await accepted.drain()
    assert await reader.readexactly(4) == b"half"
    reset(accepted.transport)  # type: ignore[arg-type]
    with pytest.raises(ConnectionResetError):
        await reader.read()
    reset(None)
    client.close()
    server.close()
