"""After a 101: bytes both ways between a client and an upstream, as they come, until both connections have ended.

Nothing is read into them, so frames, pings, extensions and close codes stay what they are. No task is needed: each
connection's protocol writes to the other one, and stops reading while that one cannot take more.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import Final

from kyma_proxy.flow import RawConnection, Reply, ReplyTunnel
from kyma_proxy.heads import serialize_head
from kyma_proxy.observe.endings import CLIENT_LEFT_TUNNEL, COMPLETED, IDLE, SLOW_CLIENT, Ending, EndReason
from kyma_proxy.server.connection import reset
from kyma_proxy.server.protocol import Connection

_UNSENT_BYTES_MAX: Final = 64 * 1024  # beyond this the other side is not read; one piece of it may come on top
_HALF_CLOSED_SECONDS: Final = 1.0  # how long a side may be silent whose peer has said its last word
_LOOK_SECONDS: Final = 0.25
_CALM_LOOKS: Final = 4  # while nothing is special: looks in the time that both sides may be silent


def switching_head(reply: Reply) -> bytes:
    """The head of a 101. Raises ValueError for a control character in it."""
    return serialize_head(f"HTTP/1.1 {reply.status} {reply.phrase or ''}", reply.headers.items())


class Tunnel:
    """One client's connection and one upstream's, tied together."""

    def __init__(self, connection: Connection, upstream: ReplyTunnel) -> None:
        """Take both connections over. Raises ClientLeftError when the client has left already."""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._idle_seconds = upstream.idle_seconds
        self._client, self._upstream = _Side(self), _Side(self)
        self._client.open(connection.hand_over(self._client), self._upstream)
        self._upstream.open(upstream.hand_over(self._upstream), self._client)
        self._ending: Ending | None = None
        self._seen: tuple[int, ...] = ()
        self._still_since = self._loop.time()
        self._look_at = self._still_since
        self._timer: asyncio.TimerHandle | None = None

    @property
    def bytes_in(self) -> int:
        """What the client has sent."""
        return self._client.received_bytes

    @property
    def bytes_out(self) -> int:
        """What the upstream has sent."""
        return self._upstream.received_bytes

    async def run(self) -> Ending:
        """Relay until both connections have ended; tells how. When cancelled, both are closed."""
        self._upstream.begin()
        self._client.begin()
        self._look()
        try:
            return await self._ended
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for side in (self._client, self._upstream):
                side.leave()

    def side_failed(self, side: _Side) -> None:
        """A connection was reset, or could not be written to any more."""
        if side is self._client:
            self._ending = self._ending or CLIENT_LEFT_TUNNEL
        elif not side.said_all:
            self._ending = self._ending or Ending(EndReason.UPSTREAM_FAILED, "broke_off")

    def side_lost(self) -> None:
        """A connection has ended."""
        if self._client.lost and self._upstream.lost and not self._ended.done():
            self._ended.set_result(self._ending or COMPLETED)

    def look_soon(self) -> None:
        """Something is the matter that needs an eye on it."""
        soon = self._loop.time() + _LOOK_SECONDS
        if self._timer is not None and self._look_at > soon:
            self._timer.cancel()
            self._look_at = soon
            self._timer = self._loop.call_at(soon, self._look)

    def _look(self) -> None:
        """End what has been silent for too long, or was reset while nobody read; otherwise look again later."""
        now = self._loop.time()
        sides = (self._client, self._upstream)
        seen = tuple(number for side in sides for number in (side.received_bytes, side.unsent_bytes))
        if seen != self._seen:
            self._seen, self._still_since = seen, now
        for side in sides:
            side.notice_reset()
        limit = self._limit_seconds()
        if now - self._still_since >= limit:
            self._give_up()
        special = any(side.said_all or side.held for side in sides)
        self._look_at = now + (_LOOK_SECONDS if special else max(_LOOK_SECONDS, limit / _CALM_LOOKS))
        self._timer = self._loop.call_at(self._look_at, self._look)

    def _limit_seconds(self) -> float:
        for side in (self._client, self._upstream):
            # What is still on its way to a slow reader is not cut.
            if side.said_all and not side.peer.unsent_bytes:
                return min(self._idle_seconds, _HALF_CLOSED_SECONDS)
        return self._idle_seconds

    def _give_up(self) -> None:
        sides = (self._client, self._upstream)
        if self._client.unsent_bytes:
            ending = SLOW_CLIENT
        elif self._upstream.unsent_bytes:
            ending = Ending(EndReason.TIMED_OUT, "upstream_idle")
        elif self._client.said_all:
            ending = CLIENT_LEFT_TUNNEL
        else:
            ending = COMPLETED if self._upstream.said_all else IDLE
        self._ending = self._ending or ending
        for side in sides:
            side.end()


class _Side(asyncio.Protocol):
    """One of the two connections."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._raw: RawConnection
        self._full = False
        self._finishing = False
        self._left = False
        self._failure: Exception | None = None
        self.peer: _Side
        self.received_bytes = 0
        self.held = False
        """Whether it is not read, since its peer cannot take more."""
        self.said_all = False
        """Whether it has said that nothing more will come."""
        self.lost = False

    def open(self, raw: RawConnection, peer: _Side) -> None:
        """Take the connection over; nothing is relayed yet."""
        self._raw = raw
        self.peer = peer

    def begin(self) -> None:
        """Relay what had arrived already, and from now on what arrives."""
        transport = self._raw.transport
        transport.set_write_buffer_limits(high=_UNSENT_BYTES_MAX)
        transport.resume_reading()
        if self._raw.early:
            self.data_received(self._raw.early)

    @property
    def unsent_bytes(self) -> int:
        """What waits here to be taken by this side."""
        return 0 if self.lost else self._raw.transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        self.received_bytes += len(data)
        peer = self.peer
        peer.write(data)
        if peer._full and not self.held:
            self.held = True
            self._raw.transport.pause_reading()
            self._tunnel.look_soon()

    def eof_received(self) -> bool:
        """asyncio: this side has said all; tells whether the connection stays open for what the other one says."""
        self.said_all = True
        self.peer.finish()
        self._tunnel.look_soon()
        if self.peer.said_all:
            self.peer.close()
        return not self.peer.said_all and self._raw.transport.can_write_eof()

    def pause_writing(self) -> None:
        """asyncio: this side does not take what is written fast enough."""
        self._full = True

    def resume_writing(self) -> None:
        """asyncio: it has taken enough of it."""
        self._full = False
        transport = self._raw.transport
        if self._finishing and not transport.can_write_eof() and not transport.is_closing():
            transport.close()  # only once: the second time asyncio's TLS forgets what it still has to do
        if self.peer.held:
            self.peer.held = False
            self.peer._raw.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection has ended."""
        if exc is not None:
            self._tunnel.side_failed(self)
        if exc is None or self.said_all:
            self.peer.close()
        else:
            self.peer.reset()
        self.lost = self.said_all = True
        self._failure = exc
        if self._left:
            self._raw.lost(exc)
        self._tunnel.look_soon()
        self._tunnel.side_lost()

    def write(self, data: bytes) -> None:
        """Send bytes to this side, unless it has gone."""
        if not self._raw.transport.is_closing():
            self._raw.transport.write(data)

    def finish(self) -> None:
        """Tell this side, behind everything that is still to be sent to it, that nothing more will come."""
        transport = self._raw.transport
        if self._finishing or transport.is_closing():
            return
        self._finishing = True
        if transport.can_write_eof():
            # Of a side that was reset a moment ago the event loop will tell.
            with contextlib.suppress(OSError):
                transport.write_eof()
        elif not self.unsent_bytes:
            transport.close()
        else:
            # TLS cannot be closed by halves, and asyncio's drops what is unsent at its closing.
            transport.set_write_buffer_limits(high=0)

    def close(self) -> None:
        """Close the connection in order, once everything is sent."""
        self.finish()
        if self._raw.transport.can_write_eof():
            self._raw.transport.close()

    def reset(self) -> None:
        """Cut the connection."""
        if not self.lost:
            reset(self._raw.transport)

    def notice_reset(self) -> None:
        """While nothing is read from this side the event loop does not hear of a reset: ask the system."""
        if not self.held or self._raw.transport.is_closing():
            return
        connection = self._raw.transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLERR)
        if poll.poll(0):
            self._tunnel.side_failed(self)
            self.reset()
            self.peer.reset()

    def end(self) -> None:
        """Close the connection now: in order if everything is sent, otherwise nobody must take it for all."""
        if self.unsent_bytes:
            self.reset()
        else:
            self.close()

    def leave(self) -> None:
        """The tunnel is over: end the connection, and let its former owner know when it has ended."""
        self._left = True
        if self.lost:
            # Not at once: it may cancel the task that this runs in.
            asyncio.get_running_loop().call_soon(self._raw.lost, self._failure)
        else:
            self.end()
