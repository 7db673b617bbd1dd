"""A client that leaves before its answer begins ends the call upstream within a second, whoever serves it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

SPEECH = {"model": "eleven-v3", "input": "Hello.", "voice": "Rachel"}


@pytest.mark.parametrize("handler_cancellation", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/audio/voices", b""),
        ("POST", "/v1/audio/transcriptions", b"x" * 1000),
        ("POST", "/v1/audio/speech", json.dumps(SPEECH).encode()),
    ],
)
async def test_a_silent_origin_sees_the_client_leave(
    make_world: Callable[..., Awaitable[Any]], handler_cancellation: bool, method: str, path: str, body: bytes
) -> None:
    world = await make_world(handler_cancellation=handler_cancellation)
    await world.origin.stop()
    arrived, left = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        while await reader.read(65536):
            pass
        left.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", world.origin.port)
    _, writer = await asyncio.open_connection("127.0.0.1", world.application.data.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {world.api_key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    async with asyncio.timeout(5):
        await arrived.wait()
    writer.close()
    async with asyncio.timeout(1):
        await left.wait()
    server.close()
