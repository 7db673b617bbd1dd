"""How many sample frames the audio bytes of a WAV decode to, codec by codec.

Codes and block layouts: RFC 2361 and Microsoft's "New Multimedia Data Types"; GSM 6.10 as in its appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kyma_voice_clone.audio.judgement import unreadable

PCM, MS_ADPCM, FLOAT, ALAW, MULAW, IMA_ADPCM = 1, 2, 3, 6, 7, 0x11
YAMAHA_ADPCM, TRUESPEECH, GSM, G723, G726, G726_ADPCM, MP3 = 0x20, 0x22, 0x31, 0x42, 0x45, 0x64, 0x55
EXTENSIBLE: Final = 0xFFFE

_SAMPLED: Final = (PCM, FLOAT, ALAW, MULAW)
_FIXED_BLOCKS: Final = {
    (TRUESPEECH, 32): 240,
    (GSM, 65): 320,
    (G723, 20): 240,
    (G723, 24): 240,
}
"""Samples of a block by codec and block size in bytes, where a codec knows no other."""
_NAMES: Final = {0x50: "MPEG audio layer I or II", 0xFF: "AAC", 0x160: "WMA", 0x161: "WMA", 0x162: "WMA",
                 0x1600: "AAC", 0x2000: "AC-3", 0x2001: "DTS", 0x674F: "Vorbis", 0xF1AC: "FLAC"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WaveFormat:
    """The `fmt ` chunk: codec, channels, rate in Hz, bytes of a block of all channels, bits of a sample."""

    codec: int
    channels: int
    rate_hz: int
    block_bytes: int
    bits: int


def count_samples(form: WaveFormat, byte_count: int, declared: int | None) -> tuple[int, str]:
    """Sample frames in `byte_count` bytes of audio, and by what they were counted.

    They come from what the codec makes of the bytes, never from the declared byte rate. `declared` is the number in the
    `fact` chunk: it says where in the last block the audio ends, and counts only where it falls into that block.
    Raises GatewayError AUDIO_UNREADABLE.
    """
    if form.codec in _SAMPLED:
        return byte_count // _frame_bytes(form), "data chunk"
    if form.codec in (G726, G726_ADPCM):
        if form.channels != 1 or not 2 <= form.bits <= 5:
            raise unreadable("its `fmt ` chunk contradicts itself about the size of a sample")
        return byte_count * 8 // form.bits, "data chunk"
    if form.codec == YAMAHA_ADPCM:
        return byte_count * 2 // form.channels, "data chunk"
    in_block = _samples_of_block(form)
    blocks, rest = divmod(byte_count, form.block_bytes)
    samples = blocks * in_block(form.block_bytes) + in_block(rest)
    if declared is not None and samples - in_block(form.block_bytes) < declared <= samples:
        return declared, "blocks counted, `fact` agrees"
    return samples, "blocks counted"


def _frame_bytes(form: WaveFormat) -> int:
    """Bytes of one sample of all channels; a block size of 0 is left unsaid by some recorders."""
    sample_bytes = 1 if form.codec in (ALAW, MULAW) else -(-form.bits // 8)
    if not 1 <= sample_bytes <= 8 or form.block_bytes not in (0, sample_bytes * form.channels):
        raise unreadable("its `fmt ` chunk contradicts itself about the size of a sample")
    return sample_bytes * form.channels


@dataclass(frozen=True, slots=True)
class _Adpcm:
    """4-bit ADPCM: every block is a header, which holds samples of its own, and two samples in each byte."""

    channels: int
    header_bytes: int
    header_samples: int

    def __call__(self, block_bytes: int) -> int:
        if block_bytes < self.header_bytes:
            return 0
        return self.header_samples + (block_bytes - self.header_bytes) * 2 // self.channels


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A codec whose blocks all have one size; what is left of one does not decode."""

    block_bytes: int
    samples: int

    def __call__(self, block_bytes: int) -> int:
        return self.samples if block_bytes == self.block_bytes else 0


def _samples_of_block(form: WaveFormat) -> _Adpcm | _Fixed:
    """Samples of a block by its size in bytes, which is smaller than the others' at the end of a file."""
    if form.codec in (IMA_ADPCM, MS_ADPCM):
        is_ima = form.codec == IMA_ADPCM
        adpcm = _Adpcm(form.channels, (4 if is_ima else 7) * form.channels, 1 if is_ima else 2)
        if form.bits != 4 or form.block_bytes <= adpcm.header_bytes:
            raise unreadable("its `fmt ` chunk contradicts itself about the size of a block")
        return adpcm
    samples = _FIXED_BLOCKS.get((form.codec, form.block_bytes))
    if samples is None or form.channels != 1:
        name = _NAMES.get(form.codec, f"codec {form.codec:#06x}")
        raise unreadable(f"WAV with {name} inside is not supported")
    return _Fixed(form.block_bytes, samples)
