"""What is no MP3, WAV or M4A, by name where it has one."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import av

from audio_corpus.case import Case
from audio_corpus.encoding import Encoding, encode
from audio_corpus.m4a_cases import m4a_brand
from audio_corpus.surgery import box, id3

_ENCODED = (
    ("Ogg Vorbis", Encoding(container="ogg", codec="vorbis", channels=2, codec_options={"strict": "-2"})),
    ("Ogg Opus", Encoding(container="ogg", codec="libopus", rate_hz=48_000)),
    ("Ogg FLAC", Encoding(container="ogg", codec="flac", sample_format="s16")),
    ("FLAC", Encoding(container="flac", codec="flac", sample_format="s16")),
    ("AIFF", Encoding(container="aiff", codec="pcm_s16be")),
    ("AMR", Encoding(container="amr", codec="libopencore_amrnb", rate_hz=8_000)),
    ("ADTS", Encoding(container="adts", codec="aac", bit_rate=64_000)),
    ("WebM", Encoding(container="webm", codec="libopus", rate_hz=48_000)),
    ("Matroska", Encoding(container="matroska", codec="aac")),
    ("WMA", Encoding(container="asf", codec="wmav2", bit_rate=64_000)),
    ("CAF", Encoding(container="caf", codec="pcm_s16be")),
    ("AU", Encoding(container="au", codec="pcm_s16be")),
    ("AC-3", Encoding(container="ac3", codec="ac3", bit_rate=64_000)),
    ("E-AC-3", Encoding(container="eac3", codec="eac3", bit_rate=64_000)),
    ("layer II", Encoding(container="mp2", codec="mp2", bit_rate=64_000)),
    ("WavPack", Encoding(container="wv", codec="wavpack", sample_format="s16p")),
    ("TTA", Encoding(container="tta", codec="tta", sample_format="s16")),
    ("MOV", Encoding(container="mov", codec="aac")),
    ("Wave64", Encoding(container="w64", codec="pcm_s16le")),
    ("RealMedia", Encoding(container="rm", codec="ac3", bit_rate=64_000)),
    ("AMR audio", Encoding(container="3gp", codec="libopencore_amrnb", rate_hz=8_000)),
    ("Opus audio", Encoding(container="mp4", codec="libopus", rate_hz=48_000)),
    ("FLAC audio", Encoding(container="mp4", codec="flac", sample_format="s16", codec_options={"strict": "-2"})),
    ("AC-3 audio", Encoding(container="mp4", codec="ac3", bit_rate=64_000)),
    ("MP3 audio", Encoding(container="mp4", codec="libmp3lame", bit_rate=64_000)),
    ("a video (MP4)", Encoding(container="mp4", codec="aac", with_video=True)),
    ("MOV", Encoding(container="mov", codec="aac", with_video=True)),
    ("AVI", Encoding(container="avi", codec="libmp3lame", bit_rate=64_000, with_video=True)),
    ("FLV", Encoding(container="flv", codec="libmp3lame", bit_rate=64_000)),
    ("MPEG-TS", Encoding(container="mpegts", codec="aac", bit_rate=64_000)),
    ("MPEG", Encoding(container="mpeg", codec="mp2", bit_rate=64_000)),
)


def refused_cases() -> Iterator[Case]:
    """Every file of the corpus that is answered 415."""
    for name, how in _ENCODED:
        trait = f"{how.codec} in {how.container}{', with pictures' * how.with_video}"
        yield Case("other", trait, lambda h=how: encode(12, h), refused="unsupported_format", named=name)
    yield from _made()
    yield from _behind_tags()


def _made() -> Iterator[Case]:
    for trait, name, make in (
        ("PNG", "PNG", _png),
        ("JPEG", "JPEG", lambda: b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500)),
        ("GIF", "GIF", lambda: b"GIF89a" + bytes(500)),
        ("WebP", "WebP", lambda: b"RIFF" + struct.pack("<I", 500) + b"WEBPVP8 " + bytes(492)),
        ("HEIC", "HEIF", lambda: box(b"ftyp", b"heic\0\0\0\0mif1") + bytes(500)),
        ("PDF", "PDF", lambda: b"%PDF-1.7\n" + bytes(500)),
        ("ZIP with an MP3", "ZIP", _zip),
        ("tar with an MP3", "tar", _tar),
        ("gzip", "gzip", lambda: b"\x1f\x8b\x08" + zlib.compress(bytes(5_000))),
        ("7-Zip", "7-Zip", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(500)),
        ("RAR", "RAR", lambda: b"Rar!\x1a\x07" + bytes(500)),
        ("MIDI", "MIDI", lambda: b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(60)),
        ("MIDI in RIFF", "MIDI", lambda: b"RIFF\x40\0\0\0RMIDdata" + bytes(60)),
        ("text", "text", lambda: ("Grüße, " * 300).encode()),
        ("JSON", "text", lambda: b'{"file": "voice.mp3"}'),
        ("HTML", "text", lambda: b"<!doctype html><title>404</title>"),
        ("text of 16 bits", "text", lambda: "an error page".encode("utf-16")),
        ("RTF", "RTF", lambda: b"{\\rtf1 voice}"),
        ("big-endian WAV", "big-endian WAV", lambda: b"RIFX\0\0\0\x24WAVEfmt " + bytes(100)),
        ("layer I", "layer I", lambda: (b"\xff\xff\x14\xc0" + bytes(28)) * 500),
        ("layer II behind stray bytes", "layer II", lambda: b"\1" * 999 + _mp2()),
        ("ADTS behind stray bytes", "ADTS", lambda: b"\1" * 999 + encode(12, dict(_ENCODED)["ADTS"])),
        ("M4B with pictures", "a video (MP4)", lambda: m4a_brand(encode(12, dict(_ENCODED)["a video (MP4)"]), b"M4B ")),
        ("random bytes", "not a recording", lambda: random.Random(1).randbytes(500_000)),
        ("zeros", "not a recording", lambda: bytes(500_000)),
        ("a program", "program", lambda: b"\x7fELF\2\1\1" + bytes(500)),
        ("a DASH segment", "segment", lambda: box(b"styp", b"msdh\0\0\0\0msdh") + box(b"moof", bytes(50))),
    ):
        yield Case("other", trait, make, refused="unsupported_format", named=name)
    yield Case("other", "M4A with pictures, by its brand", lambda: m4a_brand(_video(), b"M4A "))


def _behind_tags() -> Iterator[Case]:
    tag = id3(bytes(300))
    for trait, name, make in (
        ("FLAC", "FLAC", lambda: encode(12, dict(_ENCODED)["FLAC"])),
        ("ADTS", "ADTS", lambda: encode(12, dict(_ENCODED)["ADTS"])),
        ("layer II", "layer II", _mp2),
        ("WAV", "WAV", lambda: encode(12, Encoding(container="wav", codec="pcm_s16le"))),
        ("M4A", "MP4", lambda: encode(12, Encoding(container="ipod", codec="aac"))),
        ("Ogg", "Ogg", lambda: encode(12, dict(_ENCODED)["Ogg Opus"])),
        ("AIFF", "AIFF", lambda: encode(12, dict(_ENCODED)["AIFF"])),
        ("a picture", "PNG", _png),
        ("random bytes", "not a recording", lambda: random.Random(2).randbytes(100_000)),
    ):
        yield Case("other", f"{trait} behind a tag", lambda m=make: tag + m(), refused="unsupported_format", named=name)


def _mp2() -> bytes:
    return encode(12, dict(_ENCODED)["layer II"])


def _video() -> bytes:
    return encode(12, dict(_ENCODED)["a video (MP4)"])


def _mp3() -> bytes:
    return encode(12, Encoding(container="mp3", codec="libmp3lame", bit_rate=64_000))


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("voice.mp3", _mp3())
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("voice.mp3")
        member.size = len(_mp3())
        archive.addfile(member, io.BytesIO(_mp3()))
    return file.getvalue()


def _png() -> bytes:
    picture = av.VideoFrame(16, 16, "rgb24")
    context: Any = av.CodecContext.create("png", "w")
    context.width = context.height = 16
    context.pix_fmt = "rgb24"
    context.time_base = 1
    return b"".join(bytes(packet) for packet in context.encode(picture))
