"""Recognising a file by its bytes; its name and declared type are never looked at."""

from __future__ import annotations

from typing import Final

from kyma_voice_clone.audio import mp3
from kyma_voice_clone.audio.judgement import Format, unsupported

_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK", "SILK"),
    (1, b"#!SILK", "SILK"),
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "WMA or another ASF file"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"\x0bw", "AC-3"),
    (0, b"ADIF", "AAC without a container"),
    (0, b"V\xe0", "AAC without a container"),
    (0, b"MThd", "MIDI"),
    (8, b"RMID", "MIDI"),
    (0, b"RIFX", "big-endian WAV"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"TTA1", "TTA"),
    (0, b"DSD ", "DSD"),
    (0, b".RMF", "RealMedia"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"FLV\x01", "a video (FLV)"),
    (0, b"\0\0\x01\xba", "a video (MPEG)"),
    (0, b"\0\0\x01\xb3", "a video (MPEG)"),
    (8, b"WEBP", "an image (WebP)"),
    (0, b"\x89PNG", "an image (PNG)"),
    (0, b"\xff\xd8\xff", "an image (JPEG)"),
    (0, b"GIF8", "an image (GIF)"),
    (0, b"II*\0", "an image (TIFF)"),
    (0, b"MM\0*", "an image (TIFF)"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "gzip-compressed data"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x7fELF", "a program"),
)
_BRANDS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"qt  ", "a QuickTime movie (MOV)"),
    (b"heic", "an image (HEIF)"),
    (b"heix", "an image (HEIF)"),
    (b"mif1", "an image (HEIF)"),
    (b"msf1", "an image (HEIF)"),
    (b"avif", "an image (AVIF)"),
    (b"jp2 ", "an image (JPEG 2000)"),
    (b"crx ", "an image (CR3)"),
)
_QUICKTIME_FIRST_BOXES: Final = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_TEXT_PROBE_BYTES: Final = 512


def sniff(data: memoryview) -> Format:
    """The format of a file that is MP3, WAV or M4A; measuring it may still find that it is not audio.

    Raises GatewayError UNSUPPORTED_FORMAT for anything else, by its name where it is known.
    """
    head = bytes(data[:16])
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] == b"ftyp":
        known = dict(_BRANDS).get(head[8:12])
        if known is not None:
            raise unsupported(known)
        return "m4a"
    tags_end = mp3.after_tags(data)
    known = _known_name(head) or _known_name(bytes(data[tags_end : tags_end + 16]))
    if known is not None:
        raise unsupported(known)
    if mp3.find_first_frame(data) is not None or mp3.begins_like_frame(data):
        return "mp3"
    known = _loose_name(data) or _mpeg_relative(bytes(data[tags_end : tags_end + 3]))
    if known is None and head[:3] == b"ID3":
        return "mp3"
    raise unsupported(known or "not a recording in a format known here")


def _known_name(head: bytes) -> str | None:
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    return "a QuickTime movie (MOV)" if head[4:8] in _QUICKTIME_FIRST_BOXES else None


def _mpeg_relative(head: bytes) -> str | None:
    """AAC in ADTS, and the MPEG audio layers below III, whose headers differ from MP3's in two bits."""
    if len(head) < 3 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "AAC without a container (ADTS)"
    if head[2] >> 4 == 0xF or head[2] >> 2 & 3 == 3:
        return None
    return {0b10: "MPEG audio layer II", 0b11: "MPEG audio layer I"}.get(head[1] >> 1 & 3)


def _loose_name(data: memoryview) -> str | None:
    """What has no magic number: transport streams by their rhythm, text by being printable."""
    if len(data) > 376 and data[0] == data[188] == data[376] == 0x47:
        return "a video (MPEG-TS)"
    probe = bytes(data[:_TEXT_PROBE_BYTES])
    if probe[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "text"
    text = probe.decode("utf-8", "ignore")
    # The probe may end inside a character: three bytes may be missing.
    is_utf8 = len(text) > 0 and len(text.encode()) >= len(probe) - 3
    return "text" if is_utf8 and all(letter.isprintable() or letter in "\t\n\r\f" for letter in text) else None
