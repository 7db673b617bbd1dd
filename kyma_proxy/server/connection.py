"""Questions and last resorts about a client's connection."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from typing import Final

from aiohttp.web import BaseRequest

# Linux tells of a half-closed connection even behind unread data; elsewhere the event loop's word must do.
_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds


def client_connected(request: BaseRequest) -> bool:
    """Whether the client is still there: asks the kernel too, since the event loop may not have heard yet.

    A client that closed its half of the connection counts as gone.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        return False
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), _HUNG_UP)
    return not poll.poll(0)


def reset(transport: asyncio.Transport | None) -> None:
    """End a connection with a TCP reset, so that a body cut short cannot pass for a complete one.

    `abort()` alone sends a plain FIN, which on a body delimited by the connection's end looks like success.
    """
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
