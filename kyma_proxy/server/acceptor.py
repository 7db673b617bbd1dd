"""Accepting on a socket that several processes share: one connection at a time, so that each gets its part of them.

asyncio's own servers accept whatever waits, up to the backlog, as soon as one process is woken: the first would take
nearly all.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

import structlog

from kyma_proxy.tasks import Tasks

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS: Final = 1.0
"""How long nothing is accepted where the system has no room; asyncio waits as long."""

_log = structlog.get_logger("kyma_proxy.server")


class Acceptor:
    """Accepts from listening sockets until it is closed, which closes them here and not in other processes."""

    def __init__(
        self,
        sockets: tuple[socket.socket, ...],
        protocol: Callable[[], asyncio.Protocol],
        tasks: Tasks,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._sockets = sockets
        self._protocol = protocol
        self._tasks = tasks
        self._tls = tls
        self._resuming: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Acceptor({len(self._sockets)} sockets)"

    def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            listening.setblocking(False)
            loop.add_reader(listening.fileno(), self._accept, listening)

    def close(self) -> None:
        """Accept nothing more. May be called again."""
        loop = asyncio.get_running_loop()
        if self._resuming is not None:
            self._resuming.cancel()
        sockets, self._sockets = self._sockets, ()
        for listening in sockets:
            loop.remove_reader(listening.fileno())
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was faster, or the client has left already
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            _log.error("cannot_accept", error=str(error))
            self._pause()
            return
        accepted.setblocking(False)
        self._tasks.spawn(self._connect(accepted), name="accept a connection")

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted, ssl=self._tls)
        except (OSError, ssl.SSLError):
            accepted.close()  # a handshake that failed is the client's affair

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening.fileno())
        self._resuming = loop.call_later(_PAUSE_SECONDS, self.start)
