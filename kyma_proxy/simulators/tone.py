"""Sound made in code: a steady tone as MP3, PCM and mu-law, which players play and tests can measure."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache

TONE_HZ = 440
_MP3_LINES = 576
_GLOBAL_GAIN = 202  # about -15 dB
_MPEG1_BITRATES = {32: 1, 64: 5, 128: 9, 192: 11, 256: 13}
_MPEG2_BITRATES = {32: 4, 64: 8, 128: 12, 160: 14}
_MP3_RATES = {44100: (3, 0), 48000: (3, 1), 32000: (3, 2), 22050: (2, 0), 24000: (2, 1), 16000: (2, 2), 8000: (0, 2)}
"""Sample rate to the version bits of a frame's head (3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5) and its rate index."""


@dataclass(frozen=True, slots=True)
class Format:
    """An audio format without a container: `kind` is mp3, pcm or ulaw; `kilobits` is 0 unless it is mp3."""

    kind: str
    rate_hz: int
    kilobits: int = 0
    channels: int = 1

    @property
    def content_type(self) -> str:
        """The Content-Type of raw audio in this format."""
        return {"mp3": "audio/mpeg", "pcm": "audio/pcm", "ulaw": "audio/basic"}[self.kind]

    def tone(self, seconds: float) -> bytes:
        """So many seconds of 440 Hz, the same in every channel; MP3 rounds up to whole frames."""
        if self.kind == "mp3":
            return _mp3_tone(self, seconds)
        unit = _pcm_second(self.rate_hz) if self.kind == "pcm" else _ulaw_second(self.rate_hz)
        sample_bytes = len(unit) // self.rate_hz
        if self.channels == 2:
            unit = b"".join(unit[at : at + sample_bytes] * 2 for at in range(0, len(unit), sample_bytes))
        whole, rest = divmod(round(seconds * self.rate_hz), self.rate_hz)
        return unit * whole + unit[: rest * sample_bytes * self.channels]


def _samples(rate_hz: int) -> list[int]:
    return [round(8000 * math.sin(2 * math.pi * TONE_HZ * at / rate_hz)) for at in range(rate_hz)]


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
    """One frame (ISO 11172-3 and 13818-3): all spectral lines are zero but the one nearest to 440 Hz."""
    version, rate_index = _MP3_RATES[form.rate_hz]
    is_mpeg1 = version == 3
    line = round(TONE_HZ * 2 * _MP3_LINES / form.rate_hz)
    pairs = line // 2 + 1
    # Huffman table 1: a pair of zeros is `1`; one in the even place `01`, in the odd place `001`, then its sign.
    spectrum = "1" * (pairs - 1) + ("0010" if line % 2 else "010")
    # Big values, global gain, no scale factors, no window switching, table 1 for all three regions.
    granule = f"{len(spectrum):012b}{pairs:09b}{_GLOBAL_GAIN:08b}" + "0" * (4 if is_mpeg1 else 9) + "0" + "00001" * 3
    granule += "0" * (10 if is_mpeg1 else 9)
    # What stands before the granules: 18 bits of MPEG-1 mono, 20 stereo; 9 and 10 of MPEG-2.
    preamble = "0" * (16 + 2 * form.channels if is_mpeg1 else 8 + form.channels)
    granules = (2 if is_mpeg1 else 1) * form.channels
    bits = preamble + granule * granules + spectrum * granules
    bitrate = (_MPEG1_BITRATES if is_mpeg1 else _MPEG2_BITRATES)[form.kilobits]
    mode = 0xC0 if form.channels == 1 else 0x00
    head = bytes([0xFF, 0xE3 | version << 3, bitrate << 4 | rate_index << 2 | padded << 1, mode])
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return (head + body).ljust(size, b"\0")
