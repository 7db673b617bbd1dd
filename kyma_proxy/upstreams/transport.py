"""Connections to one upstream: the pool, the time limits, and what its failures mean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

from aiohttp import ClientConnectorError, ClientError, ClientSSLError, ConnectionTimeoutError
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from kyma_proxy.heads import names_websocket
from kyma_proxy.settings.models import UpstreamTimeouts
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.answers import Answer
from kyma_proxy.upstreams.bodies import ReplyBody
from kyma_proxy.upstreams.breaker import Breaker
from kyma_proxy.upstreams.connections import UNWATCHED, Connections
from kyma_proxy.upstreams.doors import Door, Doors, Health
from kyma_proxy.upstreams.errors import FailureKind, Limit, TransportError
from kyma_proxy.upstreams.exchange import Exchange, Means, OutgoingRequest
from kyma_proxy.upstreams.headers import unreadable
from kyma_proxy.upstreams.tunnel import UpstreamTunnel
from kyma_proxy.wheel import TimerWheel

_ANSWERED_FOR_IT = frozenset({502, 503, 504})
"""Answers of something in front of an origin that is away (RFC 9110 sections 15.6.3 to 15.6.5)."""


@dataclass(slots=True)
class IncomingReply:
    """The head of an upstream's answer, and its body still to be read. Whoever gets it closes the body."""

    status: int
    phrase: str | None
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: ReplyBody
    tunnel: UpstreamTunnel | None = None
    """With status 101, in place of the body."""


class Transport:
    """The client side of one upstream: no cookies, no redirects, no decoding, no proxies from the environment."""

    def __init__(
        self, bases: str | Sequence[tuple[str, int]], timeouts: UpstreamTimeouts, health: Health | None = None
    ) -> None:
        """`bases` are base URLs with their weights, or one; without `health` each is used whatever happens."""
        self._health = health
        self._doors = Doors([(bases, 1)] if isinstance(bases, str) else bases, self._watch)
        self._connections: Connections | None = None
        self._means = Means(TimerWheel(), Tasks())
        self.timeouts = timeouts

    def __repr__(self) -> str:
        return f"Transport({self._doors!r}, {'open' if self._connections else 'closed'})"

    @property
    def host(self) -> str:
        """The value of the `Host` header: the port is left out where it is the scheme's own."""
        return self._doors.first.host

    def target(self, raw_path: str, raw_query: str | None = None) -> str:
        """The request target for a path of this upstream: below the path of its base URL, otherwise as given.

        Like `host` it is that of the first base URL; a request that goes through another one is changed on its way.
        """
        query = "" if raw_query is None else f"?{raw_query}"
        return f"{self._doors.first.prefix}{raw_path}{query}"

    @property
    def wheel(self) -> TimerWheel:
        """The timers of what goes through here."""
        return self._means.wheel

    def count_failure(self, kind: str) -> None:
        """Count something that went wrong in what an answer said; no breaker is told."""
        if self._health is not None:
            self._health.numbers.failed(self._health.upstream, self._doors.first.name, kind)

    async def start(self) -> None:
        """Open the pool."""
        self._connections = Connections(self.timeouts.connect_seconds, self._health or UNWATCHED)

    async def stop(self) -> None:
        """Close the pool and every connection of it."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()
        await self._means.tasks.close()

    async def send(self, request: OutgoingRequest) -> IncomingReply:
        """Send a request and return once the head of its answer is there.

        A `repeatable` request is made once more if no connection could be made, through another base URL where there
        is one, and if it was lost on a kept-alive connection that had gone stale while it has no body and is idempotent
        (RFC 9110 section 9.2.2). Raises TransportError, and whatever the source of the request body raised.
        """
        door = self._doors.choose() or self._nowhere()
        reply, failed = await self._attempt(request, door, last=not request.repeatable)
        if reply is None:
            # The same one again where there is no other: a connection that went stale says nothing of the next.
            other = self._doors.choose((door,)) if failed else door
            reply, _ = await self._attempt(request, other or door, last=True)
        assert reply is not None
        return reply

    async def _attempt(self, request: OutgoingRequest, door: Door, *, last: bool) -> tuple[IncomingReply | None, bool]:
        """One attempt; no reply if it failed and may be made again, and then whether no connection could be made."""
        exchange = Exchange(self._doors.through(door, request), self._means, self.timeouts.total_seconds)
        outcome = await self._exchange(exchange, door)
        if not isinstance(outcome, Exception):
            message, content = outcome
            self._note(door, "answered" if message.code in _ANSWERED_FOR_IT else None)
            body = ReplyBody(message, content, exchange, self.timeouts.idle_seconds)
            tunnel = UpstreamTunnel(exchange) if message.code == 101 else None
            return IncomingReply(message.code, message.reason, message.raw_headers, body, tunnel), False
        if isinstance(outcome, TransportError):
            went_stale = outcome.kind is FailureKind.BROKEN and exchange.may_repeat()
            if not went_stale:
                self._note(door, outcome.kind.value)
            if not last and (outcome.kind is FailureKind.REFUSED or went_stale):
                return None, not went_stale
        raise outcome

    def _note(self, door: Door, failure: str | None) -> None:
        """A request through a door was answered, or failed."""
        if self._health is not None and failure is not None:
            self._health.numbers.failed(self._health.upstream, door.name, failure)
        if door.breaker is None or self._health is None:
            return
        if failure is None:
            door.breaker.succeeded()
        elif door.breaker.failed():
            self._health.tasks.spawn(self._recover(door, door.breaker), name=f"probe {door.name}")

    def _watch(self, door: Door) -> Breaker | None:
        health = self._health
        if health is None or health.settings is None:
            return None
        health.numbers.known(health.upstream, door.name)
        return Breaker(health.settings, lambda state: health.numbers.breaker(health.upstream, door.name, state.value))

    async def _recover(self, door: Door, breaker: Breaker) -> None:
        """Try a connection whenever the pause is over, until there is one."""
        while not breaker.admits:
            await asyncio.sleep(breaker.wait_seconds)
            breaker.probing()
            breaker.probed(reachable=await is_reachable(door.base, self.timeouts.connect_seconds))

    def _nowhere(self) -> NoReturn:
        """Every base URL is left alone."""
        raise TransportError(
            FailureKind.REFUSED,
            "it has failed too often and is left alone for a while",
            retry_after_seconds=self._doors.wait_seconds(),
        )

    async def _exchange(self, exchange: Exchange, door: Door) -> Answer | Exception:
        """The answer, or why there is none; an answer that is not wanted has its connection cut."""
        if self._connections is None:
            return TransportError(FailureKind.REFUSED, "the gateway has closed its connections")
        try:
            answer = await exchange.run(self._connections, door.base)
        except (ClientError, HttpProcessingError, OSError) as error:
            return exchange.source_failure() or _failure(error, exchange.expired)
        message = answer[0]
        problem = unreadable(message.reason, message.raw_headers)
        if message.code == 101 and not (exchange.request.websocket_idle_seconds and names_websocket(message.headers)):
            problem = "the upstream changed to a protocol that nobody asked for"
        if problem is not None:
            await exchange.close()
            return TransportError(FailureKind.BROKEN, problem)
        return answer


async def is_reachable(base: URL, seconds: float) -> bool:
    """Whether a connection, TLS included, can be made within that time. Nothing is asked, so it costs nobody money."""
    try:
        async with asyncio.timeout(seconds):
            tls = _tls() if base.scheme == "https" else None
            _, writer = await asyncio.open_connection(base.host, base.port, ssl=tls)
    except (OSError, ssl.SSLError):
        return False
    writer.close()
    return True


@cache
def _tls() -> ssl.SSLContext:
    """For probes; reading the system's certificates takes a while."""
    return ssl.create_default_context()


def _failure(error: Exception, limit: Limit | None) -> TransportError:
    """What an exception of aiohttp's client means; its text without anything of the request's headers."""
    text = f"{error.code} {error.message}" if isinstance(error, HttpProcessingError) else str(error)
    detail = f"{type(error).__name__} {text}".strip()[:300]
    if isinstance(error, ConnectionTimeoutError):
        return TransportError(FailureKind.UNREACHABLE, detail, "connect")
    if isinstance(error, ClientSSLError):
        return TransportError(FailureKind.UNREACHABLE, detail)
    if isinstance(error, ClientConnectorError):
        return TransportError(FailureKind.REFUSED, detail)
    if isinstance(error, TimeoutError):
        return TransportError(FailureKind.SILENT, detail, limit)
    return TransportError(FailureKind.BROKEN, detail)
