"""One connection at a time from a socket that others listen on, too."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from kyma_proxy.server import acceptor as acceptor_module
from kyma_proxy.server.acceptor import Acceptor
from kyma_proxy.tasks import Tasks


class Greeting(asyncio.Protocol):
    """Says whose it is, and closes."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(self.name)
        transport.close()


def listening() -> socket.socket:
    bound = socket.create_server(("127.0.0.1", 0), backlog=64)
    bound.setblocking(False)
    return bound


async def ask(port: int) -> bytes:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        said = await reader.read()
        writer.close()
        return said


async def test_two_share_a_socket_and_one_goes_on_when_the_other_is_closed() -> None:
    tasks, shared = Tasks(), listening()
    port = shared.getsockname()[1]
    one = Acceptor((shared.dup(),), lambda: Greeting(b"one"), tasks)
    other = Acceptor((shared.dup(),), lambda: Greeting(b"other"), tasks)
    shared.close()
    one.start()
    other.start()
    said = await asyncio.gather(*(ask(port) for _ in range(60)))
    assert set(said) <= {b"one", b"other"}
    one.close()
    one.close()
    assert {await ask(port) for _ in range(5)} == {b"other"}
    other.close()
    with pytest.raises(ConnectionRefusedError):
        await ask(port)
    await tasks.close()


class Exhausted(socket.socket):
    """A listening socket of a process that has no file descriptor left, once."""

    failed = False

    def accept(self) -> Any:
        if not self.failed:
            self.failed = True
            raise OSError(errno.EMFILE, "too many open files")
        return super().accept()


async def test_where_the_system_has_no_room_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor_module, "_PAUSE_SECONDS", 0.05)
    bound = listening()
    port = bound.getsockname()[1]
    exhausted = Exhausted(fileno=bound.detach())
    tasks = Tasks()
    accepting = Acceptor((exhausted,), lambda: Greeting(b"late"), tasks)
    accepting.start()
    assert await ask(port) == b"late"
    assert exhausted.failed
    accepting.close()
    await tasks.close()
