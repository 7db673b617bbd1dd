"""Connections to one upstream: the pool, the time limits, and what its failures mean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NoReturn
from weakref import WeakSet

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from kyma_proxy.heads import names_websocket
from kyma_proxy.settings.models import UpstreamTimeouts
from kyma_proxy.upstreams.answers import AnswerReader
from kyma_proxy.upstreams.bodies import ReplyBody
from kyma_proxy.upstreams.breaker import Breaker
from kyma_proxy.upstreams.doors import Door, Doors, Health
from kyma_proxy.upstreams.errors import FailureKind, Limit, TransportError
from kyma_proxy.upstreams.exchange import ExactRequest, Exchange, OutgoingRequest
from kyma_proxy.upstreams.headers import install_head_serializer, unreadable
from kyma_proxy.upstreams.tunnel import UpstreamTunnel

_ANSWERED_FOR_IT = frozenset({502, 503, 504})
"""Answers of something in front of an origin that is away (RFC 9110 sections 15.6.3 to 15.6.5)."""
MAX_HEAD_FIELD_BYTES = 65_536
MAX_HEAD_FIELDS = 512
READ_BUFFER_BYTES = 64 * 1024
"""Limits on an upstream's answer: wider than what the listener takes, so that no origin's head is refused; and where
reading stops while a client does not keep up."""


@dataclass(frozen=True, slots=True)
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
        self._session: ClientSession | None = None
        self._known: WeakSet[ResponseHandler] = WeakSet()
        self.timeouts = timeouts

    def __repr__(self) -> str:
        return f"Transport({self._doors!r}, {'open' if self._session else 'closed'})"

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

    def count_failure(self, kind: str) -> None:
        """Count something that went wrong in what an answer said; no breaker is told."""
        if self._health is not None:
            self._health.numbers.failed(self._health.upstream, self._doors.first.name, kind)

    async def start(self) -> None:
        """Open the pool."""
        install_head_serializer()
        # The requests in flight are bounded where they come in; a second bound would only make them wait here.
        connector = TCPConnector(limit=0)
        connector._factory = partial(AnswerReader, loop=asyncio.get_running_loop())  # type: ignore[assignment]
        self._session = ClientSession(
            connector=connector,
            read_bufsize=READ_BUFFER_BYTES,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            request_class=ExactRequest,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=ClientTimeout(total=self.timeouts.total_seconds, connect=self.timeouts.connect_seconds),
            max_line_size=MAX_HEAD_FIELD_BYTES,
            max_field_size=MAX_HEAD_FIELD_BYTES,
            max_headers=MAX_HEAD_FIELDS,
        )
        self._session._retry_connection = False  # what may be repeated is decided here

    async def stop(self) -> None:
        """Close the pool and every connection of it."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        exchange = Exchange(self._doors.through(door, request), self._known)
        outcome = await self._exchange(exchange, door)
        if isinstance(outcome, ClientResponse):
            self._note(door, "answered" if outcome.status in _ANSWERED_FOR_IT else None)
            body = ReplyBody(outcome, exchange, self.timeouts.idle_seconds)
            tunnel = UpstreamTunnel(outcome, exchange) if outcome.status == 101 else None
            return IncomingReply(outcome.status, outcome.reason, outcome.raw_headers, body, tunnel), False
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

    async def _exchange(self, exchange: Exchange, door: Door) -> ClientResponse | Exception:
        """The answer, or why there is none; an answer that is not wanted has its connection cut."""
        if self._session is None:
            return TransportError(FailureKind.REFUSED, "the gateway has closed its connections")
        request = exchange.request
        url = URL(f"{door.origin}{request.target}", encoded=True)
        try:
            async with exchange:
                response = await self._session.request(request.method, url, data=exchange, allow_redirects=False)
        except (ClientError, OSError) as error:
            return exchange.source_failure() or _failure(error, exchange.limit)
        problem = unreadable(response.reason, response.raw_headers)
        if response.status == 101 and not (request.websocket_idle_seconds and names_websocket(response.headers)):
            problem = "the upstream changed to a protocol that nobody asked for"
        if problem is not None:
            exchange.abort()
            response.close()
            return TransportError(FailureKind.BROKEN, problem)
        return response


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


def _failure(error: Exception, limit: Limit) -> TransportError:
    """What an exception of aiohttp's client means; its text without anything of the request's headers."""
    text = f"{error.status} {error.message}" if isinstance(error, ClientResponseError) else str(error)
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
