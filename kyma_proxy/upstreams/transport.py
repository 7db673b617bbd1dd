"""Connections to one upstream: the pool, the time limits, and what its failures mean."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
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
from kyma_proxy.upstreams.errors import FailureKind, Limit, TransportError
from kyma_proxy.upstreams.exchange import ExactRequest, Exchange, OutgoingRequest
from kyma_proxy.upstreams.headers import install_head_serializer, unreadable
from kyma_proxy.upstreams.tunnel import UpstreamTunnel

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

    def __init__(self, base_url: str, timeouts: UpstreamTimeouts) -> None:
        self._base = URL(base_url)
        self._origin = str(self._base.origin())
        self._prefix = self._base.raw_path.rstrip("/")
        self._session: ClientSession | None = None
        self._known: WeakSet[ResponseHandler] = WeakSet()
        self.timeouts = timeouts

    def __repr__(self) -> str:
        return f"Transport({self._origin}{self._prefix}, {'open' if self._session else 'closed'})"

    @property
    def host(self) -> str:
        """The value of the `Host` header: the port is left out where it is the scheme's own."""
        return self._base.host_port_subcomponent or ""

    def target(self, raw_path: str, raw_query: str | None = None) -> str:
        """The request target for a path of this upstream: below the path of its base URL, otherwise as given."""
        query = "" if raw_query is None else f"?{raw_query}"
        return f"{self._prefix}{raw_path}{query}"

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

        A `repeatable` request is made once more if no connection could be made, and if it was lost on a kept-alive
        connection that had gone stale while it has no body and is idempotent (RFC 9110 section 9.2.2).
        Raises TransportError, and whatever the source of the request body raised.
        """
        reply = await self._attempt(request, last=not request.repeatable)
        if reply is None:
            reply = await self._attempt(request, last=True)
        assert reply is not None
        return reply

    async def _attempt(self, request: OutgoingRequest, *, last: bool) -> IncomingReply | None:
        """One attempt; None if it failed and may be made again."""
        exchange = Exchange(request, self._known)
        outcome = await self._exchange(exchange)
        if isinstance(outcome, ClientResponse):
            body = ReplyBody(outcome, exchange, self.timeouts.idle_seconds)
            tunnel = UpstreamTunnel(outcome, exchange) if outcome.status == 101 else None
            return IncomingReply(outcome.status, outcome.reason, outcome.raw_headers, body, tunnel)
        if not last and isinstance(outcome, TransportError):
            went_stale = outcome.kind is FailureKind.BROKEN and exchange.may_repeat()
            if outcome.kind is FailureKind.REFUSED or went_stale:
                return None
        raise outcome

    async def _exchange(self, exchange: Exchange) -> ClientResponse | Exception:
        """The answer, or why there is none; an answer that is not wanted has its connection cut."""
        if self._session is None:
            return TransportError(FailureKind.REFUSED, "the gateway has closed its connections")
        request = exchange.request
        url = URL(f"{self._origin}{request.target}", encoded=True)
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
