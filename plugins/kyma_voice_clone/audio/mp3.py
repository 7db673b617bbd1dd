"""How long an MP3 file plays: every frame header is visited, no frame count is believed.

Frame headers: ISO/IEC 11172-3 and 13818-3 (layer III), and the usual extension to 8-12 kHz ("MPEG 2.5").
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio.judgement import Measured, unreadable

LEAD_IN_BYTES_MAX: Final = 64 * 1024
"""How far behind the tags the first frame may begin: padding and stray bytes of bad taggers."""
CANDIDATES_MAX: Final = 4_096
"""How many places that look like a frame are tried before a file counts as broken."""
TAGS_MAX: Final = 64
_CHAIN_FRAMES: Final = 4
"""So many frames in a row make a beginning: random bytes do that less than once in a thousand million files."""
_RESYNC_FRAMES: Final = 3
_TRAILING_TAGS: Final = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")

_KBPS_V1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_V2: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES_HZ_V1: Final = (44_100, 48_000, 32_000)
_MONO: Final = 3

_SYNC: Final = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][^\xf0-\xff]", re.DOTALL)
_WORD: Final = struct.Struct(">I")


@dataclass(frozen=True)
class Stream:
    """What all frames of one stream share, and the frame sizes by the first three header bytes."""

    version_bits: int
    rate_hz: int
    frame_samples: int
    frame_bytes: dict[int, int]


def _streams() -> Iterator[Stream]:
    """Every (version, sampling rate) of layer III; the private and the checksum bit may vary within a stream."""
    for version_bits, divisor in ((3, 1), (2, 2), (0, 4)):
        kbps_table = _KBPS_V1 if version_bits == 3 else _KBPS_V2
        for rate_index, rate_v1_hz in enumerate(_RATES_HZ_V1):
            rate_hz, samples = rate_v1_hz // divisor, 1152 if version_bits == 3 else 576
            sizes = {}
            for bitrate_index, kbps in enumerate(kbps_table, 1):
                for low_bits in range(8):
                    padding, private, unprotected = low_bits & 1, low_bits >> 1 & 1, low_bits >> 2
                    word = 0xFFE200 | version_bits << 11 | unprotected << 8
                    word |= bitrate_index << 4 | rate_index << 2 | padding << 1 | private
                    sizes[word] = samples // 8 * kbps * 1000 // rate_hz + padding
            yield Stream(version_bits, rate_hz, samples, sizes)


_STREAM_OF: Final = {word: stream for stream in _streams() for word in stream.frame_bytes}


def after_tags(data: memoryview) -> int:
    """Where the bytes behind the ID3v2 tags begin (several may be stacked); a tag longer than the file is none."""
    position = 0
    for _ in range(TAGS_MAX):
        header = bytes(data[position : position + 10])
        if len(header) < 10 or header[:3] != b"ID3" or 0xFF in header[3:5] or max(header[6:]) > 0x7F:
            break
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        end = position + 10 + size + (10 if header[5] & 0x10 else 0)
        if end > len(data):
            break
        position = end
    return position


def find_first_frame(data: memoryview) -> int | None:
    """Where the first of several consistent frames begins, None where there is no such place near the beginning.

    A file of fewer frames counts when they begin right behind the tags and end with the file.
    """
    start = after_tags(data)
    window_end = min(len(data), start + LEAD_IN_BYTES_MAX)
    for tried, found in enumerate(_SYNC.finditer(data, start, window_end)):
        if tried >= CANDIDATES_MAX:
            break
        frames, end = _follow(data, found.start(), _CHAIN_FRAMES)
        if frames >= _CHAIN_FRAMES or (frames and found.start() == start and _is_end(data, end)):
            return found.start()
    return None


def begins_like_frame(data: memoryview) -> bool:
    """Whether the bytes behind the tags have the form of a layer III frame header, free-format ones included."""
    return _SYNC.match(data, after_tags(data)) is not None


def measure(data: memoryview) -> Measured:
    """The duration of the complete frames that are present, without an encoder's declared and consistent delay.

    A leading Xing, Info or VBRI frame holds no audio and is not counted. Raises GatewayError AUDIO_UNREADABLE.
    """
    first = find_first_frame(data)
    if first is None:
        raise unreadable("no sequence of MP3 frames was found in it")
    stream, size = _frame_at(data, first)
    assert stream is not None
    declared = _read_header_frame(data[first : first + size])
    position = first if declared is None else first + size
    duration, frames = _walk(data, position)
    rule = "frames counted"
    if declared is not None and declared.frames in (frames, frames + 1):
        trimmed = duration - Fraction(declared.trimmed_samples, stream.rate_hz)
        if declared.trimmed_samples and trimmed > 0:
            duration, rule = trimmed, "frames counted, encoder delay trimmed"
    return Measured(duration, rule, data[first:])


def _walk(data: memoryview, position: int) -> tuple[Fraction, int]:
    """Seconds and number of all complete frames from `position` on, over tags and garbage between them."""
    duration, frames, tried = Fraction(0), 0, 0
    while position < len(data):
        stream, size = _frame_at(data, position) if position + 4 <= len(data) else (None, 0)
        if stream is not None and position + size <= len(data):
            count, position = _run(data, position, stream)
            duration += Fraction(count * stream.frame_samples, stream.rate_hz)
            frames += count
        candidate = None
        for found in _SYNC.finditer(data, position):
            tried += 1
            if tried > CANDIDATES_MAX:
                raise unreadable("its MP3 frames are broken in too many places")
            if _follow(data, found.start(), _RESYNC_FRAMES)[0] >= _RESYNC_FRAMES:
                candidate = found.start()
                break
        if candidate is None:
            break
        position = candidate
    return duration, frames


def _run(data: memoryview, position: int, stream: Stream) -> tuple[int, int]:
    """Count complete frames of one stream; where the first byte behind them is. The hot loop of the judge."""
    frame_bytes, unpack = stream.frame_bytes.get, _WORD.unpack_from
    last, end, count = len(data) - 4, len(data), 0
    while position <= last:
        size = frame_bytes(unpack(data, position)[0] >> 8)
        if size is None or position + size > end:
            break
        position += size
        count += 1
    return count, position


def _follow(data: memoryview, position: int, frames_max: int) -> tuple[int, int]:
    """How many frames of one stream stand at `position`, up to `frames_max` complete ones, and where they end."""
    stream, _ = _frame_at(data, position)
    if stream is None:
        return 0, position
    frames = 0
    while frames < frames_max and position + 4 <= len(data):
        size = stream.frame_bytes.get(_WORD.unpack_from(data, position)[0] >> 8)
        if size is None or position + size > len(data):
            break
        position += size
        frames += 1
    return frames, position


def _frame_at(data: memoryview, position: int) -> tuple[Stream | None, int]:
    """The stream and the size in bytes of the frame whose header stands at `position`."""
    if position + 4 > len(data):
        return None, 0
    word = _WORD.unpack_from(data, position)[0] >> 8
    stream = _STREAM_OF.get(word)
    return (stream, stream.frame_bytes[word]) if stream else (None, 0)


def _is_end(data: memoryview, position: int) -> bool:
    return position == len(data) or bytes(data[position : position + 11]).startswith(_TRAILING_TAGS)


@dataclass(frozen=True, slots=True)
class _Declared:
    """What a Xing, Info or VBRI frame says: the count of frames that follow, and the samples that players trim."""

    frames: int | None
    trimmed_samples: int


def _read_header_frame(frame: memoryview) -> _Declared | None:
    """Read the Xing/Info tag (with LAME's extension) or the VBRI tag of a first frame; None for a frame of audio."""
    mono = frame[3] >> 6 == _MONO
    version_1 = frame[1] >> 3 & 3 == 3
    offset = 4 + ((17 if mono else 32) if version_1 else (9 if mono else 17))
    if bytes(frame[36:40]) == b"VBRI":
        return _Declared(None, 0)
    if bytes(frame[offset : offset + 4]) not in (b"Xing", b"Info") or len(frame) < offset + 8:
        return None
    flags = _WORD.unpack_from(frame, offset + 4)[0]
    fields = offset + 8
    frames = _WORD.unpack_from(frame, fields)[0] if flags & 1 and len(frame) >= fields + 4 else None
    lame = fields + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    extension = bytes(frame[lame : lame + 24])
    if len(extension) < 24 or extension[:4] not in (b"LAME", b"Lavf", b"Lavc"):
        return _Declared(frames, 0)
    packed = int.from_bytes(extension[21:24], "big")
    return _Declared(frames, (packed >> 12) + (packed & 0xFFF))
