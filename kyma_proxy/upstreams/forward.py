"""The transparent upstream: method, path, headers and bodies go on as they came, less what belongs to one hop."""

from __future__ import annotations

import structlog
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply, ReplyStream, WholeBody
from kyma_proxy.settings.models import ForwardUpstreamSettings
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.bodies import OutgoingBody
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.exchange import OutgoingRequest
from kyma_proxy.upstreams.headers import end_to_end
from kyma_proxy.upstreams.presence import while_client_waits
from kyma_proxy.upstreams.transport import IncomingReply, Transport

VIA = "1.1 kyma-proxy"

_log = structlog.get_logger("kyma_proxy.upstreams")


class ForwardUpstream(Upstream):
    """Forwards to an origin. Bodies stream both ways and are not looked into; redirects are passed on.

    Nothing is sent twice once a byte of a request body has left (see `Transport.send`).
    """

    def __init__(self, name: str, settings: ForwardUpstreamSettings) -> None:
        self.name = name
        self._settings = settings
        self._transport = Transport(str(settings.base_url), settings.timeouts)

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
            async with while_client_waits(flow.client_connected):
                reply = await self._transport.send(self._request(flow))
        except TransportError as failure:
            flow.facts["upstream_failure"] = failure.kind.value
            _log.warning("upstream_failed", upstream=self.name, request_id=flow.id, failure=str(failure))
            raise _refusal(failure) from failure
        return Reply(reply.status, end_to_end(reply.raw_headers), await _body(reply), reply.phrase, forwarded=True)

    def _request(self, flow: Flow) -> OutgoingRequest:
        timeouts = self._transport.timeouts
        length = flow.body.content_length
        return OutgoingRequest(
            method=flow.method,
            target=self._transport.target(flow.target.raw_path, flow.target.raw_query),
            headers=self._headers(flow),
            first_byte_seconds=timeouts.first_byte_seconds,
            body=None if length == 0 else OutgoingBody(flow.body, length, timeouts.idle_seconds),
            repeatable=True,
        )

    def _headers(self, flow: Flow) -> CIMultiDict[str]:
        """The client's headers, less the hop-by-hop ones and those that only this hop may say, plus those."""
        headers: CIMultiDict[str] = CIMultiDict({"Host": self._transport.host})
        headers.extend(end_to_end(flow.raw_headers, self._is_replaced))
        if flow.body.content_length:
            headers["Content-Length"] = str(flow.body.content_length)
        elif flow.body.content_length is None:
            headers.popall("Content-Length", None)
        if isinstance(flow.body, WholeBody):
            # It is here already: asking the origin whether to send it would only cost time.
            headers.popall("Expect", None)
        headers["X-Request-Id"] = flow.id
        headers["X-Forwarded-Proto"] = flow.scheme
        if flow.client_address:
            headers["X-Forwarded-For"] = flow.client_address
        if flow.host:
            headers["X-Forwarded-Host"] = flow.host
        if self._settings.authorization == "replace" and self._settings.api_key is not None:
            headers["Authorization"] = f"Bearer {self._settings.api_key.get_secret_value()}"
        headers.add("Via", VIA)
        return headers

    def _is_replaced(self, name: bytes) -> bool:
        """Whether a client's header of this lower-case name does not go on: this hop says it, or nobody may."""
        if name == b"authorization":
            return self._settings.authorization == "replace"
        return name in (b"host", b"x-request-id") or name.startswith(b"x-forwarded-")


async def _body(reply: IncomingReply) -> bytes | ReplyStream:
    """The body in one piece if it is there already: it then costs the client's connection a single write."""
    whole = reply.body.whole()
    if whole is None:
        return reply.body
    await reply.body.aclose()
    return whole


def _refusal(failure: TransportError) -> GatewayError:
    """What the client is told of a failure before the answer's head."""
    if failure.kind is FailureKind.SILENT:
        return GatewayError(ErrorCode.UPSTREAM_TIMEOUT, "The upstream did not answer in time.")
    if failure.kind is FailureKind.BROKEN:
        return GatewayError(ErrorCode.UPSTREAM_UNREACHABLE, "The upstream closed the connection without an answer.")
    return GatewayError(
        ErrorCode.UPSTREAM_UNREACHABLE,
        "The upstream could not be reached.",
        should_retry=failure.kind is FailureKind.REFUSED,
    )
