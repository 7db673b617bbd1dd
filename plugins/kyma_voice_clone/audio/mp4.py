"""How long an M4A file plays: its audio units that are present, timed by what the codec makes of each.

Box layout: ISO/IEC 14496-12. The time tables refine the result within a few units, which is what an encoder's delay
and padding come to; beyond that they are a claim, and the units decide. An edit list takes away, and never adds.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio.boxes import Box, Boxes
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.judgement import Measured, unreadable, unsupported
from kyma_voice_clone.audio.mp4_codec import Unit, read_unit
from kyma_voice_clone.audio.mp4_edits import played_units, read_edits, read_gapless
from kyma_voice_clone.audio.mp4_units import Defaults, Present, count_fragment, count_tables, time_rows

_AUDIO_BRAND: Final = b"M4A "
"""The brand that says audio: a picture track in such a file is cover art."""
_TRIM_UNITS_MAX: Final = 5
"""Encoder delay and padding: 2112 samples for AAC, twice that with band replication, and a unit at the end."""
_HEADER_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Track:
    """The boxes of a track that the duration comes from."""

    id: int
    box: Box
    media: Box
    handler: bytes


def measure(data: memoryview, deadline: Deadline) -> Measured:
    """The duration of the first audio track.

    Raises GatewayError: AUDIO_UNREADABLE, or UNSUPPORTED_FORMAT for a video, another codec, or a file without audio.
    """
    boxes = Boxes(data, deadline)
    movie = next((box for box in boxes.within(0, len(data)) if box.name == b"moov"), None)
    if movie is None:
        raise unreadable("its index (`moov`) is missing")
    track = _audio_track(boxes, movie, is_audio_brand=bytes(data[8:12]) == _AUDIO_BRAND)
    sample_table = boxes.get(track.media, b"minf", b"stbl")
    unit = read_unit(boxes, boxes.get(sample_table, b"stsd"))

    present = Present(len(data), (movie.offset, movie.end))
    count_tables(boxes, sample_table, present)
    defaults = _defaults(boxes, movie, track.id)
    for box in boxes.within(movie.end, len(data), strays=True):
        if box.end > len(data) or present.cut:
            break
        if box.name == b"moof":
            count_fragment(boxes, box, track.id, defaults, present)
    if not present.units:
        raise unreadable("none of its audio is in the file")
    duration, rule = _duration(boxes, movie, track, unit, present)
    return Measured(duration, rule, _header(boxes, track, sample_table))


def _audio_track(boxes: Boxes, movie: Box, *, is_audio_brand: bool) -> _Track:
    tracks = []
    for box in boxes.children(movie):
        if box.name == b"trak":
            media = boxes.get(box, b"mdia")
            handler_box = boxes.get(media, b"hdlr")
            handler = struct.pack(">I", boxes.number(handler_box, 8))
            track_header = boxes.get(box, b"tkhd")
            version = boxes.number(track_header, 0) >> 24
            track_id = boxes.number(track_header, 20 if version else 12)
            tracks.append(_Track(track_id, box, media, handler))
    if any(track.handler == b"vide" for track in tracks) and not is_audio_brand:
        raise unsupported("a video (MP4)")
    for track in tracks:
        if track.handler == b"soun":
            return track
    if movie.end > len(boxes.data):
        raise unreadable("its index (`moov`) is cut short")
    raise unsupported("an MP4 container without audio")


def _defaults(boxes: Boxes, movie: Box, track_id: int) -> Defaults:
    extends = boxes.find(movie, b"mvex")
    for box in boxes.children(extends) if extends else ():
        if box.name == b"trex" and boxes.number(box, 4) == track_id:
            return Defaults(boxes.number(box, 12), boxes.number(box, 16))
    return Defaults(0, 0)


def _duration(boxes: Boxes, movie: Box, track: _Track, unit: Unit, present: Present) -> tuple[Fraction, str]:
    """Seconds by the units; of them what the edit list plays, and by the time tables within what encoders trim."""
    by_units = present.units * unit.seconds
    header = boxes.get(track.media, b"mdhd")
    ticks_per_second = boxes.number(header, 20 if boxes.number(header, 0) >> 24 else 12)
    if not ticks_per_second or not present.ticks:
        return by_units, "audio units counted"
    by_table = Fraction(present.ticks, ticks_per_second)
    trim_max = min(by_units, _TRIM_UNITS_MAX * unit.seconds)
    edits = read_edits(boxes, movie, track.box, ticks_per_second)
    rule = "audio units counted"
    if not by_units - trim_max < by_table <= by_units:
        rule = "audio units counted, time table contradicts"
        rows = time_rows(boxes, boxes.get(track.media, b"minf", b"stbl"), present)
        played = played_units(edits, rows, present.units, ticks_per_second) * unit.seconds if edits else by_units
    elif edits:
        played = sum((edit.seconds_of(by_table) for edit in edits), Fraction(0))
    else:
        gapless = Fraction(read_gapless(boxes, movie), unit.rate_hz)
        played = by_units - gapless if 0 < gapless < trim_max else by_table
    if played == by_units:
        return played, rule
    if by_units - trim_max < played < by_units:
        return played, f"{rule}, encoder delay trimmed"
    return played, f"{rule}, edit list followed"


def _header(boxes: Boxes, track: _Track, sample_table: Box) -> bytes:
    """A small file of the boxes that mutagen needs for a duration: it recurses, and reads whatever size it is told."""

    def copy(parent: Box, name: bytes) -> bytes:
        box = boxes.get(parent, name)
        return bytes(boxes.data[box.offset : box.end]) if box.end - box.offset <= _HEADER_BYTES_MAX else b""

    def wrap(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", len(content) + 8, name) + content

    described = wrap(b"minf", wrap(b"stbl", copy(sample_table, b"stsd")))
    media = wrap(b"mdia", copy(track.media, b"mdhd") + copy(track.media, b"hdlr") + described)
    return wrap(b"moov", wrap(b"trak", media))
