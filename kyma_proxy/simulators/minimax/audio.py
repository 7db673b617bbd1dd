"""How long a recording really lasts: the simulated provider's own check, made from the bytes that are there."""

from __future__ import annotations

import struct

from kyma_proxy.simulators.minimax.m4a import m4a_seconds

_JUNK_BYTES_MAX = 64 * 1024
_MPEG1_KILOBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KILOBITS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATE_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def duration_seconds(data: bytes) -> float | None:
    """Seconds of MP3 (layer III), WAV or M4A, told apart by content; None for anything that cannot be decoded."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _wav_seconds(data)
    if data[4:8] == b"ftyp":
        return m4a_seconds(data)
    return _mp3_seconds(data)


def _wav_seconds(data: bytes) -> float | None:
    offset, bytes_per_second = 12, 0
    while offset + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, offset)
        offset += 8
        if kind == b"fmt " and size >= 16 and offset + 16 <= len(data):
            # A decoder goes by the rate of samples; the byte rate beside it is often wrong.
            rate_hz, _, block_bytes, bits = struct.unpack_from("<IIHH", data, offset + 4)
            stated = struct.unpack_from("<I", data, offset + 8)[0]
            bytes_per_second = rate_hz * block_bytes if bits in (8, 16, 24, 32, 64) else stated
        elif kind == b"data":
            # Written by a recorder that could not go back: 0 or the largest size, and all that follows is audio.
            present = len(data) - offset if size in (0, 0xFFFFFFFF) else min(size, len(data) - offset)
            return present / bytes_per_second if bytes_per_second and present else None
        offset += size + size % 2
    return None


def _mp3_seconds(data: bytes) -> float | None:
    offset, samples, rate_hz, junk_bytes = _after_id3(data), 0, 0, 0
    while offset + 4 <= len(data) and junk_bytes <= _JUNK_BYTES_MAX:
        frame = _mp3_frame(data, offset)
        if frame is None or (not rate_hz and not _frame_or_end_follows(data, offset + frame[0])):
            offset, junk_bytes = offset + 1, junk_bytes + 1
            continue
        size, frame_samples, frame_rate_hz = frame
        if offset + size > len(data):
            break
        # The first frame may be an index of the file in the shape of a frame: it holds no sound.
        is_index = not rate_hz and any(mark in data[offset : offset + 48] for mark in (b"Xing", b"Info"))
        rate_hz = rate_hz or frame_rate_hz
        samples += 0 if is_index else frame_samples
        offset += size
    return samples / rate_hz if samples else None


def _frame_or_end_follows(data: bytes, offset: int) -> bool:
    """One head alone may be chance; two in a row are sound."""
    return offset >= len(data) or _mp3_frame(data, offset) is not None


def _after_id3(data: bytes) -> int:
    """The offset behind an ID3v2 tag, whose size is written in seven bits per byte."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    return 10 + size


def _mp3_frame(data: bytes, offset: int) -> tuple[int, int, int] | None:
    """Size in bytes, samples and sample rate in Hz of the layer III frame that starts here; None if none does."""
    head = int.from_bytes(data[offset : offset + 4], "big")
    version, layer = head >> 19 & 3, head >> 17 & 3
    bit_rate_index, rate_index = head >> 12 & 15, head >> 10 & 3
    if head >> 21 != 0x7FF or version == 1 or layer != 1 or bit_rate_index in (0, 15) or rate_index == 3:
        return None
    kilobits = (_MPEG1_KILOBITS if version == 3 else _MPEG2_KILOBITS)[bit_rate_index]
    samples = 1152 if version == 3 else 576
    rate_hz = _RATE_HZ[version][rate_index]
    return samples // 8 * kilobits * 1000 // rate_hz + (head >> 9 & 1), samples, rate_hz
