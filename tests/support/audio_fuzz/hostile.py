"""Recordings of the largest size that are made to cost the judge as much as they can."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from typing import Final

from kyma_proxy.testing.audio import AAC_FRAME, MP3_FRAME, box, chunk, silent_m4a

LARGEST: Final = 10 * 1024 * 1024


def fragments(count: int) -> bytes:
    whole = silent_m4a(10, fragmented=True)
    tfhd = box(b"tfhd", struct.pack(">III", 0x020008, 1, 1024))
    trun = box(b"trun", struct.pack(">III", 1, 1, 84))
    moof = box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", tfhd, trun))
    return whole[: whole.index(b"moof") - 4] + (moof + box(b"mdat", AAC_FRAME)) * count


def tables(stco: int, stts: int) -> bytes:
    """A file whose tables have many rows that say nothing."""
    whole = silent_m4a(1, index_last=True)
    at = whole.index(b"moov") - 4

    def part(name: bytes) -> bytes:
        start = whole.index(name) - 4
        return whole[start : start + struct.unpack_from(">I", whole, start)[0]]

    table = box(
        b"stbl",
        part(b"stsd"),
        part(b"stsz"),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 0 if stco > 1 else 1_000, 1)),
        box(b"stco", struct.pack(">II", 0, stco), struct.pack(">I", whole.index(b"mdat") + 4) * stco),
        box(b"stts", struct.pack(">II", 0, stts), bytes(8 * stts)),
    )
    media = box(b"mdia", part(b"mdhd"), part(b"hdlr"), box(b"minf", table))
    return whole[:at] + box(b"moov", part(b"mvhd"), box(b"trak", part(b"tkhd"), media))


SMALLEST_FRAME = b"\xff\xf3\x14\xc0" + bytes(20)
WAV_START = b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
WAV_MP3_START = WAV_START.replace(b"fmt \x10\0\0\0\1\0", b"fmt \x10\0\0\0\x55\0")
HOSTILE: Final[Mapping[str, Callable[[], bytes]]] = {
    "random bytes": lambda: os.urandom(LARGEST),
    "the smallest MP3 frames": lambda: SMALLEST_FRAME * (LARGEST // 24),
    "frames that never connect": lambda: b"\xff\xfb\x92" * (LARGEST // 3),
    "a first frame, then sync words": lambda: MP3_FRAME * 10 + b"\xff\xfb\x92" * (LARGEST // 3),
    "runs of three frames": lambda: MP3_FRAME * 4 + (SMALLEST_FRAME * 3 + b"x") * (LARGEST // 73),
    "stacked empty tags": lambda: b"ID3\x04\0\0\0\0\0\0" * (LARGEST // 10),
    "WAV of empty chunks": lambda: WAV_START + b"abcd\0\0\0\0" * (LARGEST // 8),
    "WAV of data chunks": lambda: WAV_START + chunk(b"data", b"ab") * (LARGEST // 10),
    "sync words in a WAV": lambda: WAV_MP3_START + chunk(b"data", MP3_FRAME * 10 + b"\xff\xfb\x92" * (LARGEST // 3)),
    "M4A of empty boxes": lambda: box(b"ftyp", b"M4A \0\0\0\0") + box(b"moov", box(b"free") * (LARGEST // 8)),
    "M4A of nested boxes": lambda: (
        box(b"ftyp", b"M4A \0\0\0\0")
        + b"".join(struct.pack(">I4s", LARGEST - 8 * n, b"moov") for n in range(LARGEST // 8))
    ),
    "M4A of tiny fragments": lambda: fragments(60_000),
    "M4A of chunks without units": lambda: tables(stco=1_300_000, stts=1),
    "M4A of times without units": lambda: tables(stco=1, stts=1_300_000),
}
