"""Speech at MiniMax: one call of t2a_v2 for one request, whole or streamed. Nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict

from kyma_proxy.flow import ClientLeftError, Flow, Reply
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.upstreams.errors import TransportError
from kyma_proxy.upstreams.minimax.calls import Calls
from kyma_proxy.upstreams.minimax.speech_outcome import SpeechOutcome
from kyma_proxy.upstreams.minimax.speech_request import SpeechRequest, read_speech_request
from kyma_proxy.upstreams.minimax.speech_stream import SpeechStream
from kyma_proxy.upstreams.minimax.whole_audio import WholeAnswers
from kyma_proxy.upstreams.presence import while_client_waits
from kyma_proxy.upstreams.transport import IncomingReply

SPEECH_PATH = "/v1/audio/speech"
PROVIDER_PATH = "/v1/t2a_v2"


class Speech:
    """Turns a checked request into audio."""

    def __init__(self, calls: Calls, settings: MiniMaxUpstreamSettings) -> None:
        self._calls = calls
        self._models = settings.models
        self._input_chars_max = settings.max_input_chars
        self._timeouts = settings.timeouts
        self._whole_answers = WholeAnswers()

    async def speak(self, flow: Flow, document: Mapping[str, Any]) -> Reply:
        """The audio that `document` asks for; whole, or as a stream once its first audio is there.

        Raises GatewayError for a request that cannot be honoured and for every failure of the provider before its
        first audio, ClientLeftError when the client left before: the call is then ended.
        """
        wanted = read_speech_request(document, self._models, self._input_chars_max).with_names(flow.voice_names)
        outcome = SpeechOutcome(flow, self._calls, PROVIDER_PATH)
        headers = CIMultiDict({"Content-Type": wanted.format.content_type})
        try:
            async with while_client_waits(flow.client_connected, self._calls.transport.wheel):
                reply = await self._ask(wanted, outcome)
                if wanted.stream and _is_event_stream(reply):
                    return Reply(200, headers, await self._first_audio(reply, outcome))
                return Reply(200, headers, await self._all_audio(reply, wanted.answer_bytes_max(), outcome))
        except (ClientLeftError, asyncio.CancelledError):
            outcome.cut()
            raise

    async def _ask(self, wanted: SpeechRequest, outcome: SpeechOutcome) -> IncomingReply:
        accept = "text/event-stream, application/json" if wanted.stream else "application/json"
        fields = wanted.provider_fields()
        seconds = self._timeouts.first_byte_seconds
        request = self._calls.json_request(PROVIDER_PATH, fields, seconds, accept=accept)
        try:
            reply = await self._calls.transport.send(request)
        except TransportError as failure:
            raise outcome.lost(failure) from failure
        outcome.answered(reply)
        return reply

    async def _first_audio(self, reply: IncomingReply, outcome: SpeechOutcome) -> SpeechStream:
        stream = SpeechStream(reply.body, outcome, self._timeouts.idle_seconds)
        try:
            # The head of the answer has used up its part of the time already.
            await stream.wait_for_audio(self._timeouts.first_byte_seconds - outcome.seconds())
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def _all_audio(self, reply: IncomingReply, bytes_max: int, outcome: SpeechOutcome) -> bytes:
        """The audio of an answer in one piece, once it is known to be a success: a failure may carry audio too."""
        try:
            answer, audio = await self._whole_answers.read(reply, bytes_max)
        except TransportError as failure:
            raise outcome.lost(failure) from failure
        except ValueError as error:
            raise outcome.unusable(f"the audio of the answer: {error}") from error
        if answer.meaning is not None:
            raise outcome.refused(answer)
        if not audio:
            raise outcome.unusable("the answer has no audio")
        outcome.spoken(answer.fields)
        return audio


def _is_event_stream(reply: IncomingReply) -> bool:
    """Whether events follow: the rejection of a stream comes as JSON."""
    types = [value for name, value in reply.raw_headers if name.lower() == b"content-type"]
    return 200 <= reply.status < 300 and any(it.strip().lower().startswith(b"text/event-stream") for it in types)
