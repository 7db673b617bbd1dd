"""How long an M4A file plays: its audio units that are present, timed by what the codec makes of each.

Box layout: ISO/IEC 14496-12. The time tables and the edit list only refine the result within a few units, which is what
an encoder's delay and padding come to; beyond that they are a claim, and the units decide.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio.boxes import Box, Boxes
from kyma_voice_clone.audio.judgement import Measured, unreadable, unsupported
from kyma_voice_clone.audio.mp4_codec import Unit, read_unit
from kyma_voice_clone.audio.mp4_units import Defaults, Present, count_fragment, count_tables

_AUDIO_BRANDS: Final = (b"M4A ", b"M4B ")
"""Brands that say audio: a picture track in such a file is cover art or chapters."""
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


def measure(data: memoryview) -> Measured:
    """The duration of the first audio track.

    Raises GatewayError: AUDIO_UNREADABLE, or UNSUPPORTED_FORMAT for a video, AMR, or a file without audio.
    """
    boxes = Boxes(data)
    movie = next((box for box in boxes.within(0, len(data)) if box.name == b"moov"), None)
    if movie is None or movie.end > len(data):
        raise unreadable("its index (`moov`) is missing or cut short")
    track = _audio_track(boxes, movie, is_audio_brand=bytes(data[8:12]) in _AUDIO_BRANDS)
    sample_table = boxes.get(track.media, b"minf", b"stbl")
    unit = read_unit(boxes, boxes.get(sample_table, b"stsd"))

    present = Present(len(data))
    count_tables(boxes, sample_table, present)
    defaults = _defaults(boxes, movie, track.id)
    for box in boxes.within(movie.end, len(data)):
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
    raise unsupported("an MP4 container without audio")


def _defaults(boxes: Boxes, movie: Box, track_id: int) -> Defaults:
    extends = boxes.find(movie, b"mvex")
    for box in boxes.children(extends) if extends else ():
        if box.name == b"trex" and boxes.number(box, 4) == track_id:
            return Defaults(boxes.number(box, 12), boxes.number(box, 16))
    return Defaults(0, 0)


def _duration(boxes: Boxes, movie: Box, track: _Track, unit: Unit, present: Present) -> tuple[Fraction, str]:
    """Seconds by the units; by the time tables and the edit list where they stay within what encoders trim."""
    by_units = present.units * unit.seconds
    header = boxes.get(track.media, b"mdhd")
    ticks_per_second = boxes.number(header, 20 if boxes.number(header, 0) >> 24 else 12)
    if not ticks_per_second:
        return by_units, "audio units counted"
    by_tables = _edited(boxes, movie, track, present.ticks, ticks_per_second)
    if by_tables == by_units:
        return by_units, "audio units counted"
    if max(Fraction(0), by_units - _TRIM_UNITS_MAX * unit.seconds) < by_tables < by_units:
        return by_tables, "audio units counted, encoder delay trimmed"
    return by_units, "audio units counted, time table contradicts"


def _edited(boxes: Boxes, movie: Box, track: _Track, ticks: int, ticks_per_second: int) -> Fraction:
    """Seconds of the media that the edit list presents: from its start, for at most its length (0 is all)."""
    whole = Fraction(ticks, ticks_per_second)
    edits = boxes.find(track.box, b"edts", b"elst")
    movie_header = boxes.find(movie, b"mvhd")
    if edits is None or movie_header is None:
        return whole
    movie_rate = boxes.number(movie_header, 20 if boxes.number(movie_header, 0) >> 24 else 12)
    wide = boxes.number(edits, 0) >> 24 == 1
    form = ">Qqi" if wide else ">Iii"
    count = boxes.number(edits, 4)
    if not 1 <= count <= 2 or edits.start + 8 + count * struct.calcsize(form) > edits.end or not movie_rate:
        return whole
    rows = [struct.unpack_from(form, boxes.data, edits.start + 8 + n * struct.calcsize(form)) for n in range(count)]
    shown = [(length, media_start) for length, media_start, _ in rows if media_start >= 0]
    if len(shown) != 1:
        return whole
    length: int = shown[0][0]
    media_start: int = shown[0][1]
    rest = whole - Fraction(media_start, ticks_per_second)
    tick = Fraction(1, movie_rate)
    # The length is rounded to the movie's coarser ticks: within one of them the media's own are exact.
    if length and length * tick + tick <= rest:
        return length * tick
    return rest


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
