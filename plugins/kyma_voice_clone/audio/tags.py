"""What stands in front of MPEG audio and is none: ID3v2 and APE tags, and zeros that taggers leave."""

from __future__ import annotations

import re
import struct
from typing import Final

TAGS_MAX: Final = 64
_ID3_HEADER_BYTES: Final = 10
_ID3_HAS_FOOTER: Final = 0x10
_APE: Final = b"APETAGEX"
_APE_HEADER_BYTES: Final = 32
_APE_IS_HEADER: Final = 1 << 29
_ZEROS: Final = re.compile(rb"\0*")


def after_tags(data: memoryview) -> int:
    """Where the bytes behind all leading tags begin; a tag that says it is longer than the file is none.

    Tags are stepped over by their size: nothing in them is read or inflated.
    """
    position = 0
    for _ in range(TAGS_MAX):
        end = _id3_end(data, position) or _ape_end(data, position)
        if end is None or end > len(data):
            break
        position = end
    return position


def after_padding(data: memoryview, position: int) -> int:
    """Where the zeros that begin at `position` end."""
    zeros = _ZEROS.match(data, position)
    return zeros.end() if zeros else position


def has_cut_tag(data: memoryview) -> bool:
    """Whether an ID3v2 tag stands in front that says it is longer than the file."""
    end = _id3_end(data, 0)
    return end is not None and end > len(data)


def _id3_end(data: memoryview, position: int) -> int | None:
    """Where an ID3v2 tag at `position` ends (id3.org, "ID3 tag version 2.4.0", section 3.1)."""
    header = bytes(data[position : position + _ID3_HEADER_BYTES])
    if len(header) < _ID3_HEADER_BYTES or header[:3] != b"ID3" or 0xFF in header[3:5] or max(header[6:]) > 0x7F:
        return None
    size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
    footer_bytes = _ID3_HEADER_BYTES if header[5] & _ID3_HAS_FOOTER else 0
    return position + _ID3_HEADER_BYTES + size + footer_bytes


def _ape_end(data: memoryview, position: int) -> int | None:
    """Where an APE tag that begins with its header at `position` ends: its size counts items and footer."""
    header = bytes(data[position : position + _APE_HEADER_BYTES])
    if len(header) < _APE_HEADER_BYTES or not header.startswith(_APE):
        return None
    size, _, flags = struct.unpack_from("<III", header, 12)
    return position + _APE_HEADER_BYTES + size if flags & _APE_IS_HEADER else None
