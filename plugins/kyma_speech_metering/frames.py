"""Where the first whole frame of audio ends: what a client must have been sent before it is charged.

Source of the rule: contract section 4, "a valid audio frame".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

LOOKED_AT_BYTES_MAX: Final = 256 * 1024
"""Audio whose first frame has not ended by here has none that we would know."""

_MPEG_KBITS: Final = {
    # Layer III of MPEG-1, and of MPEG-2 and 2.5: ISO/IEC 11172-3 and 13818-3, tables of bit rates.
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_MPEG_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MPEG_HEADER_BYTES: Final = 4
_ID3_HEADER_BYTES: Final = 10
_FLAC_SAMPLE_BYTES: Final = 24
"""Behind a frame's sync: its longest header, a subframe's, and a sample."""

EndOfFrame = Callable[[bytes], int | None]
"""From the beginning of some audio to where its first whole frame ends; None if that has not come yet."""


class FirstFrame:
    """Watches audio pass until its first whole frame has."""

    def __init__(self, content_type: str) -> None:
        """`content_type` is the answer's; of an unknown type no frame is ever found."""
        self._end_of_frame = _FORMATS.get(content_type.partition(";")[0].strip().lower())
        self._seen = b""
        self.end: int | None = None
        """The offset behind the first whole frame, in bytes of the body; None as long as none has passed."""

    @property
    def watching(self) -> bool:
        """Whether there is still something to look for."""
        return self._end_of_frame is not None

    def feed(self, piece: bytes) -> None:
        """Look at the next bytes of the body."""
        if self._end_of_frame is None:
            return
        self._seen += piece[: LOOKED_AT_BYTES_MAX - len(self._seen)]
        self.end = self._end_of_frame(self._seen)
        if self.end is not None or len(self._seen) >= LOOKED_AT_BYTES_MAX:
            self._end_of_frame = None
            self._seen = b""


def end_of_mp3_frame(audio: bytes) -> int | None:
    """Behind the first complete MPEG layer III frame, wherever it begins; an ID3v2 tag in front is passed over."""
    at = 0
    if audio.startswith(b"ID3"):
        if len(audio) < _ID3_HEADER_BYTES:
            return None
        size = sum((byte & 0x7F) << shift for byte, shift in zip(audio[6:10], (21, 14, 7, 0), strict=True))
        at = _ID3_HEADER_BYTES + size
    while (at := audio.find(b"\xff", at)) >= 0 and at + _MPEG_HEADER_BYTES <= len(audio):
        size = _mp3_frame_bytes(audio[at : at + _MPEG_HEADER_BYTES])
        if size:
            return at + size if at + size <= len(audio) else None
        at += 1
    return None


def _mp3_frame_bytes(header: bytes) -> int:
    """The size of the frame that begins with this header; 0 if it is none."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate = header[2] >> 2 & 3
    if header[1] & 0xE0 != 0xE0 or version == 1 or layer != 1 or rate == 3:
        return 0
    kbits = _MPEG_KBITS[1 if version == 3 else 2][header[2] >> 4]
    samples = 144 if version == 3 else 72
    return samples * kbits * 1000 // _MPEG_RATES[version][rate] + (header[2] >> 1 & 1) if kbits else 0


def end_of_wav_sample(audio: bytes) -> int | None:
    """Behind the first sample of a RIFF/WAVE file's data."""
    if audio[:4] != b"RIFF" or audio[8:12] != b"WAVE":
        return None
    at, block_bytes = 12, 2
    while at + 8 <= len(audio):
        name, size = audio[at : at + 4], int.from_bytes(audio[at + 4 : at + 8], "little")
        if name == b"data":
            return at + 8 + block_bytes if at + 8 + block_bytes <= len(audio) and size else None
        if name == b"fmt " and at + 22 <= len(audio):
            block_bytes = max(1, int.from_bytes(audio[at + 20 : at + 22], "little"))
        at += 8 + size + size % 2
    return None


def end_of_flac_sample(audio: bytes) -> int | None:
    """Behind the first sample of a FLAC stream's first frame: its header has at most 16 bytes (RFC 9639, section 9)."""
    if audio[:4] != b"fLaC":
        return None
    at, last = 4, False
    while not last:
        if at + 4 > len(audio):
            return None
        last = bool(audio[at] & 0x80)
        at += 4 + int.from_bytes(audio[at + 1 : at + 4], "big")
    is_frame = len(audio) >= at + 2 and audio[at] == 0xFF and audio[at + 1] & 0xFC == 0xF8
    return at + _FLAC_SAMPLE_BYTES if is_frame and len(audio) >= at + _FLAC_SAMPLE_BYTES else None


def end_of_ogg_audio(audio: bytes) -> int | None:
    """Behind the first page of an Ogg stream that completes audio: headers are at 0 (RFC 7845, section 4)."""
    at = 0
    while audio[at : at + 4] == b"OggS" and at + 27 <= len(audio):
        segments = audio[at + 26]
        end = at + 27 + segments + sum(audio[at + 27 : at + 27 + segments])
        if len(audio) < end:
            return None
        if 0 < int.from_bytes(audio[at + 6 : at + 14], "little") < 2**63:
            return end
        at = end
    return None


def _samples(size: int) -> EndOfFrame:
    return lambda audio: size if len(audio) >= size else None


_FORMATS: Final[Mapping[str, EndOfFrame]] = {
    "audio/mpeg": end_of_mp3_frame,
    "audio/mp3": end_of_mp3_frame,
    "audio/wav": end_of_wav_sample,
    "audio/x-wav": end_of_wav_sample,
    "audio/wave": end_of_wav_sample,
    "audio/flac": end_of_flac_sample,
    "audio/ogg": end_of_ogg_audio,
    "audio/pcm": _samples(2),
    "audio/basic": _samples(1),
}
"""By media type. 16-bit linear samples, 8-bit mu-law ones."""
