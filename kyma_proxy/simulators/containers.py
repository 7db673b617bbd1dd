"""Containers around sound made in code: WAV, FLAC and Ogg Opus."""

from __future__ import annotations

import struct
from functools import cache

_FLAC_BLOCK_SAMPLES_MIN = 16
_FLAC_WAVE_HZ = 330
_FLAC_AMPLITUDE = 3000
_FLAC_RATE_CODES = {8000: 4, 16000: 5, 22050: 6, 24000: 7, 32000: 8, 44100: 9}
_WAVE_FORMATS = {"pcm": (1, 16), "ulaw": (7, 8)}
_OPUS_TICKS_PER_SECOND = 48_000
_OPUS_PACKET_TICKS = 960
_OPUS_PACKETS_PER_PAGE = 50
_OPUS_PRE_SKIP_TICKS = 312
_OPUS_SILENCE = {1: b"\xf8\xff\xfe", 2: b"\xfc\xff\xfe"}
"""20 ms of silence as one Opus packet (CELT, full band): anything else would need an encoder."""


def wav(sound: bytes, kind: str, rate_hz: int, channels: int) -> bytes:
    """A WAV file around raw samples; `kind` is pcm (16 bit) or ulaw."""
    code, bits = _WAVE_FORMATS[kind]
    block_bytes = channels * bits // 8
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, code, channels, rate_hz, rate_hz * block_bytes, block_bytes, bits)
    data = struct.pack("<4sI", b"data", len(sound)) + sound + bytes(len(sound) % 2)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(fmt) + len(data), b"WAVE") + fmt + data


def flac_tone(seconds: float, rate_hz: int, channels: int) -> bytes:
    """A FLAC file (RFC 9639) with a square wave of about 330 Hz: every half wave is a block of one constant value."""
    samples = round(seconds * rate_hz)
    block = max(_FLAC_BLOCK_SAMPLES_MIN, round(rate_hz / _FLAC_WAVE_HZ / 2))
    rate_and_shape = rate_hz << 44 | (channels - 1) << 41 | (16 - 1) << 36 | samples
    stream_info = struct.pack(">HH6xQ16x", block, block, rate_and_shape)
    frames = (
        _flac_frame(number, min(block, samples - at), rate_hz, channels)
        for number, at in enumerate(range(0, samples, block))
    )
    return b"fLaC\x80\x00\x00\x22" + stream_info + b"".join(frames)


def _flac_frame(number: int, samples: int, rate_hz: int, channels: int) -> bytes:
    # Its number is coded the way UTF-8 codes a character.
    counted = chr(number).encode("utf-8", "surrogatepass")
    head = bytes([0xFF, 0xF8, 6 << 4 | _FLAC_RATE_CODES[rate_hz], (channels - 1) << 4 | 4 << 1])
    head += counted + bytes([samples - 1])
    value = _FLAC_AMPLITUDE if number % 2 == 0 else -_FLAC_AMPLITUDE
    frame = head + bytes([_checksum(head, 8, 0x07)]) + struct.pack(">xh", value) * channels
    return frame + struct.pack(">H", _checksum(frame, 16, 0x8005))


def ogg_opus_silence(seconds: float, channels: int) -> bytes:
    """An Ogg Opus file (RFC 7845) with so many seconds of silence, in packets of 20 ms."""
    head = struct.pack("<8sBBHIHB", b"OpusHead", 1, channels, _OPUS_PRE_SKIP_TICKS, _OPUS_TICKS_PER_SECOND, 0, 0)
    tags = struct.pack("<8sI4sI", b"OpusTags", 4, b"kyma", 0)
    ticks = round(seconds * _OPUS_TICKS_PER_SECOND) + _OPUS_PRE_SKIP_TICKS
    packets = -(-ticks // _OPUS_PACKET_TICKS)
    pages = [_ogg_page([head], 0, 0, kind=2), _ogg_page([tags], 1, 0)]
    for first in range(0, packets, _OPUS_PACKETS_PER_PAGE):
        after = min(first + _OPUS_PACKETS_PER_PAGE, packets)
        is_last = after == packets
        position = ticks if is_last else after * _OPUS_PACKET_TICKS
        content = [_OPUS_SILENCE[channels]] * (after - first)
        pages.append(_ogg_page(content, len(pages), position, kind=4 if is_last else 0))
    return b"".join(pages)


def _ogg_page(packets: list[bytes], number: int, position: int, *, kind: int = 0) -> bytes:
    """A page of packets shorter than 255 bytes; `kind` is 2 for the first page of a stream and 4 for the last."""
    before = struct.pack("<4sBBQII", b"OggS", 0, kind, position, 1, number)
    after = bytes([len(packets), *map(len, packets)]) + b"".join(packets)
    return before + struct.pack("<I", _checksum(before + bytes(4) + after, 32, 0x04C11DB7)) + after


@cache
def _checksum_table(bits: int, polynomial: int) -> tuple[int, ...]:
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return tuple(table)


def _checksum(data: bytes, bits: int, polynomial: int) -> int:
    """A CRC, most significant bit first, that starts from zero."""
    table, mask, value = _checksum_table(bits, polynomial), (1 << bits) - 1, 0
    for byte in data:
        value = value << 8 & mask ^ table[value >> bits - 8 ^ byte]
    return value
