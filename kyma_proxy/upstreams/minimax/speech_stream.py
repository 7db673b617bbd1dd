"""Speech as it is spoken: the provider's events in, plain audio out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from kyma_proxy.errors import GatewayError
from kyma_proxy.upstreams.bodies import ReplyBody
from kyma_proxy.upstreams.errors import FailureKind, Limit, TransportError
from kyma_proxy.upstreams.minimax.speech_outcome import SpeechOutcome
from kyma_proxy.upstreams.minimax.sse import EventReader, EventTooLongError
from kyma_proxy.upstreams.minimax.wire import audio_of, closes_stream, read_event

EVENT_BYTES_MAX = 32 * 1024 * 1024
"""Above the closing event of the longest text, which repeats all of the audio when the provider likes to."""
END_SECONDS = 0.05
"""How long the end of the answer is waited for after its closing event, so that its connection can be used again."""


class SpeechStream:
    """Audio in the pieces in which the provider sends it (a ReplyStream).

    It ends only after the closing event. Iterating raises GatewayError when the provider reports a failure, sends what
    cannot be read, sends no audio for `idle_seconds` or breaks off: the client's connection is then cut, since a clean
    end would make a part pass for the whole.
    """

    def __init__(self, body: ReplyBody, outcome: SpeechOutcome, idle_seconds: float) -> None:
        self._body = body
        self._outcome = outcome
        self._idle_seconds = idle_seconds
        self._events = EventReader(EVENT_BYTES_MAX)
        self._pieces: deque[bytes] = deque()
        self._failure: GatewayError | None = None
        self._closed = False

    async def wait_for_audio(self, seconds: float) -> None:
        """Wait until there is audio to send, so that a failure before it can still be answered properly.

        Raises GatewayError if the provider fails, ends without any audio, or has sent none within `seconds`.
        """
        await self._fill_within(seconds, "first_byte")
        if self._pieces:
            self._outcome.audio_began()
        elif self._failure is None:
            self._fail(self._outcome.unusable("the stream has no audio"))
        if self._failure is not None and not self._pieces:
            raise self._failure

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await self._fill_within(self._idle_seconds, "idle")
        if self._pieces:
            return self._pieces.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the provider's work if it goes on, otherwise give the connection back if the answer has ended."""
        try:
            if self._closed:
                await self._read_end()
        finally:
            self._outcome.cut()
            await self._body.aclose()

    async def _fill_within(self, seconds: float, limit: Limit) -> None:
        """Fill in time: comments and events without audio do not count as signs of life."""
        try:
            async with asyncio.timeout(seconds):
                await self._fill()
        except TimeoutError:
            self._fail(self._outcome.lost(TransportError(FailureKind.SILENT, "no audio came in time", limit)))

    async def _fill(self) -> None:
        """Read on until there is a piece, the end or a failure."""
        while not self._pieces and not self._closed and self._failure is None:
            try:
                chunk = await anext(self._body, None)
            except TransportError as failure:
                self._fail(self._outcome.lost(failure))
            else:
                self._read(chunk)

    def _read(self, chunk: bytes | None) -> None:
        """Take the events that these bytes complete; None is the end of the answer."""
        try:
            for event in self._events.end() if chunk is None else self._events.feed(chunk):
                self._take(event)
        except EventTooLongError as error:
            self._fail(self._outcome.unusable(str(error)))
        if chunk is None and not self._closed:
            self._fail(self._outcome.lost(TransportError(FailureKind.BROKEN, "the stream has no closing event")))

    def _take(self, event: bytes) -> None:
        """One event. Whether it is a failure is asked first: a failure may carry audio that was never spoken."""
        if self._closed or self._failure is not None:
            return
        answer = read_event(event)
        if answer.meaning is not None:
            self._fail(self._outcome.refused(answer))
        elif closes_stream(answer.fields):
            # Its audio, if any, was all sent before, and for MP3 not even in the same bytes.
            self._closed = True
            self._outcome.spoken(answer.fields)
        else:
            try:
                piece = audio_of(answer.fields)
            except ValueError as error:
                self._fail(self._outcome.unusable(f"the audio of an event: {error}"))
            else:
                self._pieces.extend([piece] if piece else [])

    def _fail(self, error: GatewayError) -> None:
        if self._failure is None:
            self._failure = error

    async def _read_end(self) -> None:
        try:
            async with asyncio.timeout(END_SECONDS):
                while await anext(self._body, None) is not None:
                    pass
        except (TimeoutError, TransportError):
            return
