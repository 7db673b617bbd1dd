"""Speech at MiniMax: one call of t2a_v2 for one request, whole or streamed. Nothing is sent twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.upstreams.errors import TransportError
from kyma_proxy.upstreams.minimax.calls import Calls, read_whole
from kyma_proxy.upstreams.minimax.speech_outcome import SpeechOutcome
from kyma_proxy.upstreams.minimax.speech_request import SpeechRequest, read_speech_request
from kyma_proxy.upstreams.minimax.speech_stream import SpeechStream
from kyma_proxy.upstreams.minimax.wire import audio_of, read_answer
from kyma_proxy.upstreams.presence import while_client_waits
from kyma_proxy.upstreams.transport import IncomingReply

SPEECH_PATH = "/v1/audio/speech"
PROVIDER_PATH = "/v1/t2a_v2"
WHOLE_BYTES_MAX = 64 * 1024 * 1024
"""Of an answer that is not streamed; audio takes two bytes in it for each of its own."""


class Speech:
    """Turns a checked request into audio."""

    def __init__(self, calls: Calls, settings: MiniMaxUpstreamSettings) -> None:
        self._calls = calls
        self._models = settings.models
        self._input_chars_max = settings.max_input_chars
        self._first_byte_seconds = settings.timeouts.first_byte_seconds

    async def speak(self, flow: Flow, document: Mapping[str, Any]) -> Reply:
        """The audio that `document` asks for; whole, or as a stream once its first audio is there.

        Raises GatewayError for a request that cannot be honoured and for every failure of the provider before its
        first audio, ClientLeftError when the client left before: the call is then ended.
        """
        wanted = read_speech_request(document, self._models, self._input_chars_max)
        outcome = SpeechOutcome(flow, self._calls, PROVIDER_PATH)
        headers = CIMultiDict({"Content-Type": wanted.format.content_type})
        async with while_client_waits(flow.client_connected):
            reply = await self._ask(wanted, outcome)
            if wanted.stream and _is_event_stream(reply):
                return Reply(200, headers, await self._first_audio(reply, outcome))
            return Reply(200, headers, await _all_audio(reply, outcome))

    async def _ask(self, wanted: SpeechRequest, outcome: SpeechOutcome) -> IncomingReply:
        accept = "text/event-stream, application/json" if wanted.stream else "application/json"
        fields = wanted.provider_fields()
        request = self._calls.json_request(PROVIDER_PATH, fields, self._first_byte_seconds, accept=accept)
        try:
            reply = await self._calls.transport.send(request)
        except TransportError as failure:
            raise outcome.lost(failure) from failure
        outcome.answered(reply)
        return reply

    async def _first_audio(self, reply: IncomingReply, outcome: SpeechOutcome) -> SpeechStream:
        stream = SpeechStream(reply.body, outcome)
        try:
            await stream.wait_for_audio(self._first_byte_seconds)
        except BaseException:
            await stream.aclose()
            raise
        return stream


def _is_event_stream(reply: IncomingReply) -> bool:
    """Whether events follow: the rejection of a stream comes as JSON."""
    types = [value for name, value in reply.raw_headers if name.lower() == b"content-type"]
    return 200 <= reply.status < 300 and any(it.strip().lower().startswith(b"text/event-stream") for it in types)


async def _all_audio(reply: IncomingReply, outcome: SpeechOutcome) -> bytes:
    """The audio of an answer in one piece, once it is known to be a success: a failure may carry audio too."""
    try:
        answer = read_answer(reply.status, await read_whole(reply, WHOLE_BYTES_MAX))
    except TransportError as failure:
        raise outcome.lost(failure) from failure
    if answer.meaning is not None:
        raise outcome.refused(answer)
    try:
        audio = audio_of(answer.fields)
    except ValueError as error:
        raise outcome.unusable(f"the audio of the answer: {error}") from error
    if not audio:
        raise outcome.unusable("the answer has no audio")
    outcome.spoken(answer.fields)
    return audio
