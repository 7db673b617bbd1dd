"""What one access unit of an M4A track decodes to: by the codec's own configuration, whatever the time tables say.

AAC: ISO/IEC 14496-3 (AudioSpecificConfig) in an `esds` box of 14496-1 descriptors. ALAC: Apple's magic cookie.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kyma_voice_clone.audio.boxes import U16, Box, Boxes
from kyma_voice_clone.audio.judgement import unreadable, unsupported

_RATES_HZ: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_RATE_HZ_MAX: Final = 768_000
_UNIT_SAMPLES_MAX: Final = 16_384
"""Four times what ALAC encoders use; without a bound a few bytes could claim to play for hours."""
_SPECTRAL_BAND: Final = (5, 29)
_LOW_DELAY: Final = (23, 39)
_AAC_TYPES: Final = (1, 2, 3, 4, *_LOW_DELAY)
_AAC_OBJECTS: Final = (0x40, 0x66, 0x67, 0x68)
_OTHER_ENTRIES: Final = {
    b"samr": "AMR",
    b"sawb": "AMR",
    b"sawp": "AMR",
    b"Opus": "Opus",
    b"fLaC": "FLAC",
    b"ac-3": "AC-3",
    b"ec-3": "E-AC-3",
    b"ac-4": "AC-4",
    b"dtsc": "DTS",
    b"dtsh": "DTS",
    b"dtsl": "DTS",
    b"dtse": "DTS",
    b".mp3": "MP3",
    b"mp3 ": "MP3",
    b"ms\0\x55": "MP3",
    b"mhm1": "MPEG-H",
    b"mha1": "MPEG-H",
    **dict.fromkeys((b"sowt", b"twos", b"lpcm", b"ipcm", b"fpcm", b"raw ", b"in24", b"in32", b"fl32", b"fl64"), "PCM"),
    b"ulaw": "PCM",
    b"alaw": "PCM",
    b"ima4": "ADPCM",
    b"QDM2": "QDesign",
    b"Qclp": "QCELP",
    b"sqcp": "QCELP",
    b"sevc": "EVRC",
}
_OTHER_OBJECTS: Final = {
    0x69: "MP3",
    0x6B: "MP3",
    0xA5: "AC-3",
    0xA6: "E-AC-3",
    0xA9: "DTS",
    0xDD: "Vorbis",
    0xE1: "QCELP",
}
"""Object types registered with the MPEG-4 registration authority (mp4ra)."""
_PROTECTED: Final = (b"enca", b"drms")
_EXTRA_FIELD_BYTES: Final = {0: 0, 1: 16, 2: 36}
"""What QuickTime's versions of the sample entry have more than the 28 bytes of the standard's."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Samples that one access unit decodes to, and their rate in Hz."""

    samples: int
    rate_hz: int

    @property
    def seconds(self) -> Fraction:
        """The exact duration of one access unit."""
        return Fraction(self.samples, self.rate_hz)


def read_unit(boxes: Boxes, description: Box) -> Unit:
    """The access unit of the first entry of an `stsd` box. Raises GatewayError, 415 for another codec."""
    entry = next(boxes.children(description, skip=8), None)
    if entry is None:
        raise unreadable("its sample description is empty")
    if entry.name in _OTHER_ENTRIES:
        raise unsupported(f"{_OTHER_ENTRIES[entry.name]} audio in a 3GP or MP4 container")
    if entry.name in _PROTECTED:
        raise unreadable("it is copy-protected")
    if entry.name not in (b"mp4a", b"alac"):
        raise unreadable(f"M4A with codec {entry.name.decode('latin-1')!r} is not supported, only AAC and ALAC")
    skip = 28 + _EXTRA_FIELD_BYTES.get(boxes.number(entry, 8, U16), 0)
    wanted = b"esds" if entry.name == b"mp4a" else b"alac"
    config = _find_config(boxes, entry, skip, wanted)
    unit = _read_esds(boxes, config) if wanted == b"esds" else _read_alac(boxes, config)
    if not _RATES_HZ[-1] <= unit.rate_hz <= _RATE_HZ_MAX or not 1 <= unit.samples <= _UNIT_SAMPLES_MAX:
        raise unreadable("its codec configuration is not plausible")
    return unit


def _find_config(boxes: Boxes, entry: Box, skip: int, wanted: bytes) -> Box:
    """The box with the codec's configuration, which QuickTime puts into a `wave` box."""
    for child in boxes.children(entry, skip):
        found = boxes.find(child, wanted) if child.name == b"wave" else child
        if found is not None and found.name == wanted:
            return found
    raise unreadable("its codec configuration is missing")


def _read_alac(boxes: Boxes, config: Box) -> Unit:
    return Unit(boxes.number(config, 4), boxes.number(config, 24))


def _read_esds(boxes: Boxes, config: Box) -> Unit:
    """Follow ES descriptor → decoder configuration → decoder-specific info, which is the AudioSpecificConfig."""
    data = bytes(boxes.data[config.start + 4 : min(config.end, config.start + 512)])
    try:
        position, _ = _descriptor(data, 0, 0x03)
        flags = data[position + 2]
        position += 3 + 2 * (flags >> 7)
        if flags & 0x40:
            position += 1 + data[position]
        position += 2 * (flags >> 5 & 1)
        position, _ = _descriptor(data, position, 0x04)
        if data[position] in _OTHER_OBJECTS:
            raise unsupported(f"{_OTHER_OBJECTS[data[position]]} audio in an MP4 container")
        if data[position] not in _AAC_OBJECTS:
            raise unreadable(f"MPEG-4 object type {data[position]:#04x} is not supported, only AAC")
        position, size = _descriptor(data, position + 13, 0x05)
    except IndexError as error:
        raise unreadable("its AAC configuration is cut short") from error
    return _read_audio_config(data[position : position + size])


def _descriptor(data: bytes, position: int, tag: int) -> tuple[int, int]:
    """Where the content of a descriptor begins, and its size in bytes; the size is at most four bytes of seven bits."""
    if data[position] != tag:
        raise unreadable("its AAC configuration is not in order")
    size = 0
    for length_bytes in range(1, 5):
        size = size << 7 | data[position + length_bytes] & 0x7F
        if data[position + length_bytes] < 0x80:
            break
    return position + 1 + length_bytes, size


class _Bits:
    """Reads bits from the front; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:16].ljust(16, b"\0"), "big")
        self._left = 128

    def take(self, count: int) -> int:
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


def _read_audio_config(config: bytes) -> Unit:
    """AudioSpecificConfig, as far as the core's rate and frame length: band replication changes neither's ratio."""
    bits = _Bits(config)
    kind, rate_hz = _object_type(bits), _rate(bits)
    bits.take(4)
    if kind in _SPECTRAL_BAND:
        _rate(bits)
        kind = _object_type(bits)
    if kind not in _AAC_TYPES or not config:
        raise unreadable(f"AAC of type {kind} is not supported")
    short_frames = bits.take(1)
    if kind in _LOW_DELAY:
        return Unit(480 if short_frames else 512, rate_hz)
    return Unit(960 if short_frames else 1024, rate_hz)


def _object_type(bits: _Bits) -> int:
    kind = bits.take(5)
    return 32 + bits.take(6) if kind == 31 else kind


def _rate(bits: _Bits) -> int:
    index = bits.take(4)
    if index == 15:
        return bits.take(24)
    return _RATES_HZ[index] if index < len(_RATES_HZ) else 0
