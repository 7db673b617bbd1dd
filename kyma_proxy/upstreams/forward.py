"""The transparent upstream: method, path, headers and bodies go on as they came, less what belongs to one hop."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import structlog
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply, ReplyStream
from kyma_proxy.settings.models import ForwardUpstreamSettings
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.bodies import OutgoingBody
from kyma_proxy.upstreams.doors import Health
from kyma_proxy.upstreams.errors import FailureKind, Limit, TransportError
from kyma_proxy.upstreams.exchange import OutgoingRequest
from kyma_proxy.upstreams.headers import LeftOut, end_to_end, new_traceparent, trace_id_of
from kyma_proxy.upstreams.presence import while_client_waits
from kyma_proxy.upstreams.transport import IncomingReply, Transport

VIA = "1.1 kyma-proxy"
_TOO_LATE: Final[Mapping[Limit | None, str]] = {
    "first_byte": "The upstream did not begin its answer in time.",
    "idle": "The upstream stopped taking the request, or stopped within its answer.",
    "total": "The upstream did not finish its answer in the time for the whole exchange.",
    None: "The upstream did not answer in time.",
}

_log = structlog.get_logger("kyma_proxy.upstreams")


class ForwardUpstream(Upstream):
    """Forwards to an origin. Bodies stream both ways and are not looked into; redirects are passed on.

    Dropped are hop-by-hop headers, trailers, and interim answers such as 103; `100 Continue` is the client's to get.
    Nothing is sent twice once a byte of a request body has left (see `Transport.send`).
    """

    def __init__(self, name: str, settings: ForwardUpstreamSettings, health: Health | None = None) -> None:
        self.name = name
        self._settings = settings
        self._transport = Transport(settings.doors, settings.timeouts, health)
        replaced = [b"authorization"] if settings.authorization == "replace" else []
        self._left_out = LeftOut.without([b"host", b"x-request-id", *replaced], prefix=b"x-forwarded-")
        """Headers of a client that do not go on: this hop says them, or nobody may."""

    async def start(self) -> None:
        """Open the pool."""
        await self._transport.start()

    async def stop(self) -> None:
        """Close the pool."""
        await self._transport.stop()

    async def send(self, flow: Flow) -> Reply:
        """The origin's answer, as it came.

        Raises GatewayError UPSTREAM_UNREACHABLE when the origin cannot be reached or breaks off before the head of
        its answer (`should_retry` only where the connection was refused), UPSTREAM_TIMEOUT when it stays silent, and
        whatever reading the client's body raised. ClientLeftError when the client leaves before the answer begins: its
        request to the origin is cut then.
        """
        try:
            async with while_client_waits(flow.client_connected, self._transport.wheel):
                reply = await self._transport.send(self._request(flow))
        except TransportError as failure:
            raise _refusal(self._note(failure, flow)) from failure
        if reply.tunnel is not None:
            headers = CIMultiDict(end_to_end(reply.raw_headers, upgrade=True))
            return Reply(reply.status, headers, reply.tunnel, reply.phrase, forwarded=True)
        body = await _body(reply)
        if not isinstance(body, bytes):
            body = _Watched(body, lambda failure: self._note(failure, flow))
        return Reply(reply.status, CIMultiDict(end_to_end(reply.raw_headers)), body, reply.phrase, forwarded=True)

    def _note(self, failure: TransportError, flow: Flow) -> TransportError:
        flow.facts |= failure.facts()
        _log.warning("upstream_failed", upstream=self.name, request_id=flow.id, failure=str(failure))
        return failure

    def _request(self, flow: Flow) -> OutgoingRequest:
        timeouts = self._transport.timeouts
        length = flow.body.content_length
        body: bytes | OutgoingBody | None = None
        if length != 0:
            whole = flow.body.whole()
            body = OutgoingBody(flow.body, length, timeouts.idle_seconds) if whole is None else whole
        return OutgoingRequest(
            method=flow.method,
            target=self._transport.target(flow.target.raw_path, flow.target.raw_query),
            headers=self._headers(flow, body),
            first_byte_seconds=timeouts.first_byte_seconds,
            body=body,
            repeatable=True,
            websocket_idle_seconds=self._settings.websocket_idle_seconds if flow.wants_websocket else None,
        )

    def _headers(self, flow: Flow, body: bytes | OutgoingBody | None) -> CIMultiDict[str]:
        """The client's headers, less the hop-by-hop ones and those that only this hop may say, plus those."""
        fields = [("Host", self._transport.host)]
        fields += end_to_end(flow.raw_headers, self._left_out, upgrade=flow.wants_websocket)
        fields.append(("X-Request-Id", flow.id))
        fields.append(("X-Forwarded-Proto", flow.scheme))
        if forwarded_for := flow.forwarded_for or flow.client_address:
            fields.append(("X-Forwarded-For", forwarded_for))
        if flow.host:
            fields.append(("X-Forwarded-Host", flow.host))
        if self._settings.authorization == "replace" and self._settings.api_key is not None:
            fields.append(("Authorization", f"Bearer {self._settings.api_key.get_secret_value()}"))
        fields.append(("Via", VIA))
        headers = CIMultiDict(fields)
        length = flow.body.content_length
        if length is None:
            headers.popall("Content-Length", None)
        elif length and headers.getall("Content-Length", ()) != [str(length)]:
            headers["Content-Length"] = str(length)
        if isinstance(body, bytes):
            # It is here already: asking the origin whether to send it would only cost time.
            headers.popall("Expect", None)
        if flow.traceparent is not None:
            headers["traceparent"] = flow.traceparent
        elif "traceparent" not in headers:
            headers["traceparent"] = new_traceparent()
        flow.facts["trace_id"] = trace_id_of(headers["traceparent"])
        return headers


class _Watched:
    """A reply's body whose breaking off is noted, and told apart from a time limit in the request's log line."""

    def __init__(self, body: ReplyStream, note: Callable[[TransportError], TransportError]) -> None:
        self._body = body
        self._pieces = aiter(body)
        self._note = note

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._pieces)
        except TransportError as failure:
            raise _refusal(self._note(failure)) from failure

    async def aclose(self) -> None:
        """Release the connection behind it."""
        await self._body.aclose()


async def _body(reply: IncomingReply) -> bytes | ReplyStream:
    """The body in one piece if it is there already: it then costs the client's connection a single write."""
    whole = reply.body.whole()
    if whole is None:
        return reply.body
    await reply.body.aclose()
    return whole


def _retry_after(failure: TransportError) -> dict[str, str] | None:
    seconds = failure.retry_after_seconds
    return None if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def _refusal(failure: TransportError) -> GatewayError:
    """What the client is told of a failure before the answer's head."""
    if failure.kind is FailureKind.SILENT:
        return GatewayError(ErrorCode.UPSTREAM_TIMEOUT, _TOO_LATE.get(failure.limit, _TOO_LATE[None]))
    if failure.kind is FailureKind.BROKEN:
        message = "The upstream closed the connection, or its answer is not well-formed HTTP."
        return GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, message)
    if failure.limit == "connect":
        return GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, "The upstream took too long to accept a connection.")
    return GatewayError(
        ErrorCode.UPSTREAM_UNREACHABLE,
        "The upstream could not be reached.",
        should_retry=failure.kind is FailureKind.REFUSED,
        headers=_retry_after(failure),
    )
