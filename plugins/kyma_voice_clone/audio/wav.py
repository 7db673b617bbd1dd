"""How long a WAV file plays, from the audio bytes that are present.

Chunk layout: Microsoft's "Multimedia Programming Interface" (RIFF), EBU Tech 3306 (RF64), and `fmt ` codes of RFC 2361.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio import mp3
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.judgement import Measured, unreadable
from kyma_voice_clone.audio.wav_codec import EXTENSIBLE, MP3, WaveFormat, count_samples

CHUNKS_MAX: Final = 1_024
_RATE_HZ_MIN: Final = 1_000
_RATE_HZ_MAX: Final = 768_000
_CHANNELS_MAX: Final = 64
_UNKNOWN_SIZE: Final = 0xFFFFFFFF

_CHUNK_HEADER: Final = struct.Struct("<4sI")
_FORMAT: Final = struct.Struct("<HHIIHH")


@dataclass(slots=True)
class _Chunks:
    """What was found in the chunks: the first `fmt `, every `data`, the samples of `fact`, the size in `ds64`."""

    form: WaveFormat | None = None
    parts: list[memoryview] = field(default_factory=list)
    declared_samples: int | None = None
    long_data_bytes: int = 0
    header_end: int = 0
    to_the_end: bool = False
    """Whether the size of the audio was unknown or false, so that all bytes up to the end are audio."""


def measure(data: memoryview, deadline: Deadline) -> Measured:
    """The duration of a RIFF, RF64 or BW64 WAVE file. Raises GatewayError AUDIO_UNREADABLE."""
    chunks = _read_chunks(data)
    form = chunks.form
    if form is None or not chunks.parts:
        raise unreadable("its `fmt ` or `data` chunk is missing")
    if not 1 <= form.channels <= _CHANNELS_MAX or not _RATE_HZ_MIN <= form.rate_hz <= _RATE_HZ_MAX:
        raise unreadable(f"its `fmt ` chunk says {form.channels} channels at {form.rate_hz} Hz")
    header = data[: chunks.header_end]
    if form.codec == MP3:
        if len(chunks.parts) > 1:
            raise unreadable("its MP3 audio is in several `data` chunks")
        inner = mp3.measure(chunks.parts[0], deadline)
        duration, rule = inner.duration, inner.rule
    else:
        samples, rule = count_samples(form, sum(map(len, chunks.parts)), chunks.declared_samples)
        duration = Fraction(samples, form.rate_hz)
    return Measured(duration, "audio bytes to the end, " * chunks.to_the_end + rule, header)


def _read_chunks(data: memoryview) -> _Chunks:
    found, position = _Chunks(), 12
    for _ in range(CHUNKS_MAX):
        if position + 8 > len(data):
            return found
        name, size = _CHUNK_HEADER.unpack_from(data, position)
        if found.parts and not _is_name(name):
            return found
        start = position + 8
        if name == b"ds64" and size >= 24 and start + 24 <= len(data):
            found.long_data_bytes = struct.unpack_from("<Q", data, start + 8)[0]
        elif name == b"fmt " and found.form is None:
            found.form = _read_format(data[start : start + size])
        elif name == b"fact" and size >= 4 and start + 4 <= len(data):
            found.declared_samples = struct.unpack_from("<I", data, start)[0]
        elif name == b"data":
            size = _add_audio(found, data, start, size)
        position = _behind(data, start + size)
    raise unreadable(f"it has more than {CHUNKS_MAX} chunks")


def _add_audio(found: _Chunks, data: memoryview, start: int, size: int) -> int:
    """Take the audio of a `data` chunk; its size in bytes, which is what is there where the chunk does not say.

    A recorder that could not go back leaves 0 or the largest number (in RF64: 0 in `ds64`). A smaller size than what
    follows is believed, since players believe it; a larger one ends with the file.
    """
    rest = len(data) - start
    if size == _UNKNOWN_SIZE:
        size = found.long_data_bytes
    is_unknown = size == 0 and rest > 0 and not _are_chunks(data, start)
    if is_unknown or size > rest:
        found.to_the_end, size = True, rest
    found.header_end = found.header_end or start
    found.parts.append(data[start : start + size])
    return size


def _are_chunks(data: memoryview, position: int) -> bool:
    """Whether whole chunks stand from here to the end: then an empty `data` chunk in front of them is empty."""
    for _ in range(CHUNKS_MAX):
        if position + 8 > len(data):
            return position == len(data)
        name, size = _CHUNK_HEADER.unpack_from(data, position)
        if not _is_name(name):
            return False
        position = _behind(data, position + 8 + size)
    return False


def _behind(data: memoryview, end: int) -> int:
    """Where the next chunk begins: behind a byte of padding after an odd size, which some writers forget."""
    if end % 2 and end + 4 <= len(data) and data[end] and _is_name(bytes(data[end : end + 4])):
        return end
    return end + end % 2


def _is_name(name: bytes) -> bool:
    return all(0x20 <= letter <= 0x7E for letter in name)


def _read_format(content: memoryview) -> WaveFormat:
    if len(content) < _FORMAT.size:
        raise unreadable("its `fmt ` chunk is cut short")
    codec, channels, rate_hz, _, block_bytes, bits = _FORMAT.unpack_from(content)
    if codec == EXTENSIBLE and len(content) >= 26:
        codec = struct.unpack_from("<H", content, 24)[0]
    return WaveFormat(codec, channels, rate_hz, block_bytes, bits)
