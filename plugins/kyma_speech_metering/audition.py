"""Audio on its way to a client, watched until the first frame of it has passed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from kyma_proxy.api import ReplyStream
from kyma_speech_metering.frames import FirstFrame


class WatchedAudio:
    """A stream of audio that passes as it is (a ReplyStream)."""

    def __init__(self, audio: ReplyStream, first: FirstFrame) -> None:
        self._audio = audio
        self._pieces = aiter(audio)
        self._first = first

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        if self._first.watching:
            self._first.feed(piece)
        return piece

    async def aclose(self) -> None:
        """Release what is behind the stream."""
        await self._audio.aclose()
