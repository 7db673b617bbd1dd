"""Recognising a file by its bytes; its name and declared type are never looked at."""

from __future__ import annotations

import re
from typing import Final

from kyma_voice_clone.audio.judgement import Format, unsupported
from kyma_voice_clone.audio.known import BRANDS, strong_name, weak_name
from kyma_voice_clone.audio.mpeg import CANDIDATES_MAX, CHAIN_FRAMES, LEAD_IN_BYTES_MAX, SYNC, Frames
from kyma_voice_clone.audio.tags import after_padding, after_tags, has_cut_tag

_ADTS_SYNC: Final = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_ADTS: Final = "AAC without a container (ADTS)"
_LAYERS: Final = {0b10: "MPEG audio layer II (MP2)", 0b11: "MPEG audio layer I (MP1)"}


def sniff(data: memoryview) -> Format:
    """The format of a file that is MP3, WAV or M4A; measuring it may still find that it is not audio.

    Raises GatewayError UNSUPPORTED_FORMAT for anything else, by its name where it is known.
    """
    if _is_wave(data, 0):
        return "wav"
    if bytes(data[4:8]) == b"ftyp":
        brand = BRANDS.get(bytes(data[8:12]))
        if brand is not None:
            raise unsupported(brand)
        return "m4a"
    name = strong_name(data, 0)
    if name is None:
        name = _name_as_mpeg(data)
    if name is not None:
        raise unsupported(name)
    return "mp3"


def _is_wave(data: memoryview, position: int) -> bool:
    head = bytes(data[position : position + 12])
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE"


def _name_as_mpeg(data: memoryview) -> str | None:
    """The name of what stands behind the tags; None for MP3, also for one that holds nothing but a tag."""
    tags_end = after_tags(data)
    start = after_padding(data, tags_end)
    if tags_end and (name := _name_behind_tag(data, tags_end)):
        return name
    found = Frames(data).first(start)
    adts = _find_adts(data, start, len(data) if found is None else found[0])
    if adts is not None:
        return _ADTS
    if found is not None:
        return _LAYERS.get(found[1].layer_bits)
    if (tags_end and start == len(data)) or has_cut_tag(data) or SYNC.match(data, start):
        return None
    return weak_name(data, 0) or _frame_name(bytes(data[start : start + 3])) or "not a recording in a format known here"


def _name_behind_tag(data: memoryview, position: int) -> str | None:
    if _is_wave(data, position):
        return "a WAV file behind an ID3 tag"
    if bytes(data[position + 4 : position + 8]) == b"ftyp":
        return "an MP4 file behind an ID3 tag"
    return strong_name(data, position)


def _find_adts(data: memoryview, start: int, before: int) -> int | None:
    """Where a sequence of ADTS frames begins, between `start` and `before` (ISO/IEC 13818-7, section 6.2)."""
    end = min(before, start + LEAD_IN_BYTES_MAX)
    for tried, found in enumerate(_ADTS_SYNC.finditer(data, start, end)):
        position, frames = found.start(), 0
        while frames < CHAIN_FRAMES and position + 7 <= len(data) and _ADTS_SYNC.match(data, position):
            size = (data[position + 3] & 3) << 11 | data[position + 4] << 3 | data[position + 5] >> 5
            if size < 7:
                break
            position += size
            frames += 1
        if frames >= CHAIN_FRAMES:
            return found.start()
        if tried >= CANDIDATES_MAX:
            break
    return None


def _frame_name(head: bytes) -> str | None:
    """What a single header says: AAC in ADTS, and the MPEG audio layers that differ from MP3's in two bits."""
    if len(head) < 3 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return _ADTS
    if head[2] >> 4 == 0xF or head[2] >> 2 & 3 == 3:
        return None
    return _LAYERS.get(head[1] >> 1 & 3)
