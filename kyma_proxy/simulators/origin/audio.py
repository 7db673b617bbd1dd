"""Sound made in code: a steady tone in every documented output format, and the length of an upload."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache

_TONE_HZ = 440
_MP3_LINES = 576
_GLOBAL_GAIN = 202  # about -15 dB
_MPEG1_BITRATES = {128: 9, 192: 11}
_MPEG2_BITRATES = {32: 4}
_ASSUMED_UPLOAD_BYTES_PER_SECOND = 16_000


@dataclass(frozen=True, slots=True)
class Format:
    """An output format: `kind` is mp3, pcm or ulaw; `kilobits` is 0 unless it is mp3."""

    kind: str
    rate_hz: int
    kilobits: int = 0

    @property
    def content_type(self) -> str:
        """The Content-Type of raw audio in this format."""
        return {"mp3": "audio/mpeg", "pcm": "audio/pcm", "ulaw": "audio/basic"}[self.kind]

    def tone(self, seconds: float) -> bytes:
        """So many seconds of 440 Hz, mono; MP3 rounds up to whole frames, the others to whole periods."""
        if self.kind == "mp3":
            return _mp3_tone(self, seconds)
        unit = _pcm_second(self.rate_hz) if self.kind == "pcm" else _ulaw_second(self.rate_hz)
        sample_bytes = len(unit) // self.rate_hz
        count = round(seconds * self.rate_hz)
        whole, rest = divmod(count, self.rate_hz)
        return unit * whole + unit[: rest * sample_bytes]


DEFAULT_FORMAT = "mp3_44100_128"
FORMATS = {
    "mp3": Format("mp3", 44100, 128),
    "mp3_44100_128": Format("mp3", 44100, 128),
    "mp3_44100_192": Format("mp3", 44100, 192),
    "mp3_22050_32": Format("mp3", 22050, 32),
    "pcm_16000": Format("pcm", 16000),
    "pcm_22050": Format("pcm", 22050),
    "pcm_24000": Format("pcm", 24000),
    "pcm_44100": Format("pcm", 44100),
    "ulaw_8000": Format("ulaw", 8000),
}


def upload_seconds(head: bytes | bytearray, size: int) -> float:
    """How long an upload of `size` bytes lasts: by the byte rate of a WAV head, else as if it were 128 kbit/s."""
    if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and len(head) >= 32:
        bytes_per_second = int.from_bytes(head[28:32], "little")
        data_at = head.find(b"data", 36)
        if bytes_per_second and data_at > 0:
            return max(0.0, (size - data_at - 8) / bytes_per_second)
    return size / _ASSUMED_UPLOAD_BYTES_PER_SECOND


def _samples(rate_hz: int) -> list[int]:
    return [round(8000 * math.sin(2 * math.pi * _TONE_HZ * at / rate_hz)) for at in range(rate_hz)]


@cache
def _pcm_second(rate_hz: int) -> bytes:
    return struct.pack(f"<{rate_hz}h", *_samples(rate_hz))


@cache
def _ulaw_second(rate_hz: int) -> bytes:
    return bytes(_ulaw(sample) for sample in _samples(rate_hz))


def _ulaw(sample: int) -> int:
    """G.711 mu-law of a 16-bit sample."""
    sign = 0x80 if sample < 0 else 0
    biased = min(abs(sample), 32635) + 132
    exponent = biased.bit_length() - 8
    mantissa = biased >> (exponent + 3) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def _mp3_tone(form: Format, seconds: float) -> bytes:
    """Layer III frames that all hold the same sound; padding keeps the bit rate exact."""
    samples = 1152 if form.rate_hz >= 32000 else 576
    frames = math.ceil(seconds * form.rate_hz / samples)
    numerator = samples // 8 * form.kilobits * 1000
    size, remainder = divmod(numerator, form.rate_hz)
    plain, padded = _mp3_frame(form, size, padded=False), _mp3_frame(form, size + 1, padded=True)
    owed, tone = 0, bytearray()
    for _ in range(frames):
        owed += remainder
        is_padded = owed >= form.rate_hz
        owed -= form.rate_hz * is_padded
        tone += padded if is_padded else plain
    return bytes(tone)


@cache
def _mp3_frame(form: Format, size: int, *, padded: bool) -> bytes:
    """One frame, mono (ISO 11172-3 and 13818-3): all spectral lines are zero but the one nearest to 440 Hz."""
    is_mpeg1 = form.rate_hz >= 32000
    line = round(_TONE_HZ * 2 * _MP3_LINES / form.rate_hz)
    pairs = line // 2 + 1
    # Huffman table 1: a pair of zeros is `1`; one in the even place `01`, in the odd place `001`, then its sign.
    spectrum = "1" * (pairs - 1) + ("0010" if line % 2 else "010")
    # Big values, global gain, no scale factors, no window switching, table 1 for all three regions.
    granule = f"{len(spectrum):012b}{pairs:09b}{_GLOBAL_GAIN:08b}" + "0" * (4 if is_mpeg1 else 9) + "0" + "00001" * 3
    granule += "0" * (10 if is_mpeg1 else 9)
    side = "0" * 18 + granule * 2 if is_mpeg1 else "0" * 9 + granule
    bits = side + spectrum * (2 if is_mpeg1 else 1)
    bitrate = (_MPEG1_BITRATES if is_mpeg1 else _MPEG2_BITRATES)[form.kilobits]
    head = bytes([0xFF, 0xFB if is_mpeg1 else 0xF3, bitrate << 4 | padded << 1, 0xC0])
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return (head + body).ljust(size, b"\0")
