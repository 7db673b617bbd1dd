"""How long a WAV file plays, from the audio bytes that are present.

Chunk layout: Microsoft's "Multimedia Programming Interface" (RIFF), EBU Tech 3306 (RF64), and `fmt ` codes of RFC 2361.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio import mp3
from kyma_voice_clone.audio.judgement import Measured, unreadable

CHUNKS_MAX: Final = 1_024
_RATE_HZ_MIN: Final = 1_000
_RATE_HZ_MAX: Final = 768_000
_CHANNELS_MAX: Final = 64

_PCM, _MS_ADPCM, _FLOAT, _ALAW, _MULAW, _IMA_ADPCM, _MP3 = 1, 2, 3, 6, 7, 0x11, 0x55
_EXTENSIBLE: Final = 0xFFFE
_CHUNK_HEADER: Final = struct.Struct("<4sI")
_FORMAT: Final = struct.Struct("<HHIIHH")


@dataclass(frozen=True, slots=True)
class _Audio:
    """The `fmt ` chunk, the audio bytes really present, and the sample count of a `fact` chunk."""

    codec: int
    channels: int
    rate_hz: int
    block_bytes: int
    bits: int
    parts: tuple[memoryview, ...]
    declared_samples: int | None
    rule: str

    @property
    def byte_count(self) -> int:
        return sum(len(part) for part in self.parts)


def measure(data: memoryview) -> Measured:
    """The duration of a RIFF, RF64 or BW64 WAVE file. Raises GatewayError AUDIO_UNREADABLE."""
    audio, header_end = _read_chunks(data)
    if not 1 <= audio.channels <= _CHANNELS_MAX or not _RATE_HZ_MIN <= audio.rate_hz <= _RATE_HZ_MAX:
        raise unreadable(f"its `fmt ` chunk says {audio.channels} channels at {audio.rate_hz} Hz")
    header = data[:header_end]
    if audio.codec == _MP3:
        if len(audio.parts) > 1:
            raise unreadable("its MP3 audio is in several `data` chunks")
        inner = mp3.measure(audio.parts[0])
        return Measured(inner.duration, f"{audio.rule}, {inner.rule}", header)
    return Measured(Fraction(_samples(audio), audio.rate_hz), audio.rule, header)


def _read_chunks(data: memoryview) -> tuple[_Audio, int]:
    """Walk the chunks: the first `fmt `, every `data`, a `fact`. Also where the first `data` begins."""
    format_chunk: tuple[int, int] | None = None
    parts: list[memoryview] = []
    declared_samples: int | None = None
    long_data_bytes: int | None = None
    position, header_end, rule = 12, 0, "data chunk"
    for _ in range(CHUNKS_MAX):
        if position + 8 > len(data):
            break
        name, size = _CHUNK_HEADER.unpack_from(data, position)
        start = position + 8
        if name == b"ds64" and size >= 24 and start + 24 <= len(data):
            long_data_bytes = struct.unpack_from("<Q", data, start + 8)[0]
        elif name == b"fmt " and format_chunk is None:
            format_chunk = (start, min(size, len(data) - start))
        elif name == b"fact" and size >= 4 and start + 4 <= len(data):
            declared_samples = struct.unpack_from("<I", data, start)[0]
        elif name == b"data":
            if size == 0xFFFFFFFF and long_data_bytes is not None:
                size = long_data_bytes
            if not parts:
                header_end = start
                if not _size_agrees(data, start, size):
                    size, rule = len(data) - start, "audio bytes to the end"
            parts.append(data[start : start + size])
        position = start + size + size % 2
    else:
        raise unreadable(f"it has more than {CHUNKS_MAX} chunks")
    if format_chunk is None or not parts:
        raise unreadable("its `fmt ` or `data` chunk is missing")
    fields = _read_format(data, *format_chunk)
    return _Audio(*fields, tuple(parts), declared_samples, rule), header_end


def _size_agrees(data: memoryview, start: int, size: int) -> bool:
    """Whether the bytes bear out the size of the first `data` chunk: it ends with the file, or whole chunks follow.

    An unknown, cut off or false size does not agree: then everything to the end of the file is audio.
    """
    if size == 0xFFFFFFFF or (size == 0 and start < len(data)):
        return False
    position = start + size + size % 2
    for _ in range(CHUNKS_MAX):
        if position + 8 > len(data):
            return abs(len(data) - position) <= 1
        name, following = _CHUNK_HEADER.unpack_from(data, position)
        if not all(0x20 <= letter <= 0x7E for letter in name):
            return False
        position += 8 + following + following % 2
    return False


def _read_format(data: memoryview, start: int, size: int) -> tuple[int, int, int, int, int]:
    """Codec, channels, rate in Hz, bytes of a block, bits of a sample."""
    if size < _FORMAT.size:
        raise unreadable("its `fmt ` chunk is cut short")
    codec, channels, rate_hz, _, block_bytes, bits = _FORMAT.unpack_from(data, start)
    if codec == _EXTENSIBLE and size >= 26:
        codec = struct.unpack_from("<H", data, start + 24)[0]
    return codec, channels, rate_hz, block_bytes, bits


def _samples(audio: _Audio) -> int:
    """Sample frames in the audio bytes, by what the codec makes of them and never by the declared byte rate."""
    if audio.codec in (_PCM, _FLOAT, _ALAW, _MULAW):
        sample_bytes = 1 if audio.codec in (_ALAW, _MULAW) else -(-audio.bits // 8)
        if not sample_bytes or audio.block_bytes != sample_bytes * audio.channels:
            raise unreadable("its `fmt ` chunk contradicts itself about the size of a sample")
        return audio.byte_count // audio.block_bytes
    if audio.codec == _IMA_ADPCM:
        return _adpcm_samples(audio, header_bytes=4 * audio.channels, header_samples=1)
    if audio.codec == _MS_ADPCM:
        return _adpcm_samples(audio, header_bytes=7 * audio.channels, header_samples=2)
    raise unreadable(f"WAV with codec {audio.codec:#06x} is not supported")


def _adpcm_samples(audio: _Audio, *, header_bytes: int, header_samples: int) -> int:
    """Samples of 4-bit ADPCM: every block is a header, which holds samples of its own, and two samples in each byte.

    `fact` says where in the last block the audio ends; it counts only where it falls into that block.
    """

    def in_block(block_bytes: int) -> int:
        if block_bytes < header_bytes:
            return 0
        return header_samples + (block_bytes - header_bytes) * 2 // audio.channels

    if audio.bits != 4 or audio.block_bytes <= header_bytes:
        raise unreadable("its `fmt ` chunk contradicts itself about the size of a block")
    blocks, rest = divmod(audio.byte_count, audio.block_bytes)
    samples = blocks * in_block(audio.block_bytes) + in_block(rest)
    declared = audio.declared_samples
    if declared is not None and samples - in_block(audio.block_bytes) < declared <= samples:
        return declared
    return samples
