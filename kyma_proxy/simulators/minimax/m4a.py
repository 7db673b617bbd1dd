"""Duration of an M4A file, plain or in fragments, by ISO/IEC 14496-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_BOXES_MAX = 100_000


@dataclass(slots=True)
class _Track:
    """What the boxes of the audio track add up to."""

    track_id: int = 0
    timescale: int = 0
    is_audio: bool = False
    ticks: int = 0
    sample_bytes: int = 0


def m4a_seconds(data: bytes) -> float | None:
    """Seconds of the audio track's samples; those whose bytes were cut off do not count. None if it has none."""
    try:
        return _seconds(data)
    except struct.error:
        return None


def _seconds(data: bytes) -> float | None:
    top = list(_boxes(data, 0, len(data)))
    track, default_ticks, media_bytes, fragment_ticks = None, 0, 0, 0
    for kind, start, end in top:
        if kind == b"moov":
            track = _audio_track(data, start, end)
            default_ticks = _default_ticks(data, start, end)
        elif kind == b"mdat":
            media_bytes += end - start
        elif kind == b"moof" and track is not None:
            fragment_ticks += _fragment_ticks(data, start, end, (track.track_id, default_ticks))
    if track is None or not track.timescale or not media_bytes:
        return None
    present = min(1.0, media_bytes / track.sample_bytes) if track.sample_bytes else 1.0
    return (track.ticks * present + fragment_ticks) / track.timescale or None


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box in a range; a box that is cut off ends with the range."""
    for _ in range(_BOXES_MAX):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        elif size == 0:
            size = end - start
        if size < head:
            return
        yield kind, start + head, min(start + size, end)
        start += size


def _audio_track(data: bytes, start: int, end: int) -> _Track | None:
    for kind, trak_start, trak_end in _boxes(data, start, end):
        if kind == b"trak":
            track = _Track()
            _read_track(data, trak_start, trak_end, track)
            if track.is_audio:
                return track
    return None


def _read_track(data: bytes, start: int, end: int, track: _Track) -> None:
    for kind, at, stop in _boxes(data, start, end):
        long_form = 1 if data[at : at + 1] == b"\x01" else 0
        if kind in (b"mdia", b"minf", b"stbl"):
            _read_track(data, at, stop, track)
        elif kind == b"tkhd":
            track.track_id = struct.unpack_from(">I", data, at + (20 if long_form else 12))[0]
        elif kind == b"mdhd":
            track.timescale = struct.unpack_from(">I", data, at + (20 if long_form else 12))[0]
        elif kind == b"hdlr":
            track.is_audio = data[at + 8 : at + 12] == b"soun"
        elif kind == b"stts":
            entries = struct.iter_unpack(">II", data[at + 8 : at + 8 + (stop - at - 8) // 8 * 8])
            track.ticks = sum(count * ticks for count, ticks in entries)
        elif kind == b"stsz":
            size, count = struct.unpack_from(">II", data, at + 4)
            table = data[at + 12 : at + 12 + min(count * 4, (stop - at - 12) // 4 * 4)]
            track.sample_bytes = size * count or sum(entry for (entry,) in struct.iter_unpack(">I", table))


def _default_ticks(data: bytes, start: int, end: int) -> int:
    """The duration that samples of fragments have unless the fragment says otherwise (`mvex/trex`)."""
    for kind, at, stop in _boxes(data, start, end):
        if kind == b"mvex":
            for inner, trex, _ in _boxes(data, at, stop):
                if inner == b"trex":
                    return int(struct.unpack_from(">I", data, trex + 12)[0])
    return 0


def _fragment_ticks(data: bytes, start: int, end: int, defaults: tuple[int, int]) -> int:
    ticks = 0
    track_id, default_ticks = defaults
    for kind, at, stop in _boxes(data, start, end):
        if kind == b"traf":
            ticks += _track_fragment_ticks(data, at, stop, (track_id, default_ticks))
    return ticks


def _track_fragment_ticks(data: bytes, start: int, end: int, defaults: tuple[int, int]) -> int:
    ticks = 0
    track_id, default_ticks = defaults
    for kind, at, _ in _boxes(data, start, end):
        flags = int.from_bytes(data[at + 1 : at + 4], "big")
        if kind == b"tfhd":
            if struct.unpack_from(">I", data, at + 4)[0] != track_id:
                return 0
            if flags & 0x08:
                skipped = 8 * bool(flags & 0x01) + 4 * bool(flags & 0x02)
                default_ticks = struct.unpack_from(">I", data, at + 8 + skipped)[0]
        elif kind == b"trun":
            ticks += _run_ticks(data, at, flags, default_ticks)
    return ticks


def _run_ticks(data: bytes, at: int, flags: int, default_ticks: int) -> int:
    count = struct.unpack_from(">I", data, at + 4)[0]
    if not flags & 0x100:
        return int(count * default_ticks)
    entry_bytes = 4 * (flags >> 8 & 15).bit_count()
    first = at + 8 + 4 * bool(flags & 0x01) + 4 * bool(flags & 0x04)
    readable = min(count, max(0, len(data) - first) // entry_bytes)
    return sum(struct.unpack_from(">I", data, first + index * entry_bytes)[0] for index in range(readable))
