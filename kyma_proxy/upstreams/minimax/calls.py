"""What every call to MiniMax has in common: who we are, the head of a request, the lines in the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import structlog
from multidict import CIMultiDict
from pydantic import SecretStr

from kyma_proxy.upstreams.bodies import OutgoingBody
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.exchange import OutgoingRequest
from kyma_proxy.upstreams.headers import text
from kyma_proxy.upstreams.minimax.errors import Fault
from kyma_proxy.upstreams.minimax.wire import Answer
from kyma_proxy.upstreams.transport import IncomingReply, Transport

OPERATOR_FAULT: Final = "operator_fault"
"""The kind in `kyma_upstream_failures_total` of what only the operator can put right: a key, a balance, a plan."""
QUOTE_CHARS_MIN: Final = 12
"""Fewer characters in a row that a message has in common with a text are no quote of it."""
_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at MiniMax. `group_id` is sent, as a query parameter, only if set: newer keys refuse a foreign one."""

    api_key: SecretStr
    group_id: str | None = None


class Calls:
    """Writes down calls on a transport that the caller starts and stops. The key stands in no log line and no repr."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self.transport = transport
        self._credentials = credentials

    def json_request(
        self, path: str, fields: Mapping[str, object], first_byte_seconds: float, *, accept: str = "application/json"
    ) -> OutgoingRequest:
        """A POST of a JSON object; see OutgoingRequest for `first_byte_seconds`."""
        body = json.dumps(fields, separators=(",", ":")).encode()
        request = self.request(path, body, "application/json", len(body), first_byte_seconds)
        request.headers["Accept"] = accept
        return request

    def request(
        self, path: str, body: bytes | OutgoingBody, content_type: str, length: int, first_byte_seconds: float
    ) -> OutgoingRequest:
        """A POST of a body of `length` bytes."""
        headers = self._headers()
        headers["Content-Type"] = content_type
        headers["Content-Length"] = str(length)
        return OutgoingRequest("POST", self._target(path, {}), headers, first_byte_seconds, body)

    def lookup(self, path: str, query: Mapping[str, str], first_byte_seconds: float) -> OutgoingRequest:
        """A GET, which changes nothing."""
        return OutgoingRequest("GET", self._target(path, query), self._headers(), first_byte_seconds)

    def log_refusal(self, answer: Answer, facts: Mapping[str, object], said: Iterable[str] = ()) -> str:
        """Log what the provider refused, loudly where it is the operator who must act.

        Returns the provider's words without our key, and without what the client `said`, which a provider may quote;
        they are for logs, never for clients.
        """
        meaning = answer.meaning
        assert meaning is not None
        message = answer.message.replace(self._credentials.api_key.get_secret_value(), "[key]")
        for words in said:
            message = without_quotes(message, words)
        line = {**facts, "code": answer.code, "meaning": meaning.text, "fault": meaning.fault.value, "message": message}
        if meaning.fault is Fault.OPERATOR:
            _log.error("provider_operator_fault", **line)
            self.transport.count_failure(OPERATOR_FAULT)
        else:
            _log.warning("provider_call_failed", **line)
        return message

    def _target(self, path: str, query: Mapping[str, str]) -> str:
        group = self._credentials.group_id
        parameters = [*query.items(), *([] if group is None else [("GroupId", group)])]
        encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
        return self.transport.target(path, encoded or None)

    def _headers(self) -> CIMultiDict[str]:
        return CIMultiDict(
            {
                "Host": self.transport.host,
                "Authorization": f"Bearer {self._credentials.api_key.get_secret_value()}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "kyma-proxy",
            }
        )


def without_quotes(message: str, said: str) -> str:
    """A provider's message with every run of characters that quotes `said` masked."""
    kept: list[str] = []
    at = 0
    while at < len(message):
        end = at + QUOTE_CHARS_MIN
        if end > len(message) or message[at:end] not in said:
            kept.append(message[at])
            at += 1
            continue
        while end < len(message) and message[at : end + 1] in said:
            end += 1
        kept.append("[text]")
        at = end
    return "".join(kept)


def trace_id(reply: IncomingReply) -> str | None:
    """What the provider's support asks for."""
    return next(
        (text(value) for name, value in reply.raw_headers if name.lower() in (b"trace-id", b"x-trace-id")), None
    )


async def read_whole(reply: IncomingReply, bytes_max: int) -> bytearray:
    """The whole body of an answer, which is closed; the bytes are the caller's own.

    Raises TransportError when it breaks off or is over `bytes_max`.
    """
    body = bytearray()
    try:
        async for chunk in reply.body:
            body += chunk
            if len(body) > bytes_max:
                raise TransportError(FailureKind.BROKEN, f"the answer is over {bytes_max} bytes")
    finally:
        await reply.body.aclose()
    return body
