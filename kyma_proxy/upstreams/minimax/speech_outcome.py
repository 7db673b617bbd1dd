"""How one call for speech went: its line in the log, its facts for the request's line, its refusal for the client."""

from __future__ import annotations

from typing import Any

import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.errors import GatewayError
from kyma_proxy.flow import Flow
from kyma_proxy.upstreams.errors import TransportError
from kyma_proxy.upstreams.minimax.calls import Calls, trace_id
from kyma_proxy.upstreams.minimax.errors import VOICE_ID_UNKNOWN
from kyma_proxy.upstreams.minimax.speech_refusals import as_said_of_speech, failure_of, refusal_of, unusable
from kyma_proxy.upstreams.minimax.wire import Answer, usage_characters_of
from kyma_proxy.upstreams.transport import IncomingReply

_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


class SpeechOutcome:
    """Kept while the call runs. Each way of failing is logged and comes back as the GatewayError to raise."""

    def __init__(self, flow: Flow, calls: Calls, path: str) -> None:
        self._flow = flow
        self._calls = calls
        self._started = monotonic_seconds()
        self._ended = False
        self._facts: dict[str, object] = {"call": path, "request_id": flow.id}

    def answered(self, reply: IncomingReply) -> None:
        """The head of the answer is there."""
        self._facts |= {"http_status": reply.status, "trace_id": trace_id(reply)}

    def audio_began(self) -> None:
        """The first audio is there."""
        self._facts["first_audio_seconds"] = self.seconds()

    def spoken(self, fields: dict[str, Any]) -> None:
        """All audio is there; `fields` are those of the answer, or of the event that closes the stream."""
        characters = usage_characters_of(fields)
        if characters is not None:
            self._facts["usage_characters"] = self._flow.facts["usage_characters"] = characters
        _log.info("provider_called", **self._line())

    def refused(self, answer: Answer) -> GatewayError:
        """The provider says that it failed."""
        answer = as_said_of_speech(answer)
        self._flow.facts["provider_code"] = answer.code
        self._flow.voice_gone = answer.code == VOICE_ID_UNKNOWN
        document = self._flow.document or {}
        said = [each for each in (document.get("input"), document.get("text")) if isinstance(each, str)]
        self._calls.log_refusal(answer, self._line(), said)
        return refusal_of(answer)

    def unusable(self, detail: str) -> GatewayError:
        """The provider says that it spoke, but `detail`."""
        self._flow.facts["upstream_failure"] = "unusable"
        _log.warning("provider_call_failed", failure=detail, **self._line())
        return unusable()

    def lost(self, failure: TransportError) -> GatewayError:
        """The exchange failed."""
        self._flow.facts |= failure.facts()
        _log.warning("provider_call_failed", failure=str(failure), **self._line())
        return failure_of(failure)

    def cut(self) -> None:
        """The call is over; if that is before its end, its line says so: whoever asked for it has left."""
        if not self._ended:
            _log.info("provider_call_cut", **self._line())

    def seconds(self) -> float:
        """How long the call has taken so far."""
        return round(monotonic_seconds() - self._started, 3)

    def _line(self) -> dict[str, object]:
        """What the last line about the call has in it."""
        self._ended = True
        return {"seconds": self.seconds(), **self._facts}
