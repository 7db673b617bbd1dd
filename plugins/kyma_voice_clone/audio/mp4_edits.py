"""Which part of an M4A track is played: its edit list, or the delay and padding that iTunes notes down.

ISO/IEC 14496-12, section 8.6.6 (`elst`). `iTunSMPB` is Apple's, and holds hexadecimal numbers in text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio.boxes import Box, Boxes
from kyma_voice_clone.audio.judgement import unreadable

_ROW: Final = struct.Struct(">Iii")
_WIDE_ROW: Final = struct.Struct(">Qqi")
EDITS_MAX: Final = 64
_GAPLESS: Final = re.compile(rb"iTunSMPB.{0,32}? [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{16})", re.S)
_NOTES_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Edit:
    """One row of an edit list: a stretch of the media, both ends in seconds; to its end without a length."""

    start: Fraction
    length: Fraction | None
    tick: Fraction
    """What the length is rounded to: within one of them the media's own end is the exact one."""

    @property
    def end(self) -> Fraction | None:
        """Where in the media it ends, in seconds; None for its end."""
        return None if self.length is None else self.start + self.length

    def seconds_of(self, whole: Fraction) -> Fraction:
        """Seconds of media `whole` seconds long that this edit plays."""
        rest = max(whole - self.start, Fraction(0))
        if self.length is not None and self.length + self.tick <= rest:
            return self.length
        return rest


def read_edits(boxes: Boxes, movie: Box, track: Box, ticks_per_second: int) -> list[Edit]:
    """The edits of a track that play something; none where it has no edit list, or one that makes no sense.

    Raises GatewayError AUDIO_UNREADABLE for more than `EDITS_MAX` rows.
    """
    box = boxes.find(track, b"edts", b"elst")
    header = boxes.find(movie, b"mvhd")
    if box is None or header is None:
        return []
    movie_ticks_per_second = boxes.number(header, 20 if boxes.number(header, 0) >> 24 else 12)
    row = _WIDE_ROW if boxes.number(box, 0) >> 24 == 1 else _ROW
    count = boxes.number(box, 4)
    if count > EDITS_MAX:
        raise unreadable(f"its edit list has more than {EDITS_MAX} rows")
    if not movie_ticks_per_second or box.start + 8 + count * row.size > box.end:
        return []
    edits = []
    for length, media_start, _ in row.iter_unpack(boxes.data[box.start + 8 : box.start + 8 + count * row.size]):
        # A negative start is a pause before the media begins.
        if media_start >= 0:
            seconds = Fraction(length, movie_ticks_per_second) if length else None
            edits.append(Edit(Fraction(media_start, ticks_per_second), seconds, Fraction(1, movie_ticks_per_second)))
    return edits


def played_units(
    edits: Sequence[Edit], time_rows: Iterable[tuple[int, ...]], units: int, ticks_per_second: int
) -> Fraction:
    """Access units, of `units`, that the edits play by the rows (count, ticks of each) of a time table that lies.

    Players go by the table to find where an edit begins and ends, and play the units between at their true length.
    """
    spans = [
        (int(edit.start * ticks_per_second), None if edit.end is None else int(edit.end * ticks_per_second))
        for edit in edits
    ]
    bounds = sorted({bound for span in spans for bound in span if bound is not None})
    unit_at: dict[int | None, Fraction] = {}
    ticks = position = passed = 0
    for count, unit_ticks in time_rows:
        counted = min(count, units - position)
        following = ticks + counted * unit_ticks
        while passed < len(bounds) and bounds[passed] < following:
            unit_at[bounds[passed]] = position + Fraction(bounds[passed] - ticks, unit_ticks)
            passed += 1
        ticks, position = following, position + counted
        if position >= units or passed == len(bounds):
            break
    everything = Fraction(units)
    played = (unit_at.get(end, everything) - unit_at.get(start, everything) for start, end in spans)
    return sum(played, Fraction(0))


def read_gapless(boxes: Boxes, movie: Box) -> int:
    """Samples of delay and padding by iTunes' note, 0 where there is none."""
    notes = boxes.find(movie, b"udta")
    if notes is None:
        return 0
    found = _GAPLESS.search(boxes.data, notes.start, min(notes.end, notes.start + _NOTES_BYTES_MAX))
    return int(found[1], 16) + int(found[2], 16) if found else 0
