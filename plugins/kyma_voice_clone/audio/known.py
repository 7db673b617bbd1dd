"""The formats that are known and refused: by what their files begin with."""

from __future__ import annotations

import re
from typing import Final

STRONG: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"fLaC", "FLAC"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (8, b"8SVX", "8SVX"),
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK", "SILK"),
    (1, b"#!SILK", "SILK"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "WMA or another ASF file"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"dns.", "AU"),
    (0, b"ADIF", "AAC without a container (ADIF)"),
    (0, b"MThd", "MIDI"),
    (8, b"RMID", "MIDI"),
    (0, b"RIFX", "big-endian WAV"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"TTA1", "TTA"),
    (0, b"OFR ", "OptimFROG"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"\x7f\xfe\x80\x01", "DTS"),
    (0, b"\xfe\x7f\x01\x80", "DTS"),
    (0, b"\x1f\xff\xe8\x00", "DTS"),
    (0, b"\xff\x1f\x00\xe8", "DTS"),
    (0, b"Creative Voice File", "Creative Voice (VOC)"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"Extended Module", "a tracker module"),
    (0, b"IMPM", "a tracker module"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"[playlist]", "a playlist"),
    (8, b"AVI ", "a video (AVI)"),
    (0, b"FLV\x01", "a video (FLV)"),
    (0, b"\0\0\x01\xba", "a video (MPEG)"),
    (0, b"\0\0\x01\xb3", "a video (MPEG)"),
    (8, b"WEBP", "an image (WebP)"),
    (8, b"ACON", "an image (ANI)"),
    (0, b"\x89PNG", "an image (PNG)"),
    (0, b"\xff\xd8\xff", "an image (JPEG)"),
    (0, b"GIF8", "an image (GIF)"),
    (0, b"II*\0", "an image (TIFF)"),
    (0, b"MM\0*", "an image (TIFF)"),
    (0, b"8BPS", "an image (PSD)"),
    (0, b"\0\0\1\0", "an image (ICO)"),
    (0, b"\xff\x0a", "an image (JPEG XL)"),
    (0, b"\0\0\0\x0cJXL ", "an image (JPEG XL)"),
    (0, b"\0\0\0\x0cjP  ", "an image (JPEG 2000)"),
    (0, b"%PDF", "a PDF"),
    (0, b"{\\rtf", "a document (RTF)"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "a compressed file (gzip)"),
    (0, b"BZh", "a compressed file (bzip2)"),
    (0, b"\xfd7zXZ\0", "a compressed file (xz)"),
    (0, b"\x28\xb5\x2f\xfd", "a compressed file (zstd)"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"\xca\xfe\xba\xbe", "a program"),
    (0, b"SQLite format 3", "a database"),
    (4, b"moov", "a QuickTime movie (MOV)"),
    (4, b"mdat", "a QuickTime movie (MOV)"),
    (4, b"wide", "a QuickTime movie (MOV)"),
    (4, b"free", "a QuickTime movie (MOV)"),
    (4, b"skip", "a QuickTime movie (MOV)"),
    (4, b"pnot", "a QuickTime movie (MOV)"),
    (4, b"styp", "a segment of a stream (MP4) without its beginning"),
    (4, b"moof", "a segment of a stream (MP4) without its beginning"),
    (4, b"sidx", "a segment of a stream (MP4) without its beginning"),
)
"""Offset, bytes and name. Enough bytes that no MP3 has them by chance in front of its frames."""

WEAK: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"V\xe0", "AAC without a container (LATM)"),
    (0, b"V\xe1", "AAC without a container (LATM)"),
    (0, b"BM", "an image (BMP)"),
    (0, b"MZ", "a program"),
)
"""As above, but short enough that frames, where there are any, say more."""

BRANDS: Final = {
    b"qt  ": "a QuickTime movie (MOV)",
    b"heic": "an image (HEIF)",
    b"heix": "an image (HEIF)",
    b"hevc": "an image (HEIF)",
    b"mif1": "an image (HEIF)",
    b"msf1": "an image (HEIF)",
    b"avif": "an image (AVIF)",
    b"avis": "an image (AVIF)",
    b"jp2 ": "an image (JPEG 2000)",
    b"jxl ": "an image (JPEG XL)",
    b"crx ": "an image (CR3)",
    b"aax ": "an Audible audiobook",
    b"aaxc": "an Audible audiobook",
}
"""Major brands of ISO files that hold something else than M4A."""

_OGG: Final = {
    b"\x01vorbis": "Ogg Vorbis",
    b"OpusHead": "Ogg Opus",
    b"\x7fFLAC": "Ogg FLAC",
    b"Speex   ": "Ogg Speex",
    b"\x80theora": "a video (Ogg Theora)",
}
_EBML: Final = b"\x1aE\xdf\xa3"
_DOCUMENT_TYPE: Final = re.compile(rb"\x42\x82[\x80-\xff](webm|matroska)")
_TEXT_PROBE_BYTES: Final = 512
_TEXT_CONTROLS: Final = "\t\n\r\f\x1b"
_UTF_16_PRINTABLE: Final = re.compile(rb"(?:[\t\n\r -~]\0|\0[\t\n\r -~]){8,}")


def strong_name(data: memoryview, position: int) -> str | None:
    """The name of what certainly begins at `position`, None where it is not known."""
    head = bytes(data[position : position + 300])
    if head.startswith(b"OggS"):
        return _ogg_name(head)
    if head.startswith(_EBML):
        kind = _DOCUMENT_TYPE.search(head, 0, 80)
        return {b"webm": "WebM", b"matroska": "Matroska"}[kind[1]] if kind else "WebM or Matroska"
    return _in_table(STRONG, head) or _ac3_name(head)


def weak_name(data: memoryview, position: int) -> str | None:
    """The name of what probably begins at `position`: to be asked where nothing better is known."""
    head = bytes(data[position : position + 300])
    if len(data) > position + 376 and data[position] == data[position + 188] == data[position + 376] == 0x47:
        return "a video (MPEG-TS)"
    return _in_table(WEAK, head) or _text_name(head if len(head) < 300 else bytes(data[position : position + 512]))


def _in_table(table: tuple[tuple[int, bytes, str], ...], head: bytes) -> str | None:
    return next((name for offset, magic, name in table if head.startswith(magic, offset)), None)


def _ogg_name(head: bytes) -> str:
    """By what the first packet begins with, behind the page's header and its table of segments (RFC 3533)."""
    packet = head[27 + head[26] :] if len(head) > 27 else b""
    return next((name for magic, name in _OGG.items() if packet.startswith(magic)), "Ogg")


def _ac3_name(head: bytes) -> str | None:
    """AC-3 in either byte order: sync word, and the number of the bit stream's version (ETSI TS 102 366)."""
    if len(head) < 6 or head[:2] not in (b"\x0bw", b"w\x0b"):
        return None
    version = (head[5] if head[0] == 0x0B else head[4]) >> 3
    if version <= 10:
        return "AC-3"
    return "E-AC-3" if version <= 16 else None


def _text_name(probe: bytes) -> str | None:
    if probe[:2] in (b"\xff\xfe", b"\xfe\xff") or _UTF_16_PRINTABLE.match(probe):
        return "text"
    text = probe.decode("utf-8", "ignore")
    # The probe may end inside a character: three bytes may be missing.
    is_utf8 = len(text) > 0 and len(text.encode()) >= len(probe) - 3
    return "text" if is_utf8 and all(letter.isprintable() or letter in _TEXT_CONTROLS for letter in text) else None
