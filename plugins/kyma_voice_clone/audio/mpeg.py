"""MPEG audio frames: how long each is, and where a sequence of them begins.

Frame headers: ISO/IEC 11172-3 and 13818-3 (layers I to III), and the usual extension to 8-12 kHz ("MPEG 2.5").
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

CHAIN_FRAMES: Final = 4
"""So many frames in a row make a beginning: random bytes do that less than once in a thousand million files."""
CANDIDATES_MAX: Final = 4_096
"""How many places that look like a frame are tried before a file counts as broken."""
LEAD_IN_BYTES_MAX: Final = 64 * 1024
"""How far behind the tags the first frame may begin: stray bytes of bad taggers and stream recorders."""
_FREE_BYTES_MAX: Final = 8 * 1024
"""The longest frame of a free-format stream that is looked for: 640 kbit/s at 8 kHz and a bit."""
_FREE_ATTEMPTS_MAX: Final = 32
_FREE_DISTANCES_MAX: Final = 64

_VERSION_1: Final = 3
_LAYER_III: Final = 1
_KBPS: Final = {
    (True, 3): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by "is version 1" and the layer bits: 3 is layer I, 2 layer II, 1 layer III."""
_RATES_HZ_V1: Final = (44_100, 48_000, 32_000)
_DIVISOR: Final = {_VERSION_1: 1, 2: 2, 0: 4}
"""What a version's sampling rates are divided by; 2 is MPEG 2, 0 MPEG 2.5."""

SYNC: Final = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]", re.DOTALL)
"""What the header of a layer III frame looks like."""
_ANY_SYNC: Final = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][^\xf0-\xff]", re.DOTALL)
_WORD: Final = struct.Struct(">I")


@dataclass(frozen=True)
class Stream:
    """What all frames of one stream share, and the frame sizes by the first three header bytes."""

    layer_bits: int
    rate_hz: int
    frame_samples: int
    frame_bytes: dict[int, int]

    @property
    def is_mp3(self) -> bool:
        """Whether it is layer III."""
        return self.layer_bits == _LAYER_III


def _words(version_bits: int, layer_bits: int, bitrate_index: int, rate_index: int) -> Iterator[tuple[int, int]]:
    """The first three bytes of every frame header of a kind, and its padding: other bits vary within a stream."""
    for low_bits in range(8):
        padding, private, unprotected = low_bits & 1, low_bits >> 1 & 1, low_bits >> 2
        word = 0xFFE000 | version_bits << 11 | layer_bits << 9 | unprotected << 8
        yield word | bitrate_index << 4 | rate_index << 2 | padding << 1 | private, padding


def _frame_samples(version_bits: int, layer_bits: int) -> int:
    if layer_bits == 3:
        return 384
    return 1152 if layer_bits == 2 or version_bits == _VERSION_1 else 576


def _streams() -> Iterator[Stream]:
    """Every (version, layer, sampling rate) of MPEG audio."""
    for version_bits, divisor in _DIVISOR.items():
        for layer_bits in (1, 2, 3):
            kbps_table = _KBPS[version_bits == _VERSION_1, layer_bits]
            samples = _frame_samples(version_bits, layer_bits)
            slot_bytes = 4 if layer_bits == 3 else 1
            for rate_index, rate_v1_hz in enumerate(_RATES_HZ_V1):
                rate_hz = rate_v1_hz // divisor
                sizes = {
                    word: (samples // 8 * kbps * 1000 // rate_hz // slot_bytes + padding) * slot_bytes
                    for bitrate_index, kbps in enumerate(kbps_table, 1)
                    for word, padding in _words(version_bits, layer_bits, bitrate_index, rate_index)
                }
                yield Stream(layer_bits, rate_hz, samples, sizes)


_STREAM_OF: Final = {word: stream for stream in _streams() for word in stream.frame_bytes}


class Frames:
    """The frames of one file, a free-format stream included once its frame size has been found."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._free: Stream | None = None
        self._free_attempts = 0

    def first(self, start: int) -> tuple[int, Stream] | None:
        """Where the first of several consistent frames of any layer begins, at most `LEAD_IN_BYTES_MAX` behind `start`.

        A file of fewer frames counts when they begin at `start` and end with the file or with a tag.
        """
        for tried, found in enumerate(_ANY_SYNC.finditer(self.data, start, start + LEAD_IN_BYTES_MAX)):
            if tried >= CANDIDATES_MAX:
                break
            position = found.start()
            stream, _ = self.at(position)
            if stream is None:
                stream = self._find_free(position)
            if stream is None:
                continue
            frames, end = self.follow(position, CHAIN_FRAMES)
            if frames >= CHAIN_FRAMES or (frames and position == start and self._is_end(end)):
                return position, stream
        return None

    def at(self, position: int) -> tuple[Stream | None, int]:
        """The stream and the size in bytes of the frame whose header stands at `position`."""
        if position + 4 > len(self.data):
            return None, 0
        word = _WORD.unpack_from(self.data, position)[0] >> 8
        stream = _STREAM_OF.get(word)
        if stream is None and self._free is not None and word in self._free.frame_bytes:
            stream = self._free
        return (stream, stream.frame_bytes[word]) if stream else (None, 0)

    def follow(self, position: int, frames_max: int) -> tuple[int, int]:
        """How many complete frames of one stream stand at `position`, up to `frames_max`, and where they end."""
        stream, _ = self.at(position)
        if stream is None:
            return 0, position
        return _follow(self.data, position, stream, frames_max)

    def count(self, position: int, stream: Stream) -> tuple[int, int]:
        """Count all complete frames of one stream from `position` on; where they end. The hot loop of the judge."""
        sizes, unpack, data = stream.frame_bytes, _WORD.unpack_from, self.data
        count = size = 0
        try:
            while True:
                size = sizes[unpack(data, position)[0] >> 8]
                position += size
                count += 1
        except (KeyError, struct.error):
            # The first bytes that are no header of this stream, or the end of the file.
            pass
        return (count - 1, position - size) if position > len(data) else (count, position)

    def _is_end(self, position: int) -> bool:
        rest = bytes(self.data[position : position + 11])
        return not rest or rest.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN"))

    def _find_free(self, position: int) -> Stream | None:
        """The stream of a header that names no bit rate: the distance to its like tells how long its frames are.

        ISO/IEC 11172-3, section 2.4.2.3 ("free format"): the rate is any, and constant but for the padding.
        """
        if self._free is not None or self._free_attempts >= _FREE_ATTEMPTS_MAX or position + 4 > len(self.data):
            return None
        word = _WORD.unpack_from(self.data, position)[0] >> 8
        version_bits, layer_bits, rate_index = word >> 11 & 3, word >> 9 & 3, word >> 2 & 3
        if word & 0xF0 or layer_bits != _LAYER_III or rate_index == 3:
            return None
        self._free_attempts += 1
        words = list(_words(version_bits, layer_bits, 0, rate_index))
        samples, rate_hz = _frame_samples(version_bits, layer_bits), _RATES_HZ_V1[rate_index] // _DIVISOR[version_bits]
        first_two, third = bytes(self.data[position : position + 2]), word & 0xFC
        alike = re.compile(re.escape(first_two) + b"[" + bytes((third, 0x2D, third + 3)) + b"]")
        for tried, found in enumerate(alike.finditer(self.data, position + 24, position + _FREE_BYTES_MAX)):
            size = found.start() - position - (word >> 1 & 1)
            stream = Stream(layer_bits, rate_hz, samples, {each: size + padding for each, padding in words})
            if _follow(self.data, position, stream, CHAIN_FRAMES)[0] >= CHAIN_FRAMES:
                self._free = stream
                return stream
            if tried >= _FREE_DISTANCES_MAX:
                break
        return None


def _follow(data: memoryview, position: int, stream: Stream, frames_max: int) -> tuple[int, int]:
    frames = 0
    while frames < frames_max and position + 4 <= len(data):
        size = stream.frame_bytes.get(_WORD.unpack_from(data, position)[0] >> 8)
        if size is None or position + size > len(data):
            break
        position += size
        frames += 1
    return frames, position
