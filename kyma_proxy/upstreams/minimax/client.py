"""MiniMax's calls for voices and files. One method a call; every failure is a ProviderError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import structlog
from aiohttp.payload import BytesPayload, Payload
from multidict import CIMultiDict
from pydantic import SecretStr

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.upstreams.errors import FailureKind, TransportError
from kyma_proxy.upstreams.exchange import OutgoingRequest
from kyma_proxy.upstreams.headers import text
from kyma_proxy.upstreams.minimax.errors import INVALID_PARAMETERS, VOICE_ID_UNKNOWN, Fault
from kyma_proxy.upstreams.minimax.multipart import Upload
from kyma_proxy.upstreams.minimax.wire import MAX_ANSWER_BYTES, Answer, file_id_of, read_answer
from kyma_proxy.upstreams.transport import IncomingReply, Transport
from kyma_proxy.voices.provider import ProviderError, Recording

CLONE_PURPOSE = "voice_clone"
SHORT_CALL_SECONDS = 30.0
"""At most this long is waited for a call that only looks something up or removes it."""

_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at MiniMax. `group_id` is sent, as a query parameter, only if set: newer keys refuse a foreign one."""

    api_key: SecretStr
    group_id: str | None = None


class MiniMaxClient:
    """The calls, on a transport that the caller starts and stops.

    Every method raises ProviderError: `code` is the provider's, `should_retry` is true for throttling and refused
    connections, `outcome_known` is false when the call may have taken effect. Nothing is sent twice. The key stands
    in no log line, exception or repr.
    """

    def __init__(self, transport: Transport, credentials: Credentials, clone_timeout_seconds: float) -> None:
        self._transport = transport
        self._credentials = credentials
        self._clone_timeout_seconds = clone_timeout_seconds
        self._short_call_seconds = min(SHORT_CALL_SECONDS, transport.timeouts.first_byte_seconds)

    async def upload_file(self, recording: Recording, filename: str) -> int:
        """Upload a recording to clone from; the file's 64-bit id. The provider judges it by the name's extension."""
        upload = Upload(recording, filename, CLONE_PURPOSE)
        timeouts = self._transport.timeouts
        body = upload.body(timeouts.idle_seconds)
        headers = self._headers(upload.content_type, upload.length)
        answer = await self._call("/v1/files/upload", headers, body, timeouts.first_byte_seconds)
        file_id = file_id_of(answer.fields)
        if file_id is None:
            raise ProviderError("files/upload: the answer has no file_id", outcome_known=False)
        return file_id

    async def voice_clone(self, file_id: int, voice_id: str) -> None:
        """Make the voice from the uploaded file; takes the provider seconds, sometimes a minute."""
        fields = {"file_id": file_id, "voice_id": voice_id}
        await self._post("/v1/voice_clone", fields, self._clone_timeout_seconds)

    async def delete_voice(self, voice_id: str, kind: str = "voice_cloning") -> None:
        """Delete a voice of this kind; one that is not there counts as deleted."""
        try:
            await self._post("/v1/delete_voice", {"voice_type": kind, "voice_id": voice_id}, self._short_call_seconds)
        except ProviderError as error:
            if not _says_voice_is_absent(error):
                raise

    async def delete_file(self, file_id: int) -> None:
        """Delete an uploaded recording."""
        fields = {"file_id": file_id, "purpose": CLONE_PURPOSE}
        await self._post("/v1/files/delete", fields, self._short_call_seconds)

    async def _post(self, path: str, fields: Mapping[str, object], first_byte_seconds: float) -> Answer:
        body = json.dumps(fields, separators=(",", ":")).encode()
        headers = self._headers("application/json", len(body))
        return await self._call(path, headers, BytesPayload(body), first_byte_seconds)

    def _headers(self, content_type: str, length: int) -> CIMultiDict[str]:
        return CIMultiDict(
            {
                "Host": self._transport.host,
                "Authorization": f"Bearer {self._credentials.api_key.get_secret_value()}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "kyma-proxy",
                "Content-Type": content_type,
                "Content-Length": str(length),
            }
        )

    async def _call(self, path: str, headers: CIMultiDict[str], body: Payload, first_byte_seconds: float) -> Answer:
        """Make one call and return its success. Raises ProviderError."""
        group = self._credentials.group_id
        query = None if group is None else f"GroupId={quote(group, safe='')}"
        target = self._transport.target(path, query)
        request = OutgoingRequest("POST", target, headers, first_byte_seconds, body)
        started = monotonic_seconds()
        facts: dict[str, object] = {"call": path}
        try:
            reply = await self._transport.send(request)
            facts |= {"http_status": reply.status, "trace_id": _trace_id(reply)}
            answer = read_answer(reply.status, await _read(reply))
        except TransportError as failure:
            facts["seconds"] = round(monotonic_seconds() - started, 3)
            _log.warning("provider_call_failed", failure=str(failure), **facts)
            raise ProviderError(
                f"{path}: {failure}",
                should_retry=failure.kind is FailureKind.REFUSED,
                outcome_known=not failure.request_sent,
            ) from failure
        facts["seconds"] = round(monotonic_seconds() - started, 3)
        if answer.meaning is not None:
            raise self._refused(path, answer, facts)
        _log.info("provider_called", **facts)
        return answer

    def _refused(self, path: str, answer: Answer, facts: dict[str, object]) -> ProviderError:
        """Log what the provider refused, loudly where it is the operator who must act, and say what it means."""
        meaning = answer.meaning
        assert meaning is not None
        message = answer.message.replace(self._credentials.api_key.get_secret_value(), "[key]")
        facts |= {"code": answer.code, "meaning": meaning.text, "fault": meaning.fault.value, "message": message}
        if meaning.fault is Fault.OPERATOR:
            _log.error("provider_operator_fault", **facts)
        else:
            _log.warning("provider_call_failed", **facts)
        return ProviderError(
            f"{path}: {answer.code} {message}",
            code=answer.code,
            should_retry=meaning.retryable,
            outcome_known=meaning.outcome_known,
        )


def _says_voice_is_absent(error: ProviderError) -> bool:
    """Whether a deletion failed because there is nothing to delete.

    For that the provider answers 2013 naming the voice id, which is well-formed when we send it.
    """
    if error.code == VOICE_ID_UNKNOWN:
        return True
    return error.code == INVALID_PARAMETERS and "voice_id" in error.message.replace("voice id", "voice_id").lower()


def _trace_id(reply: IncomingReply) -> str | None:
    """What the provider's support asks for."""
    return next(
        (text(value) for name, value in reply.raw_headers if name.lower() in (b"trace-id", b"x-trace-id")), None
    )


async def _read(reply: IncomingReply) -> bytes:
    """The whole answer, within bounds. Raises TransportError when it breaks off or does not end."""
    body = bytearray()
    try:
        async for chunk in reply.body:
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise TransportError(FailureKind.BROKEN, f"the answer is over {MAX_ANSWER_BYTES} bytes")
    finally:
        await reply.body.aclose()
    return bytes(body)
