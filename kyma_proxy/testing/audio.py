"""Silent recordings of any exact length, made in code: valid WAV, MP3 and M4A files that decoders play in full."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Final

Seconds = int | float | Fraction

WAV_RATE_HZ: Final = 8_000
MP3_RATE_HZ: Final = 48_000
MP3_FRAME_SAMPLES: Final = 1_152
MP3_FRAME: Final = b"\xff\xfb\x14\xc0" + bytes(92)
"""MPEG-1 layer III, 32 kbit/s, 48 kHz, mono: 96 bytes whose zeroed side information decodes to silence."""
AAC_FRAME_SAMPLES: Final = 1_024
AAC_FRAME: Final = b"\x00\xc8\x00\x80\x23\x80"
"""One silent access unit of AAC-LC, mono."""
_LAME_DELAY: Final = 576
_LAME_PADDING_MIN: Final = 529
_AAC_RATE_HZ: Final = 48_000
_MOVIE_TICKS_PER_SECOND: Final = 1_000


def silent_wav(seconds: Seconds, *, rate_hz: int = WAV_RATE_HZ, channels: int = 1, bits: int = 16) -> bytes:
    """A PCM WAV file of `seconds`, rounded to the nearest sample frame."""
    block_bytes = channels * bits // 8
    data = (b"\x80" if bits == 8 else b"\0") * (block_bytes * _samples(seconds, rate_hz))
    fmt = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * block_bytes, block_bytes, bits)
    return riff(chunk(b"fmt ", fmt), chunk(b"data", data))


def riff(*chunks: bytes) -> bytes:
    """A RIFF/WAVE file of whole chunks."""
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, data: bytes) -> bytes:
    """One RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def silent_mp3(seconds: Seconds, *, info_header: bool = True) -> bytes:
    """An MP3 file of `seconds` at 48 kHz.

    With `info_header` it starts with a LAME Info frame that declares the encoder's delay and padding, so its length is
    exact to the sample. Without, it is whole frames: `seconds` rounded up to a multiple of 24 ms.
    """
    samples = _samples(seconds, MP3_RATE_HZ)
    if not info_header:
        return MP3_FRAME * -(-samples // MP3_FRAME_SAMPLES)
    frames = -(-(samples + _LAME_DELAY + _LAME_PADDING_MIN) // MP3_FRAME_SAMPLES)
    padding = frames * MP3_FRAME_SAMPLES - samples - _LAME_DELAY
    return mp3_info_frame(frames, delay=_LAME_DELAY, padding=padding) + MP3_FRAME * frames


def mp3_info_frame(frames: int, *, delay: int, padding: int) -> bytes:
    """The frame that LAME puts in front of `frames` frames; `delay` and `padding` are samples that players trim."""
    tag = b"Info" + struct.pack(">III", 0b11, frames, (frames + 1) * len(MP3_FRAME))
    lame = b"LAME3.100" + bytes(12) + (delay << 12 | padding).to_bytes(3, "big") + bytes(12)
    side_information = 17
    return (MP3_FRAME[:4] + bytes(side_information) + tag + lame).ljust(len(MP3_FRAME), b"\0")


def silent_m4a(seconds: Seconds, *, index_last: bool = False, fragmented: bool = False) -> bytes:
    """An M4A file (AAC-LC, 48 kHz, mono) of `seconds`, exact to the sample by its edit list.

    The index (`moov`) stands before the audio, after it with `index_last`; `fragmented` makes one fragment of each
    second of audio instead.
    """
    samples = _samples(seconds, _AAC_RATE_HZ)
    units = -(-(samples + AAC_FRAME_SAMPLES) // AAC_FRAME_SAMPLES)
    last_ticks = samples + AAC_FRAME_SAMPLES - (units - 1) * AAC_FRAME_SAMPLES
    ftyp = box(b"ftyp", b"M4A \0\0\2\0M4A isommp42iso5")
    if fragmented:
        extends = box(b"mvex", box(b"trex", struct.pack(">6I", 0, 1, 1, AAC_FRAME_SAMPLES, len(AAC_FRAME), 0)))
        moov = _moov(samples, _sample_tables(0, 0, 0), extends)
        return ftyp + moov + _fragments(units, last_ticks)
    mdat = box(b"mdat", AAC_FRAME * units)
    if index_last:
        return ftyp + mdat + _moov(samples, _sample_tables(units, last_ticks, len(ftyp) + 8))
    index_bytes = len(_moov(samples, _sample_tables(units, last_ticks, 0)))
    return ftyp + _moov(samples, _sample_tables(units, last_ticks, len(ftyp) + index_bytes + 8)) + mdat


def box(name: bytes, *content: bytes) -> bytes:
    """One ISO base media box."""
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, name) + body


def _samples(seconds: Seconds, rate_hz: int) -> int:
    return round(Fraction(seconds) * rate_hz)


def _moov(samples: int, tables: bytes, *more: bytes) -> bytes:
    movie_ticks = round(Fraction(samples * _MOVIE_TICKS_PER_SECOND, _AAC_RATE_HZ))
    unity = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    mvhd = struct.pack(">5IIH10x", 0, 0, 0, _MOVIE_TICKS_PER_SECOND, movie_ticks, 0x10000, 0x100)
    tkhd = struct.pack(">6I8xHHHH", 7, 0, 0, 1, 0, movie_ticks, 0, 0, 0x100, 0)
    edit = struct.pack(">IIIiI", 0, 1, movie_ticks, AAC_FRAME_SAMPLES, 0x10000)
    mdhd = struct.pack(">5IHH", 0, 0, 0, _AAC_RATE_HZ, samples + AAC_FRAME_SAMPLES, 0x55C4, 0)
    hdlr = struct.pack(">II4s12x", 0, 0, b"soun") + b"SoundHandler\0"
    dinf = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), box(b"url ", struct.pack(">I", 1))))
    minf = box(b"minf", box(b"smhd", bytes(8)), dinf, tables)
    media = box(b"mdia", box(b"mdhd", mdhd), box(b"hdlr", hdlr), minf)
    track = box(b"trak", box(b"tkhd", tkhd, unity, bytes(8)), box(b"edts", box(b"elst", edit)), media)
    return box(b"moov", box(b"mvhd", mvhd, unity, bytes(24), struct.pack(">I", 2)), track, *more)


def _sample_tables(units: int, last_ticks: int, audio_offset: int) -> bytes:
    """The `stbl` of `units` equal access units in one chunk that starts at `audio_offset`."""
    runs = [(units - 1, AAC_FRAME_SAMPLES), (1, last_ticks)] if units else []
    stts = struct.pack(">II", 0, len(runs)) + b"".join(struct.pack(">II", *run) for run in runs)
    stsc = struct.pack(">5I", 0, 1, 1, units, 1) if units else bytes(8)
    stsz = struct.pack(">III", 0, len(AAC_FRAME), units)
    stco = struct.pack(">III", 0, 1, audio_offset) if units else bytes(8)
    parts = {b"stts": stts, b"stsc": stsc, b"stsz": stsz, b"stco": stco}
    return box(b"stbl", _sample_description(), *(box(name, table) for name, table in parts.items()))


def _sample_description() -> bytes:
    audio_config = b"\x05\x02\x11\x88"  # DecoderSpecificInfo: AAC-LC, 48 kHz, one channel
    decoder = b"\x04" + bytes([13 + len(audio_config)]) + b"\x40\x15" + bytes(11) + audio_config
    descriptors = b"\0\0\0" + decoder + b"\x06\x01\x02"
    esds = box(b"esds", bytes(4), b"\x03", bytes([len(descriptors)]), descriptors)
    entry = box(b"mp4a", struct.pack(">6xH8xHH4xI", 1, 1, 16, _AAC_RATE_HZ << 16), esds)
    return box(b"stsd", struct.pack(">II", 0, 1), entry)


def _fragments(units: int, last_ticks: int) -> bytes:
    """`moof` and `mdat` pairs of about a second each; the last unit is a run of its own with its own duration."""
    per_fragment = _AAC_RATE_HZ // AAC_FRAME_SAMPLES
    runs = [(min(per_fragment, units - 1 - first), AAC_FRAME_SAMPLES) for first in range(0, units - 1, per_fragment)]
    runs.append((1, last_ticks))
    fragments, ticks = [], 0
    for sequence, (count, unit_ticks) in enumerate(runs, 1):
        tfhd = box(b"tfhd", struct.pack(">III", 0x020008, 1, unit_ticks))
        tfdt = box(b"tfdt", struct.pack(">IQ", 0x01000000, ticks))
        moof_bytes = 24 + len(tfhd) + len(tfdt) + 28
        trun = box(b"trun", struct.pack(">III", 0x1, count, moof_bytes + 8))
        moof = box(b"moof", box(b"mfhd", struct.pack(">II", 0, sequence)), box(b"traf", tfhd, tfdt, trun))
        fragments.append(moof + box(b"mdat", AAC_FRAME * count))
        ticks += count * unit_ticks
    return b"".join(fragments)
