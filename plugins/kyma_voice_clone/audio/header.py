"""What a recording's header claims, read by mutagen: a second opinion for the log, never the verdict."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

from kyma_voice_clone.audio.judgement import Format

HEADER_BYTES_MAX: Final = 512 * 1024
"""A header longer than this is not read a second time."""


class ViewFile(io.RawIOBase):
    """A seekable file over memory that is not copied; a single read is bounded by what is there."""

    def __init__(self, data: memoryview | bytes) -> None:
        self._data = memoryview(data)
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, also behind the end; the new position. Raises OSError before the beginning."""
        position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence] + offset
        if position < 0:
            raise OSError("seek before the beginning")
        self._position = position
        return position

    def tell(self) -> int:
        """The position in bytes."""
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes, all that follow when it is negative or None."""
        end = len(self._data) if size is None or size < 0 else self._position + size
        piece = bytes(self._data[self._position : end])
        self._position += len(piece)
        return piece


# mutagen is loaded when a recording first wants its opinion: a gateway that has seen none is smaller by that much.
def _wav_seconds(file: io.RawIOBase) -> float:
    from mutagen.wave import WaveStreamInfo

    return float(WaveStreamInfo(file).length)


def _mp3_seconds(file: io.RawIOBase) -> float:
    from mutagen.mp3 import MPEGInfo

    return float(MPEGInfo(file, 0).length)


def _m4a_seconds(file: io.RawIOBase) -> float:
    from mutagen.mp4 import MP4

    read: Callable[[io.RawIOBase], Any] = MP4
    return float(read(file).info.length)


_READERS: Final[Mapping[Format, Callable[[io.RawIOBase], float]]] = {
    "wav": _wav_seconds,
    "mp3": _mp3_seconds,
    "m4a": _m4a_seconds,
}


def header_seconds(audio_format: Format, header: memoryview | bytes) -> float | None:
    """The duration that the header claims, in seconds; None where mutagen reads none.

    `header` is what our own walk found sane: an MP3 from its first frame on (mutagen reads a few frames and the size),
    a WAV up to its first audio byte, an M4A's description alone. Whole files would let mutagen recurse and inflate.
    """
    if audio_format != "mp3" and len(header) > HEADER_BYTES_MAX:
        return None
    try:
        seconds = _READERS[audio_format](ViewFile(header))
    except Exception:  # noqa: BLE001 - a third-party parser on a stranger's bytes, asked for an opinion only
        return None
    return seconds if 0 < seconds < float("inf") else None
