"""MP3 recordings: versions, rates, tags, headers that lie, and streams that were cut, joined or damaged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from functools import cache

from audio_corpus.case import Case
from audio_corpus.encoding import Encoding, encode, encode_samples
from audio_corpus.surgery import ape, id3, id3v1

_NO_INDEX = {"write_xing": "0", "id3v2_version": "0"}
_NO_TAG = {"id3v2_version": "0"}
_VBR = {"global_quality": "500", "flags": "+qscale"}


def _how(*, index: bool = False, vbr: bool = False, rate: int = 44_100, kbps: int = 64, channels: int = 1) -> Encoding:
    return Encoding(
        container="mp3",
        codec="libmp3lame",
        rate_hz=rate,
        channels=channels,
        bit_rate=None if vbr else kbps * 1000,
        codec_options=_VBR if vbr else {},
        container_options=_NO_TAG if index else _NO_INDEX,
    )


@cache
def _mp3(seconds: float, *, index: bool = False, vbr: bool = False, rate: int = 44_100) -> bytes:
    return encode(seconds, _how(index=index, vbr=vbr, rate=rate))


def _frame_starts(data: bytes) -> list[int]:
    """Offsets of the frames of a 64 kbit/s, 44.1 kHz stream without padding bytes moved."""
    starts, position = [], 0
    while position + 4 <= len(data):
        starts.append(position)
        position += 208 + (data[position + 2] >> 1 & 1)
    return starts


def _lame_count(data: bytes, frames: int) -> bytes:
    """The file with another frame count in its Xing or Info frame."""
    at = max(data[:200].find(b"Xing"), data[:200].find(b"Info"))
    return data[: at + 8] + struct.pack(">I", frames) + data[at + 12 :]


def _lame_trim(data: bytes, delay: int, padding: int) -> bytes:
    at = max(data.find(b"Lavf", 0, 400), data.find(b"Lavc", 0, 400), data.find(b"LAME", 0, 400)) + 21
    return data[:at] + (delay << 12 | padding).to_bytes(3, "big") + data[at + 3 :]


def _free_format(seconds: float) -> bytes:
    """A stream of constant rate with the rate taken out of its headers, as free format has it."""
    out = bytearray(_mp3(seconds))
    for start in _frame_starts(bytes(out)):
        out[start + 2] &= 0x0F
    return bytes(out)


def _vbri(seconds: float, frames: int) -> bytes:
    """A stream behind a frame with Fraunhofer's index."""
    data = _mp3(seconds)
    head = bytearray(data[:208])
    head[4:] = bytes(204)
    head[2] &= 0xFD
    head[36:54] = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(data), frames)
    return bytes(head) + data


def _compressed_id3() -> bytes:
    packed = zlib.compress(bytes(40_000_000), 9)
    frame = (
        b"TXXX"
        + bytes((len(packed) + 4 >> s) & 0x7F for s in (21, 14, 7, 0))
        + b"\0\x09"
        + bytes((4, 0, 0, 0))
        + packed
    )
    return id3(frame)


def mp3_cases() -> Iterator[Case]:
    """Every MP3 of the corpus."""
    yield from _kinds()
    yield from _tags()
    yield from _lies()
    yield from _damage()
    yield from _edges()
    yield from _broken()


def _kinds() -> Iterator[Case]:
    for rate in (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000):
        yield Case("mp3", f"{rate} Hz, index", lambda r=rate: _mp3(12, index=True, rate=r))
        yield Case("mp3", f"{rate} Hz, no index, 9 s", lambda r=rate: _mp3(9, rate=r))
    for seconds in (9, 12, 298, 302):
        yield Case("mp3", f"VBR, index, {seconds} s", lambda s=seconds: _mp3(s, vbr=True, index=True, rate=16_000))
        yield Case("mp3", f"VBR, no index, {seconds} s", lambda s=seconds: _mp3(s, vbr=True, rate=16_000))
    for kbps in (32, 128, 320):
        yield Case("mp3", f"stereo at {kbps} kbit/s", lambda k=kbps: encode(12, _how(kbps=k, channels=2)))
    yield Case("mp3", "VBR, no index, cut in half", lambda: (d := _mp3(24, vbr=True))[: len(d) // 2])
    yield Case("mp3", "free format, 12 s", lambda: _free_format(12), 12.042)
    yield Case("mp3", "free format, 9 s", lambda: _free_format(9), 9.038)
    yield Case("mp3", "free format behind a tag", lambda: id3(bytes(500)) + _free_format(12) + id3v1(), 12.042)
    yield Case("mp3", "free format, cut in half", lambda: (d := _free_format(24))[: len(d) // 2], 12.016)


def _tags() -> Iterator[Case]:
    art = b"APIC" + bytes((0, 1, 0, 0)) + b"\0\0" + bytes(16_384)
    yield Case("mp3", "ID3v2.4 with art", lambda: id3(art) + _mp3(12))
    yield Case("mp3", "ID3v2.3, 5 MB of it", lambda: id3(bytes(5_000_000), version=3) + _mp3(12, vbr=True))
    yield Case("mp3", "ID3v2.2", lambda: id3(bytes(100), version=2) + _mp3(12))
    yield Case("mp3", "ID3v2.4 with a footer", lambda: id3(bytes(64), flags=0x10) + b"3DI\4\0\x10\0\0\0\x40" + _mp3(12))
    yield Case("mp3", "two ID3v2 tags", lambda: id3(bytes(100)) + id3(bytes(300), version=3) + _mp3(9))
    yield Case("mp3", "ID3 frame that inflates to 40 MB", lambda: _compressed_id3() + _mp3(12), mutagen_hangs=True)
    yield Case("mp3", "sync words inside the tag", lambda: id3(_mp3(3)[:3000] * 8) + _mp3(9))
    yield Case("mp3", "ID3v1", lambda: _mp3(12) + id3v1())
    yield Case("mp3", "APEv2 at the end", lambda: _mp3(12) + ape(bytes(2000)) + id3v1())
    yield Case("mp3", "APEv2 in front", lambda: ape(bytes(2000)) + _mp3(12), 12.042)
    yield Case("mp3", "Lyrics3 at the end", lambda: _mp3(9) + b"LYRICSBEGIN" + bytes(400) + b"LYRICS200" + id3v1())
    yield Case("mp3", "zeros between tag and audio", lambda: id3(bytes(10)) + bytes(30_000) + _mp3(12))
    yield Case("mp3", "1 MB of zeros between tag and audio", lambda: id3(bytes(10)) + bytes(1 << 20) + _mp3(12), 12.042)
    yield Case("mp3", "stray bytes in front", lambda: b"\x01\x02\x03" * 100 + _mp3(12), 12.042)
    yield Case("mp3", "zeros behind the audio", lambda: _mp3(9) + bytes(100_000))
    yield Case("mp3", "a minute of zeros behind the audio", lambda: _mp3(9) + bytes(480_000))
    yield Case("mp3", "ID3v2 at the end", lambda: _mp3(9) + id3(bytes(50_000)))


def _lies() -> Iterator[Case]:
    yield Case("mp3", "index says ten times more", lambda: _lame_count(_mp3(8, index=True), 3_100))
    yield Case("mp3", "index says a tenth", lambda: _lame_count(_mp3(60, index=True), 230))
    yield Case("mp3", "index says an hour, two seconds there", lambda: _lame_count(_mp3(2, index=True), 137_000))
    yield Case("mp3", "delay and padding of half a second in all", lambda: _lame_trim(_mp3(12, index=True), 4000, 4000))
    yield Case("mp3", "CBR with index, cut in half", lambda: (d := _mp3(24, index=True))[: len(d) // 2])
    yield Case("mp3", "CBR with index, cut to nine seconds", lambda: (d := _mp3(24, index=True))[: len(d) * 9 // 24])
    yield Case("mp3", "VBR with index, cut in half", lambda: (d := _mp3(18, index=True, vbr=True))[: len(d) // 2])
    yield Case("mp3", "VBRI that is true", lambda: _vbri(12, 461), 12.042)
    yield Case("mp3", "VBRI that says an hour", lambda: _vbri(9, 137_000), 9.038)
    yield Case("mp3", "VBRI that says nothing", lambda: _vbri(12, 0), 12.042)


def _damage() -> Iterator[Case]:
    half = _mp3(6)
    yield Case("mp3", "two files joined", lambda: half + half)
    yield Case(
        "mp3", "two files with tags joined", lambda: id3(bytes(500)) + half + id3v1() + id3(bytes(900)) + half + id3v1()
    )
    yield Case("mp3", "two files with index joined", lambda: _mp3(6, index=True) * 2)
    yield Case("mp3", "files of two rates joined", lambda: _mp3(6) + _mp3(6, rate=48_000))
    yield Case("mp3", "garbage in the middle", lambda: half + b"\x55\xaa" * 4_000 + half)
    yield Case("mp3", "half a frame missing", lambda: half[:5_100] + half[5_200:] + half)
    yield Case("mp3", "last frame cut", lambda: _mp3(12)[:-50])
    yield Case("mp3", "first frame cut", lambda: _mp3(12)[100:])
    yield Case("mp3", "one byte flipped in every second", lambda: _flipped(_mp3(12)))


def _flipped(data: bytes) -> bytes:
    out = bytearray(data)
    for position in range(4_007, len(out), 8_000):
        out[position] ^= 0xFF
    return bytes(out)


def _edges() -> Iterator[Case]:
    for rate, seconds, extra in (
        (44_100, 10, 0), (44_100, 10, -1), (44_100, 10, 1), (48_000, 10, 0), (16_000, 10, 0), (16_000, 10, -1),
        (16_000, 300, 0), (16_000, 300, 1), (16_000, 300, -1),
    ):  # fmt: skip

        def make(rate: int = rate, seconds: int = seconds, extra: int = extra) -> bytes:
            return encode_samples(seconds * rate + extra, _how(index=True, rate=rate, kbps=32))

        truth = (seconds * rate + extra) / rate
        yield Case("mp3", f"gapless, {rate} Hz, {seconds} s {extra:+} samples", make, truth, exact=True)
    frame = 1152 / 48_000
    for frames in (416, 417):
        yield Case(
            "mp3",
            f"no index, {frames} frames",
            lambda n=frames: b"".join(_frames(encode(11, _how(rate=48_000)), n)),
            frames * frame,
            exact=True,
        )


def _frames(data: bytes, count: int) -> list[bytes]:
    size = 192
    return [data[n * size : (n + 1) * size] for n in range(count)]


def _broken() -> Iterator[Case]:
    yield Case("mp3", "one frame", lambda: _mp3(12)[: _frame_starts(_mp3(12))[1]], 0.026)
    yield Case("mp3", "two seconds", lambda: _mp3(2, index=True))
    yield Case("mp3", "a tag and nothing else", lambda: id3(bytes(3_000)), refused="audio_unreadable")
    yield Case("mp3", "a tag longer than the file", lambda: id3(bytes(3_000))[:2_000], refused="audio_unreadable")
