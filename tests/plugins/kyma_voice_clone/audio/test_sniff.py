from __future__ import annotations

import struct
from pathlib import Path

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import MP3_FRAME, box, silent_m4a, silent_mp3, silent_wav
from kyma_voice_clone.audio.sniff import sniff

FIXTURES = Path(__file__).parents[3] / "fixtures"
EMPTY_ID3 = b"ID3\x04\0\0\0\0\0\0"


def id3(content: bytes) -> bytes:
    size = len(content)
    return b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + content


def ape(items: bytes) -> bytes:
    return b"APETAGEX" + struct.pack("<IIIIQ", 2000, len(items), 1, 0xA0000000, 0) + items


def ogg(packet: bytes) -> bytes:
    return b"OggS" + bytes(22) + b"\x01" + bytes([len(packet)]) + packet


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (silent_wav(1), "wav"),
        (b"RF64" + silent_wav(1)[4:], "wav"),
        (b"RIFF\0\0\0\0WAVE", "wav"),
        (silent_mp3(1), "mp3"),
        (silent_mp3(1, info_header=False), "mp3"),
        (MP3_FRAME, "mp3"),
        (id3(b"x" * 200) + silent_mp3(1), "mp3"),
        (id3(bytes(3000)) + id3(b"y") + bytes(2000) + silent_mp3(1), "mp3"),
        (bytes(50_000) + silent_mp3(1), "mp3"),
        (MP3_FRAME[:4] + b"junk" * 100, "mp3"),
        (b"\xff\xfb\x04\xc0" + b"not fixed" * 100, "mp3"),
        (EMPTY_ID3, "mp3"),
        (EMPTY_ID3 + bytes(500), "mp3"),
        (id3(bytes(3_000))[:2_000], "mp3"),
        (EMPTY_ID3 + bytes(1 << 20) + silent_mp3(1), "mp3"),
        (ape(b"x" * 200) + silent_mp3(1), "mp3"),
        (b"BM" + bytes(200) + silent_mp3(1), "mp3"),
        (silent_m4a(1), "m4a"),
        (box(b"ftyp", b"mp42\0\0\0\0isom"), "m4a"),
        (box(b"ftyp", b"dash\0\0\0\0iso5"), "m4a"),
    ],
)
def test_recognises_what_is_accepted_by_its_bytes(data: bytes, expected: str) -> None:
    assert sniff(memoryview(data)) == expected


ADTS = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ((FIXTURES / "tone-12s.ogg").read_bytes(), "Ogg"),
        ((FIXTURES / "tone-12s.flac").read_bytes(), "FLAC"),
        (id3(b"x") + (FIXTURES / "tone-12s.flac").read_bytes(), "FLAC"),
        (b"FORM\0\0\0\0AIFFCOMM", "AIFF"),
        (b"FORM\0\0\0\0AIFCFVER", "AIFF"),
        (b"#!AMR\n" + bytes(100), "AMR"),
        (b"#!AMR-WB\n" + bytes(100), "AMR"),
        (b"\x02#!SILK_V3" + bytes(100), "SILK"),
        (ADTS * 100, "AAC"),
        (id3(b"x") + ADTS * 100, "AAC"),
        (b"\x1aE\xdf\xa3\x01\0\0\0", "WebM"),
        (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "WMA"),
        (b"caff\0\1\0\0desc", "CAF"),
        (b".snd\0\0\0\x20", "AU"),
        (b"\x0bw\1\2\3\x40", "AC-3"),
        (b"w\x0b\1\2\x40\3", "AC-3"),
        (b"\x0bw\1\2\3\x80", "E-AC-3"),
        (ogg(b"\x01vorbis"), "Ogg Vorbis"),
        (ogg(b"OpusHead"), "Ogg Opus"),
        (ogg(b"\x7fFLAC"), "Ogg FLAC"),
        (ogg(b"\x80theora"), "a video (Ogg Theora)"),
        (b"OggS", "Ogg"),
        (b"\x1aE\xdf\xa3\x93\x42\x82\x88matroska", "Matroska"),
        (b"\x1aE\xdf\xa3\x93\x42\x82\x84webm", "WebM"),
        (EMPTY_ID3 + silent_wav(1), "a WAV file behind an ID3 tag"),
        (EMPTY_ID3 + silent_m4a(1), "an MP4 file behind an ID3 tag"),
        (EMPTY_ID3 + b"\x01junk" * 100, "not a recording"),
        (EMPTY_ID3 + b"OggS" + bytes(100), "Ogg"),
        (bytes(257) + b"ustar\x0000" + bytes(300) + silent_mp3(1), "a tar archive"),
        (b"BM" + bytes(range(200)), "BMP"),
        (b"\1" * 99 + ADTS * 100, "AAC"),
        (b"\1" * 99 + (b"\xff\xfd\x10\xc0" + bytes(100)) * 50, "MPEG audio layer II"),
        ((b"\xff\xfd\x10\xc0" + bytes(100)) * 50 + MP3_FRAME * 50, "MPEG audio layer II"),
        (box(b"styp", b"msdh\0\0\0\0"), "MP4"),
        (box(b"ftyp", b"aax \0\0\0\0"), "Audible"),
        (b"h\0e\0l\0l\0o\0 \0w\0o\0r\0l\0d\0", "text"),
        (b"MThd\0\0\0\6", "MIDI"),
        (b"RIFF\0\0\0\0RMIDdata", "MIDI"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"RIFX\0\0\0\0WAVEfmt ", "big-endian WAV"),
        (b"\xff\xfd\x90\xc0" + bytes(400), "MPEG audio layer II"),
        (b"\xff\xff\x90\xc0" + bytes(400), "MPEG audio layer I"),
        (box(b"ftyp", b"qt  \0\0\0\0"), "MOV"),
        (box(b"moov", b"x"), "MOV"),
        (box(b"ftyp", b"heic\0\0\0\0mif1"), "HEIF"),
        ((b"\x47" + bytes(187)) * 5, "MPEG-TS"),
        (b"\0\0\1\xba" + bytes(100), "MPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\3\4" + bytes(100), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(100), "gzip"),
        (b'{"file": "not audio"}', "text"),
        (b"\xff\xfeh\0i\0", "text"),
        (("é" * 300).encode(), "text"),
        (b"a", "text"),
        (b"", "not a recording"),
        (bytes(10_000), "not a recording"),
        (b"\xff" * 10_000, "not a recording"),
        (bytes(range(128, 224)) * 100, "not a recording"),
        (b"RIFF", "text"),
    ],
)
def test_anything_else_is_415_by_its_name(data: bytes, name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sniff(memoryview(data))
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
    assert name in caught.value.message
