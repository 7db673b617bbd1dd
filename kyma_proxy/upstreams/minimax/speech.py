"""Speech at MiniMax: one call of t2a_v2 for one request, whole or streamed. Nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from multidict import CIMultiDict

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import ClientLeftError, Flow, Reply, VoiceAtProvider
from kyma_proxy.settings.models import MiniMaxUpstreamSettings
from kyma_proxy.upstreams.errors import TransportError
from kyma_proxy.upstreams.minimax.calls import OPERATOR_FAULT, Calls
from kyma_proxy.upstreams.minimax.limits import RateLimits
from kyma_proxy.upstreams.minimax.speech_outcome import SpeechOutcome
from kyma_proxy.upstreams.minimax.speech_refusals import no_account
from kyma_proxy.upstreams.minimax.speech_request import SpeechRequest, read_speech_request
from kyma_proxy.upstreams.minimax.speech_stream import SpeechStream
from kyma_proxy.upstreams.minimax.whole_audio import WholeAnswers
from kyma_proxy.upstreams.presence import while_client_waits
from kyma_proxy.upstreams.transport import IncomingReply
from kyma_proxy.voices.provider import ProviderAccounts

SPEECH_PATH = "/v1/audio/speech"
PROVIDER_PATH = "/v1/t2a_v2"
_log = structlog.get_logger("kyma_proxy.upstreams.minimax")


class Voices:
    """Whose key speaks: the one that owns the voice; for the provider's own voices any, by weight."""

    def __init__(
        self, upstream: str, calls: Mapping[str, Calls], accounts: ProviderAccounts, limits: RateLimits
    ) -> None:
        self._upstream = upstream
        self._calls = calls
        self._accounts = accounts
        self._limits = limits

    def place(self, wanted: SpeechRequest, homes: Mapping[str, VoiceAtProvider]) -> tuple[str, SpeechRequest]:
        """The account to speak with, and the request with the ids that its voices have there.

        Raises GatewayError INVALID_REQUEST for voices of several accounts, PROVIDER_ERROR for a voice of an account
        that is not configured (any more).
        """
        own = {voice_id: homes[voice_id] for voice_id in wanted.voice_ids if voice_id in homes}
        if not own:
            has_room = partial(self._limits.has_room, wanted.model)
            return self._accounts.choose(has_room).provider_account, wanted
        owners = {(home.upstream, home.provider_account) for home in own.values()}
        if len(owners) > 1:
            message = "These voices live in different accounts at the speech provider and cannot be mixed."
            raise GatewayError(ErrorCode.INVALID_REQUEST, message)
        named = wanted.with_names({voice_id: home.provider_voice_id for voice_id, home in own.items()})
        ((upstream, account),) = owners
        if upstream == self._upstream and account in self._calls:
            return account, named
        if len(self._calls) == 1:
            # Voices that were adopted under other names than the configuration's: there is one account they can be of.
            return next(iter(self._calls)), named
        _log.error("voice_without_account", upstream=upstream, provider_account=account, voice_ids=sorted(own))
        next(iter(self._calls.values())).transport.count_failure(OPERATOR_FAULT)
        raise no_account()

    def calls_of(self, account: str) -> Calls:
        """How calls of an account are written down."""
        return self._calls[account]


class Speech:
    """Turns a checked request into audio."""

    def __init__(self, voices: Voices, limits: RateLimits, settings: MiniMaxUpstreamSettings) -> None:
        self._voices = voices
        self._limits = limits
        self._models = settings.models
        self._input_chars_max = settings.max_input_chars
        self._timeouts = settings.timeouts
        self._whole_answers = WholeAnswers()

    async def speak(self, flow: Flow, document: Mapping[str, Any]) -> Reply:
        """The audio that `document` asks for; whole, or as a stream once its first audio is there.

        Raises GatewayError for a request that cannot be honoured and for every failure of the provider before its
        first audio, ClientLeftError when the client left before: the call is then ended.
        """
        wanted = read_speech_request(document, self._models, self._input_chars_max)
        account, wanted = self._voices.place(wanted, flow.voices_at_provider)
        calls = self._voices.calls_of(account)
        headers = CIMultiDict({"Content-Type": wanted.format.content_type})
        account_id = None if flow.identity is None else flow.identity.account_id
        async with while_client_waits(flow.client_connected, calls.transport.wheel):
            await self._limits.admit(wanted.model, account, account_id)
        outcome = SpeechOutcome(flow, calls, PROVIDER_PATH)
        try:
            async with while_client_waits(flow.client_connected, calls.transport.wheel):
                reply = await self._ask(calls, wanted, outcome)
                if wanted.stream and _is_event_stream(reply):
                    return Reply(200, headers, await self._first_audio(reply, outcome))
                return Reply(200, headers, await self._all_audio(reply, wanted.answer_bytes_max(), outcome))
        except (ClientLeftError, asyncio.CancelledError):
            outcome.cut()
            raise

    async def _ask(self, calls: Calls, wanted: SpeechRequest, outcome: SpeechOutcome) -> IncomingReply:
        accept = "text/event-stream, application/json" if wanted.stream else "application/json"
        fields = wanted.provider_fields()
        seconds = self._timeouts.first_byte_seconds
        request = calls.json_request(PROVIDER_PATH, fields, seconds, accept=accept)
        try:
            reply = await calls.transport.send(request)
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
