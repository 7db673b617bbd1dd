"""Audio that is watched passes as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kyma_speech_metering.audition import WatchedAudio
from kyma_speech_metering.frames import FirstFrame


class Audio:
    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = list(pieces)
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed += 1


async def test_pieces_pass_and_the_first_frame_is_noted() -> None:
    audio, first = Audio(b"a", b"bc", b"", b"d"), FirstFrame("audio/pcm")
    watched = WatchedAudio(audio, first)
    assert [piece async for piece in watched] == [b"a", b"bc", b"", b"d"]
    assert first.end == 2
    await watched.aclose()
    assert audio.closed == 1


async def test_a_failure_passes() -> None:
    watched = WatchedAudio(Audio(b"a", OSError("broken")), FirstFrame("audio/pcm"))
    assert await anext(watched) == b"a"
    with pytest.raises(OSError, match="broken"):
        await anext(watched)
