"""How long an MP3 file plays: every frame header is visited, no frame count is believed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.judgement import Measured, unreadable
from kyma_voice_clone.audio.mpeg import CANDIDATES_MAX, SYNC, Frames
from kyma_voice_clone.audio.tags import after_padding, after_tags

_RESYNC_FRAMES: Final = 3
"""Fewer frames in a row behind garbage are garbage too."""
_MONO: Final = 3
_WORD: Final = struct.Struct(">I")
_ENCODERS: Final = (b"LAME", b"Lavf", b"Lavc")
"""Whose extension of the Xing frame says how many samples the encoder put in front and behind."""


def measure(data: memoryview, deadline: Deadline) -> Measured:
    """The duration of the complete frames that are present, without an encoder's declared and consistent delay.

    A leading Xing, Info or VBRI frame holds no audio and is not counted. Raises GatewayError AUDIO_UNREADABLE.
    """
    frames = Frames(data)
    found = frames.first(after_padding(data, after_tags(data)))
    if found is None or not found[1].is_mp3:
        raise unreadable("no sequence of MP3 frames was found in it")
    first, stream = found
    _, size = frames.at(first)
    declared = _read_header_frame(data[first : first + size])
    duration, count = _walk(frames, first if declared is None else first + size, deadline)
    rule = "frames counted"
    if declared is not None and declared.frames in (count, count + 1):
        trimmed = duration - Fraction(declared.trimmed_samples, stream.rate_hz)
        if declared.trimmed_samples and trimmed > 0:
            duration, rule = trimmed, "frames counted, encoder delay trimmed"
    return Measured(duration, rule, data[first:])


def _walk(frames: Frames, position: int, deadline: Deadline) -> tuple[Fraction, int]:
    """Seconds and number of all complete frames from `position` on, over tags and garbage between them."""
    duration, total, tried = Fraction(0), 0, 0
    while position < len(frames.data):
        stream, size = frames.at(position)
        if stream is not None and stream.is_mp3 and position + size <= len(frames.data):
            count, position = frames.count(position, stream)
            duration += Fraction(count * stream.frame_samples, stream.rate_hz)
            total += count
        next_run = None
        for found in SYNC.finditer(frames.data, position):
            tried += 1
            deadline.check()
            if tried > CANDIDATES_MAX:
                raise unreadable("its MP3 frames are broken in too many places")
            if frames.follow(found.start(), _RESYNC_FRAMES)[0] >= _RESYNC_FRAMES:
                next_run = found.start()
                break
        if next_run is None:
            break
        position = next_run
    return duration, total


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
    if len(extension) < 24 or extension[:4] not in _ENCODERS:
        return _Declared(frames, 0)
    packed = int.from_bytes(extension[21:24], "big")
    return _Declared(frames, (packed >> 12) + (packed & 0xFFF))
