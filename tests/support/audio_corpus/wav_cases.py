"""WAV recordings: every codec, every lie about a size, every layout of chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from audio_corpus.case import Case
from audio_corpus.encoding import Encoding, encode, encode_samples, tone
from audio_corpus.surgery import chunk, id3, riff, wave_format

_RATE = 8_000
_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_LIST = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 6) + b"Lavf62")


def _pcm(seconds: float, channels: int = 1) -> bytes:
    return tone(round(seconds * _RATE), channels, _RATE)


def _wav(seconds: float, *, size: int | None = None, riff_size: int | None = None, behind: bytes = b"") -> bytes:
    data = chunk(b"data", _pcm(seconds), size)
    return riff(wave_format(1, 1, _RATE, 2, 16), data + behind, size=riff_size)


def _rf64(seconds: float, data_bytes: int | None = None, *, name: bytes = b"RF64") -> bytes:
    pcm = _pcm(seconds)
    declared = len(pcm) if data_bytes is None else data_bytes
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, declared, 0, 0))
    fmt = wave_format(1, 1, _RATE, 2, 16)
    return riff(ds64, fmt, chunk(b"data", pcm, 0xFFFFFFFF), name=name, size=0xFFFFFFFF)


def _extensible(seconds: float, bits: int, valid_bits: int, codec: int) -> bytes:
    block = bits // 8
    extra = struct.pack("<HIH", valid_bits, 4, codec) + _TAIL
    samples = bytes(round(seconds * _RATE) * block)
    return riff(wave_format(0xFFFE, 1, _RATE, block, bits, extra), chunk(b"data", samples))


def _gsm(seconds: float, fact: int | None = None) -> bytes:
    blocks = round(seconds * _RATE / 320)
    fmt = wave_format(0x31, 1, _RATE, 65, 0, struct.pack("<H", 320))
    fact_chunk = b"" if fact is None else chunk(b"fact", struct.pack("<I", fact))
    return riff(fmt, fact_chunk, chunk(b"data", bytes(65 * blocks)))


def _with_fact(how: Encoding, seconds: float, samples: int) -> bytes:
    data = encode(seconds, how)
    at = data.index(b"data")
    return data[:at] + chunk(b"fact", struct.pack("<I", samples)) + data[at:]


_CODECS = (
    "pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw",
    "adpcm_ms", "adpcm_ima_wav", "adpcm_yamaha",
)  # fmt: skip
_SAMPLE_FORMATS = {"pcm_u8": "u8", "pcm_s24le": "s32", "pcm_s32le": "s32", "pcm_f32le": "flt", "pcm_f64le": "dbl"}


def _encoding(codec: str, **more: int) -> Encoding:
    return Encoding(container="wav", codec=codec, sample_format=_SAMPLE_FORMATS.get(codec), **more)


def wav_cases() -> Iterator[Case]:
    """Every WAV of the corpus."""
    yield from _coded()
    yield from _sizes()
    yield from _layouts()
    yield from _edges()
    yield from _broken()


def _coded() -> Iterator[Case]:
    for codec in _CODECS:
        yield Case("wav", f"{codec}, stereo, 12 s", lambda c=codec: encode(12, _encoding(c, channels=2)))
        yield Case("wav", f"{codec}, 9 s", lambda c=codec: encode(9, _encoding(c, rate_hz=16_000)))
    ima = Encoding(container="wav", codec="adpcm_ima_wav", rate_hz=_RATE)
    yield Case("wav", "IMA ADPCM, 300 s", lambda: encode(299, ima))
    yield Case("wav", "IMA ADPCM, fact says an hour", lambda: _with_fact(ima, 9, 3600 * _RATE))
    yield Case("wav", "IMA ADPCM, fact says nothing", lambda: _with_fact(ima, 12, 0))
    yield Case("wav", "MS ADPCM, cut in half", lambda: encode(24, _encoding("adpcm_ms"))[: 24 * 44_100 // 4])
    for kbps in (24, 32):
        how = Encoding(container="wav", codec="g726", rate_hz=_RATE, bit_rate=kbps * 1000)
        yield Case("wav", f"G.726 at {kbps} kbit/s", lambda how=how: encode(12, how))
    g723 = Encoding(container="wav", codec="g723_1", rate_hz=_RATE, bit_rate=6_300)
    yield Case("wav", "G.723.1", lambda: encode(12, g723))
    yield Case("wav", "GSM 6.10, 12 s", lambda: _gsm(12), 12)
    yield Case("wav", "GSM 6.10, 8 s", lambda: _gsm(8, 8 * _RATE), 8)
    yield Case("wav", "GSM 6.10, fact says a minute", lambda: _gsm(8, 60 * _RATE), 8)
    mp3 = Encoding(container="wav", codec="libmp3lame", bit_rate=128_000)
    yield Case("wav", "MP3 inside, 12 s", lambda: encode(12, mp3))
    yield Case("wav", "MP3 inside, 9 s", lambda: encode(9, mp3))
    yield Case("wav", "MP3 inside, fact says a minute", lambda: _with_fact(mp3, 8, 60 * 44_100))
    yield Case("wav", "MP3 inside, cut in half", lambda: encode(18, mp3)[: 9 * 16_000])
    yield Case("wav", "extensible PCM, 16 bits", lambda: _extensible(12, 16, 16, 1))
    yield Case("wav", "extensible PCM, 20 of 24 bits", lambda: _extensible(12, 24, 20, 1))
    yield Case("wav", "extensible PCM, 24 of 32 bits", lambda: _extensible(9, 32, 24, 1))
    yield Case("wav", "extensible float", lambda: _extensible(12, 32, 32, 3))


def _sizes() -> Iterator[Case]:
    truth = len(_pcm(12))
    for seconds in (9, 12):
        yield Case("wav", f"size 0, {seconds} s", lambda s=seconds: _wav(s, size=0, riff_size=0))
        yield Case("wav", f"size 0xFFFFFFFF, {seconds} s", lambda s=seconds: _wav(s, size=0xFFFFFFFF))
        yield Case("wav", f"size 0x7FFFFFFF, {seconds} s", lambda s=seconds: _wav(s, size=0x7FFFFFFF))
        yield Case("wav", f"size 0xFFFFFFDB, {seconds} s", lambda s=seconds: _wav(s, size=0xFFFFFFDB))
        yield Case("wav", f"RF64, {seconds} s", lambda s=seconds: _rf64(s))
        yield Case("wav", f"BW64, {seconds} s", lambda s=seconds: _rf64(s, name=b"BW64"), seconds)
    yield Case("wav", "size ten times too large", lambda: _wav(6, size=len(_pcm(60))))
    yield Case("wav", "size a tenth, more bytes follow", lambda: _wav(60, size=len(_pcm(6))))
    yield Case("wav", "size a little short", lambda: _wav(12, size=truth - 1000))
    yield Case("wav", "cut in half", lambda: _wav(24)[: len(_pcm(12)) + 44])
    yield Case("wav", "cut to two seconds of a minute", lambda: _wav(60)[: len(_pcm(2)) + 44])
    yield Case("wav", "false RIFF size", lambda: _wav(12, riff_size=100))
    yield Case("wav", "RF64 whose ds64 says an hour", lambda: _rf64(6, 3600 * 2 * _RATE))
    yield Case("wav", "RF64 whose ds64 says nothing", lambda: _rf64(12, 0), 12)
    yield Case("wav", "half a sample at the end", lambda: _wav(12) + b"\1")
    yield Case("wav", "false byte rate", lambda: _wav(12)[:28] + struct.pack("<I", 1) + _wav(12)[32:])
    yield Case("wav", "no bytes in a block declared", lambda: _wav(12)[:32] + b"\0\0" + _wav(12)[34:])


def _layouts() -> Iterator[Case]:
    fmt, data = wave_format(1, 1, _RATE, 2, 16), chunk(b"data", _pcm(12))
    junk = chunk(b"JUNK", bytes(200_000))
    odd = chunk(b"bext", bytes(603))
    yield Case("wav", "LIST behind the audio", lambda: riff(fmt, data, _LIST))
    yield Case("wav", "LIST in front of the audio", lambda: riff(fmt, _LIST, data))
    yield Case("wav", "200 KB of JUNK in front", lambda: riff(junk, fmt, data))
    yield Case("wav", "odd chunk in front", lambda: riff(odd, fmt, odd, data))
    yield Case("wav", "odd chunk without its padding", lambda: riff(fmt, chunk(b"note", b"abc")[:-1], data), 12)
    yield Case("wav", "two data chunks", lambda: riff(fmt, chunk(b"data", _pcm(6)), chunk(b"data", _pcm(6))), 12)
    yield Case("wav", "ID3 tag as a chunk", lambda: riff(fmt, data, chunk(b"id3 ", id3(bytes(50)))))
    yield Case("wav", "ID3v2 and junk behind the end", lambda: riff(fmt, data) + id3(bytes(1000)) + bytes(5000))
    yield Case("wav", "size 0 and a LIST behind", lambda: riff(fmt, chunk(b"data", _pcm(12), 0), _LIST))
    yield Case("wav", "unknown chunks in front", lambda: riff(chunk(b"\xa9abc", bytes(9)), fmt, data))


def _edges() -> Iterator[Case]:
    for seconds, samples in ((10, 0), (10, -1), (300, 0), (300, 1)):

        def make(seconds: int = seconds, samples: int = samples) -> bytes:
            how = Encoding(container="wav", codec="pcm_mulaw", rate_hz=_RATE)
            return encode_samples(seconds * _RATE + samples, how)

        truth = (seconds * _RATE + samples) / _RATE
        yield Case("wav", f"µ-law, {seconds} s {samples:+} samples", make, truth, exact=True)
    for samples in (-1, 0):
        make_pcm = lambda n=samples: encode_samples(441_000 + n, _encoding("pcm_s16le", channels=2))  # noqa: E731
        yield Case(
            "wav", f"16 bits stereo, 10 s {samples:+} samples", make_pcm, (441_000 + samples) / 44_100, exact=True
        )


def _broken() -> Iterator[Case]:
    fmt, data = wave_format(1, 1, _RATE, 2, 16), chunk(b"data", _pcm(12))
    broken = "audio_unreadable"
    yield Case("wav", "no fmt chunk", lambda: riff(data), refused=broken)
    yield Case("wav", "no data chunk", lambda: riff(fmt, _LIST), refused=broken)
    yield Case("wav", "fmt chunk cut short", lambda: riff(chunk(b"fmt ", bytes(8)), data), refused=broken)
    yield Case("wav", "no channels", lambda: riff(wave_format(1, 0, _RATE, 2, 16), data), refused=broken)
    yield Case("wav", "rate of 0 Hz", lambda: riff(wave_format(1, 1, 0, 2, 16), data), refused=broken)
    yield Case("wav", "0 bits a sample", lambda: riff(wave_format(1, 1, _RATE, 2, 0), data), refused=broken)
    yield Case("wav", "codec nobody knows", lambda: riff(wave_format(0x1234, 1, _RATE, 2, 16), data), refused=broken)
    yield Case("wav", "AC-3 inside", lambda: encode(12, Encoding(container="wav", codec="ac3")), refused=broken)
    yield Case(
        "wav",
        "WMA inside",
        lambda: encode(12, Encoding(container="wav", codec="wmav2", bit_rate=64_000)),
        refused=broken,
    )
    yield Case("wav", "header alone", lambda: riff(fmt), refused=broken)
    yield Case("wav", "twelve bytes", lambda: riff(), refused=broken)
    yield Case("wav", "empty data chunk", lambda: riff(fmt, chunk(b"data", b"")), 0)
    yield Case(
        "wav",
        "empty data chunk, a LIST of a minute",
        lambda: riff(fmt, chunk(b"data", b""), chunk(b"LIST", _pcm(60))),
        0,
    )
