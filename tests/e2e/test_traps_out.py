"""Ways in which aiohttp's client, test tools and the embedded database go wrong: one test each that ours do not."""

from __future__ import annotations

import asyncio
import gzip
import os
import stat
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import asyncpg
import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout
from aioresponses import aioresponses

from database_kit import Postgres
from e2e_kit.raw_edge import OK, PATH, Edge, answer, head, raw_edge, request
from e2e_kit.wire import PATIENCE_SECONDS, Wire, within
from e2e_kit.world import SPEECH_PATH
from kyma_proxy.database.binaries import find_binaries
from kyma_proxy.database.embedded import EmbeddedPostgres
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.simulators.minimax import Behaviour

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
MIB = 1024 * 1024
UPGRADE = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: x",
    b"Sec-WebSocket-Version: 13",
)


async def stuck(wire: Wire) -> None:
    """Wait until nothing more of what was written is taken."""
    left = -1
    while left != (left := wire.writer.transport.get_write_buffer_size()):
        await asyncio.sleep(0.2)


async def test_trap_raw_target(edge: Edge) -> None:
    """The client drops a lone `?` and re-quotes."""
    targets = [PATH + b"?", PATH + b"?a=%7e%2F+%20&b=[x]&%C3%A9", b"/v1/audio/x%2fy%7E"]
    for target in targets:
        await edge.ask(target=target)
    assert [asked.head.first for asked in edge.origin.requests] == [b"GET %s HTTP/1.1" % each for each in targets]


async def test_trap_refused_upgrade(edge: Edge) -> None:
    """`ws_connect` loses the body of a refusal."""
    edge.origin.answering(answer(b"Content-Length: 6", status=b"403 No", body=b"no way"))
    said = await edge.ask(*UPGRADE)
    assert (said.head.first, said.body) == (b"HTTP/1.1 403 No", b"no way")
    assert edge.origin.request.head.one(b"upgrade") == b"websocket"


FRAMES = b"\x01\x02he" + b"\x89\x01p" + b"\x80\x03llo" + b"\xc1\x03zip" + b"\x88\x04\x0f\xa1by"
"""A text in two fragments, a ping between them, a frame of an extension, and a close with a code and a reason."""


async def test_trap_upgrade(edge: Edge) -> None:
    """`ws_connect` insists that `Connection` be exactly `upgrade`; frames have to stay exact."""

    async def serve(wire: Wire) -> None:
        await wire.head()
        lines = (b"Upgrade: websocket", b"Connection: keep-alive, upgrade")
        await wire.send(answer(*lines, status=b"101 Go", body=FRAMES))
        assert await wire.exactly(len(FRAMES)) == FRAMES

    edge.origin.script = serve
    wire = await edge.connect()
    await wire.send(request(*UPGRADE))
    assert (await wire.head()).status == 101
    assert await wire.exactly(len(FRAMES)) == FRAMES
    await wire.send(FRAMES)
    assert await wire.ended() == "closed"


async def test_trap_upgrade_back_pressure(edge: Edge) -> None:
    """`ws_connect`, way out: after a 101 raw bytes are pumped both ways, and back-pressure is yours."""
    flooded = asyncio.Event()

    async def flood(wire: Wire) -> None:
        await wire.head()
        wire.writer.write(answer(b"Upgrade: websocket", b"Connection: Upgrade", status=b"101 Go"))
        wire.writer.write(bytes(40 * MIB))
        await stuck(wire)
        assert wire.writer.transport.get_write_buffer_size() > 20 * MIB
        flooded.set()
        await wire.writer.drain()

    edge.origin.script = flood
    wire = await edge.connect(receive_bytes=16 * 1024)
    await wire.send(request(*UPGRADE))
    await within(PATIENCE_SECONDS, flooded)
    assert (await wire.head()).status == 101
    assert await wire.exactly(40 * MIB) == bytes(40 * MIB)


@pytest.mark.parametrize(
    ("method", "body", "times"),
    [(b"PUT", b"body", 1), (b"POST", b"", 1), (b"GET", b"", 2)],
    ids=["with-body", "not-idempotent", "bodiless"],
)
async def test_trap_stale_connection(edge: Edge, method: bytes, body: bytes, times: int) -> None:
    """The client repeats GET, HEAD, PUT, DELETE, OPTIONS, TRACE on a stale connection by itself."""
    seen = []

    async def serve(wire: Wire) -> None:
        first = await wire.message()
        if first.head.first.startswith(b"HEAD"):  # the one that fills the pool
            await wire.send(answer(b"Content-Length: 0"))
            first = await wire.message()
        seen.append((first.head.first.split()[0], first.body))
        wire.reset()

    edge.origin.script = serve
    await edge.ask(method=b"HEAD")
    said = await edge.ask(b"Content-Length: %d" % len(body), method=method, body=body)
    assert said.head.status == 502
    assert seen == [(method, body)] * times


async def test_trap_long_lines(make_world: Callable[..., Awaitable[Any]]) -> None:
    """A streamed response line longer than the read buffer breaks line iteration."""
    world = await make_world()
    world.minimax.behaviour = Behaviour(stream_chunk_bytes=MIB)
    asked = {"model": "minimax-speech-turbo", "voice": "English_Graceful_Lady", "response_format": "pcm"}
    headers = {"Authorization": f"Bearer {world.api_key}"}
    heard = []
    for stream in (False, True):
        fields = asked | {"input": "Mind the gap. " * 40, "stream": stream}
        said = await world.request("POST", SPEECH_PATH, json=fields, headers=headers)
        assert said.status == 200
        heard.append(said.body)
    assert len(heard[0]) > MIB // 2  # one line of twice as many digits
    assert heard[0] == heard[1]


async def test_trap_aioresponses() -> None:
    """aioresponses 0.7.9 fails with `missing 'stream_writer'`; a response class that fills it in is the way out."""

    class MockedResponse(ClientResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
            super().__init__(*args, **kwargs)

    url = "http://origin.test/"
    with aioresponses() as mocked:
        mocked.get(url, body=b"ok", response_class=MockedResponse)
        mocked.get(url, body=b"ok")
        async with ClientSession() as session:
            async with session.get(url) as said:
                assert await said.read() == b"ok"
            with pytest.raises(TypeError, match="stream_writer"):  # once this passes, no test needs such a class
                await session.get(url)


async def test_trap_session_defaults(edge: Edge) -> None:
    """Session defaults hurt a proxy: cookies are kept, redirects followed, bodies unpacked, headers added."""
    packed = gzip.compress(b"sound" * 100)
    lines = (b"Location: %s" % PATH, b"Set-Cookie: a=b; Path=/", b"Content-Encoding: gzip")
    edge.origin.answering(answer(*lines, b"Content-Length: %d" % len(packed), status=b"302 Found", body=packed), OK)
    said = await edge.ask()
    assert (said.head.status, said.body) == (302, packed)
    assert (await edge.ask()).body == b"ok"
    first, second = edge.origin.requests
    assert first.head.names == second.head.names
    assert not {b"cookie", b"user-agent", b"accept", b"accept-encoding"} & {name.lower() for name in first.head.names}


async def test_trap_session_timeout(
    database_target: DatabaseTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Session defaults hurt a proxy: an exchange of more than five minutes is cut."""
    monkeypatch.setattr("aiohttp.client.DEFAULT_TIMEOUT", ClientTimeout(total=0.1))

    async def slowly(wire: Wire) -> None:
        await wire.message()
        await asyncio.sleep(0.3)
        await wire.send(head(b"Content-Length: 2") + b"o")
        await asyncio.sleep(0.3)
        await wire.send(b"k")

    async with raw_edge(database_target, tmp_path) as edge:
        edge.origin.script = slowly
        assert (await edge.ask()).body == b"ok"


async def test_trap_session_limit(edge: Edge) -> None:
    """Session defaults hurt a proxy: the hundred and first request waits for a connection."""
    together = asyncio.Barrier(120)

    async def serve(wire: Wire) -> None:
        await wire.message()
        await together.wait()
        await wire.send(OK)

    edge.origin.script = serve
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = await asyncio.gather(*(edge.ask() for _ in range(120)))
    assert {said.body for said in answers} == {b"ok"}


@as_root
async def test_trap_closed_folder(tmp_path: Path) -> None:
    """As root under a 0700 folder the server's user cannot reach binaries or data."""
    tmp_path.chmod(0o700)
    server = EmbeddedPostgres(tmp_path / "data")
    arguments = (await server.start()).connect_arguments()
    try:
        connection = await asyncpg.connect(**arguments)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert (tmp_path / "data/postgres/place").read_text() == str(server.folder)
        assert (server.folder / "cluster").stat().st_uid != 0
    finally:
        await server.stop()


def test_trap_copied_binaries() -> None:
    """Copying `pginstall` alone fails: libpq sits in the sibling folder."""
    with tempfile.TemporaryDirectory() as folder:
        copy = find_binaries()[0].copy_to(Path(folder, "copy"))
        command = [str(copy.folder / "psql"), "--version"]
        assert b"PostgreSQL" in subprocess.run(command, capture_output=True, check=True, timeout=10).stdout


async def test_trap_trust(postgres: Postgres) -> None:
    """`--auth=trust` with TCP lets any local user own the books."""
    arguments = postgres.target.with_database("postgres").connect_arguments()
    connection = await asyncpg.connect(**arguments)
    assert await connection.fetchval("SHOW listen_addresses") == ""
    await connection.close()
    folder = Path(arguments["host"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(os.fsencode(folder / ".s.PGSQL.5432")) < 108
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**{**arguments, "password": "guessed"})
