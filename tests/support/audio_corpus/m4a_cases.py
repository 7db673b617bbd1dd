"""M4A recordings: codecs, indexes and fragments of every kind, edit lists, and tables that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache

from audio_corpus.case import Case
from audio_corpus.encoding import Encoding, encode, encode_samples
from audio_corpus.surgery import box, boxes, edited, within

_FRAGMENTS = {
    "fragments with a base offset": {"movflags": "+frag_keyframe+empty_moov", "frag_duration": "500000"},
    "fragments that count from themselves": {
        "movflags": "+frag_keyframe+empty_moov+default_base_moof",
        "frag_duration": "500000",
    },
    "fragments with delayed description": {"movflags": "+frag_keyframe+delay_moov", "frag_duration": "500000"},
    "a fragment for each frame": {"movflags": "+frag_every_frame+empty_moov+default_base_moof"},
    "DASH": {"movflags": "+dash+empty_moov+frag_keyframe", "frag_duration": "1000000"},
    "CMAF": {"movflags": "+cmaf+empty_moov+frag_keyframe+default_base_moof", "frag_duration": "1000000"},
    "one fragment for all": {"movflags": "+empty_moov+default_base_moof", "frag_duration": "900000000"},
}
_TRACK = (b"moov", b"trak")
_TABLE = (*_TRACK, b"mdia", b"minf", b"stbl")


def _how(
    *, codec: str = "aac", rate: int = 48_000, channels: int = 1, container: str = "ipod", **options: str
) -> Encoding:
    return Encoding(
        container=container,
        codec=codec,
        rate_hz=rate,
        channels=channels,
        bit_rate=32_000 if codec == "aac" else None,
        sample_format="s16p" if codec == "alac" else None,
        container_options=options,
    )


@cache
def _m4a(seconds: float, **options: str) -> bytes:
    return encode(seconds, _how(**options))


def _changed(seconds: float, path: tuple[bytes, ...], change: Callable[[bytes], bytes | None]) -> bytes:
    return edited(_m4a(seconds), path, change)


def _number(seconds: float, path: tuple[bytes, ...], offset: int, value: int) -> bytes:
    def change(content: bytes) -> bytes:
        return content[:offset] + struct.pack(">I", value) + content[offset + 4 :]

    return _changed(seconds, path, change)


def _index_first(data: bytes) -> bytes:
    """With its index in front of the audio, as for playing while it loads."""
    size = len(within(data, b"moov")) + 8

    def moved(content: bytes) -> bytes:
        offsets = struct.unpack(f">{len(content) // 4 - 2}I", content[8:])
        return content[:8] + struct.pack(f">{len(offsets)}I", *(offset + size for offset in offsets))

    parts = dict(boxes(edited(data, (*_TABLE, b"stco"), moved)))
    return b"".join(box(name, parts[name]) for name in (b"ftyp", b"moov", b"free", b"mdat"))


def _edits(seconds: float, *rows: tuple[int, int], wide: bool = False) -> bytes:
    """With edits of (milliseconds, first tick of the media)."""

    def change(_: bytes) -> bytes:
        form = ">Qqi" if wide else ">Iii"
        head = struct.pack(">II", 0x01000000 if wide else 0, len(rows))
        return head + b"".join(struct.pack(form, *row, 0x10000) for row in rows)

    return _changed(seconds, (*_TRACK, b"edts", b"elst"), change)


def _without_edits(seconds: float) -> bytes:
    return _changed(seconds, (*_TRACK, b"edts"), lambda _: None)


def _with_gapless_note(seconds: float, delay: int, padding: int) -> bytes:
    data = _without_edits(seconds)
    text = f" 00000000 {delay:08X} {padding:08X} {0:016X} 00000000".encode()
    name, mean = box(b"name", bytes(4) + b"iTunSMPB"), box(b"mean", bytes(4) + b"com.apple.iTunes")
    note = box(b"----", mean + name + box(b"data", struct.pack(">II", 1, 0) + text))
    hdlr = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    notes = box(b"udta", box(b"meta", bytes(4) + hdlr + box(b"ilst", note)))
    return edited(data, (b"moov",), lambda content: content + notes)


def _compact(seconds: float) -> bytes:
    """With its sizes in an `stz2` of 16 bits."""

    def change(content: bytes) -> bytes:
        return b"".join(_stz2(inner) if name == b"stsz" else box(name, inner) for name, inner in boxes(content))

    return _changed(seconds, _TABLE, change)


def _stz2(stsz: bytes) -> bytes:
    sizes = struct.unpack(f">{len(stsz) // 4 - 3}I", stsz[12:])
    return box(b"stz2", struct.pack(">III", 0, 16, len(sizes)) + struct.pack(f">{len(sizes)}H", *sizes))


def _wide_offsets(seconds: float) -> bytes:
    def change(content: bytes) -> bytes:
        out = b""
        for name, inner in boxes(content):
            if name == b"stco":
                offsets = struct.unpack(f">{len(inner) // 4 - 2}I", inner[8:])
                inner = inner[:8] + struct.pack(f">{len(offsets)}Q", *offsets)
                name = b"co64"
            out += box(name, inner)
        return out

    return _changed(seconds, _TABLE, change)


def m4a_brand(data: bytes, brand: bytes) -> bytes:
    """The file with another major brand."""
    return data[:8] + brand + data[12:]


def m4a_cases() -> Iterator[Case]:
    """Every M4A of the corpus."""
    yield from _kinds()
    yield from _fragments()
    yield from _edit_lists()
    yield from _lies()
    yield from _damage()
    yield from _edges()


def _kinds() -> Iterator[Case]:
    for rate in (96_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 8_000):
        yield Case("m4a", f"AAC, {rate} Hz", lambda r=rate: _m4a(12, rate=r))
    for seconds in (9, 298, 302):
        yield Case("m4a", f"AAC, {seconds} s", lambda s=seconds: _m4a(s, rate=16_000))
    yield Case("m4a", "AAC, stereo, index first", lambda: _index_first(encode(12, _how(channels=2))))
    yield Case("m4a", "AAC, 5.1", lambda: encode(9, _how(channels=6)))
    for seconds in (9, 12):
        yield Case("m4a", f"ALAC, {seconds} s", lambda s=seconds: encode(s, _how(codec="alac", rate=44_100)))
    yield Case("m4a", "ALAC, stereo, 302 s", lambda: encode(302, _how(codec="alac", rate=8_000, channels=2)))
    for brand in (b"M4B ", b"mp42", b"isom", b"dash", b"3gp4", b"f4a ", b"MSNV"):
        yield Case("m4a", f"brand {brand.decode().strip()}", lambda b=brand: m4a_brand(_m4a(12), b))
    yield Case("m4a", "AAC in an MP4 without pictures", lambda: encode(12, _how(container="mp4")))
    yield Case("m4a", "AAC in a 3GP", lambda: encode(12, _how(container="3gp")))
    yield Case("m4a", "sizes of 16 bits (stz2)", lambda: _compact(12))
    yield Case("m4a", "offsets of 64 bits (co64)", lambda: _wide_offsets(9))
    cover = box(b"udta", box(b"meta", bytes(4) + box(b"ilst", box(b"covr", box(b"data", bytes(300_000))))))
    yield Case("m4a", "300 kB of cover art", lambda: _changed(12, (b"moov",), lambda content: content + cover))


def _fragments() -> Iterator[Case]:
    for name, options in _FRAGMENTS.items():
        for seconds in (9, 12):
            yield Case("m4a", f"{name}, {seconds} s", lambda s=seconds, o=options: _m4a(s, container="mp4", **o))
    each = _FRAGMENTS["fragments that count from themselves"]
    yield Case("m4a", "ALAC in fragments", lambda: encode(12, _how(codec="alac", container="mp4", **each)))
    yield Case("m4a", "fragments, 302 s", lambda: _m4a(302, rate=16_000, container="mp4", **each))
    yield Case("m4a", "fragments, cut in half", lambda: (d := _m4a(18, container="mp4", **each))[: len(d) // 2])
    yield Case("m4a", "fragments, stray bytes behind", lambda: _m4a(12, container="mp4", **each) + b"\0\0\0\3stray")


def _edit_lists() -> Iterator[Case]:
    yield Case("m4a", "edit list of 8 s over 30", lambda: _edits(30, (8_000, 1024)))
    yield Case("m4a", "edit list of 60 s over 302", lambda: _edits(302, (60_000, 1024)))
    yield Case("m4a", "edit list that begins late", lambda: _edits(30, (30_000, 48_000 * 22)))
    yield Case("m4a", "edit list of two pieces", lambda: _edits(30, (6_000, 1024), (6_000, 960_000)))
    yield Case("m4a", "edit list of two pieces, too short", lambda: _edits(30, (4_000, 1024), (4_000, 960_000)))
    yield Case("m4a", "edit list with a pause in front", lambda: _edits(30, (5_000, -1), (8_000, 1024)))
    yield Case("m4a", "edit list that repeats", lambda: _edits(6, (6_000, 1024), (6_000, 1024)))
    yield Case("m4a", "edit list of 64 bits", lambda: _edits(30, (8_000, 1024), wide=True))
    yield Case("m4a", "edit list longer than the media", lambda: _edits(8, (60_000, 1024)))
    yield Case("m4a", "no edit list", lambda: _without_edits(12))
    yield Case("m4a", "no edit list, iTunSMPB", lambda: _with_gapless_note(12, 1024, 0))
    yield Case("m4a", "iTunSMPB that promises nonsense", lambda: _with_gapless_note(12, 0x7FFFFFFF, 0), 12.02)


def _lies() -> Iterator[Case]:
    for factor in (10, 0.1):
        yield Case(
            "m4a", f"mvhd says {factor} times", lambda f=factor: _number(12, (b"moov", b"mvhd"), 16, int(12_000 * f))
        )
        yield Case(
            "m4a", f"tkhd says {factor} times", lambda f=factor: _number(12, (*_TRACK, b"tkhd"), 20, int(12_000 * f))
        )
        path = (*_TRACK, b"mdia", b"mdhd")
        yield Case(
            "m4a", f"mdhd says {factor} times", lambda f=factor, p=path: _number(12, p, 16, int(12 * 48_000 * f))
        )
    scale = (*_TRACK, b"mdia", b"mdhd")
    for value in (24_000, 96_000):
        yield Case("m4a", f"time scale {value} of 48000", lambda v=value: _number(12, scale, 12, v))
    for ticks in (512, 900, 1_100, 2_048):
        yield Case("m4a", f"time table of {ticks} ticks", lambda t=ticks: _number(12, (*_TABLE, b"stts"), 12, t))
    yield Case("m4a", "a minute promised, two seconds there", lambda: _promise_a_minute())


def _promise_a_minute() -> bytes:
    data = _number(2, (b"moov", b"mvhd"), 16, 60_000)
    data = edited(data, (*_TRACK, b"tkhd"), lambda c: c[:20] + struct.pack(">I", 60_000) + c[24:])
    return edited(data, (*_TRACK, b"mdia", b"mdhd"), lambda c: c[:16] + struct.pack(">I", 60 * 48_000) + c[20:])


def _damage() -> Iterator[Case]:
    yield Case("m4a", "index first, cut in half", lambda: (d := _index_first(_m4a(24)))[: len(d) // 2])
    yield Case("m4a", "index first, cut to nine seconds", lambda: (d := _index_first(_m4a(24)))[: len(d) * 9 // 24])
    yield Case("m4a", "index last, cut", lambda: _m4a(24)[:-500], refused="audio_unreadable")
    yield Case("m4a", "index cut", lambda: _index_first(_m4a(24))[:300], refused="audio_unreadable")
    yield Case("m4a", "no index at all", lambda: _m4a(12)[: _m4a(12).index(b"moov") - 4], refused="audio_unreadable")
    yield Case(
        "m4a",
        "index without its audio",
        lambda: box(b"ftyp", b"M4A " + bytes(4)) + _index(),
        refused="audio_unreadable",
    )
    yield Case("m4a", "copy-protected", lambda: _m4a(12).replace(b"mp4a", b"drms"), refused="audio_unreadable")
    yield Case("m4a", "unknown codec", lambda: _m4a(12).replace(b"mp4a", b"what"), refused="audio_unreadable")
    yield Case("m4a", "a box of no size", lambda: _m4a(12).replace(b"mdia", b"mdix"), refused="audio_unreadable")
    yield Case("m4a", "chunks over each other", _overlapping, refused="audio_unreadable")
    yield Case("m4a", "stray bytes behind", lambda: _m4a(12) + b"TAG" + bytes(125))


def _index() -> bytes:
    return box(b"moov", within(_m4a(12), b"moov"))


def _overlapping() -> bytes:
    """The same unit over and over, by its table of chunks."""
    count = int.from_bytes(within(_m4a(12), *_TABLE, b"stsz")[8:12], "big")
    each_its_chunk = edited(_m4a(12), (*_TABLE, b"stsc"), lambda _: struct.pack(">IIIII", 0, 1, 1, 1, 1))
    return edited(each_its_chunk, (*_TABLE, b"stco"), lambda c: struct.pack(">II", 0, count) + c[8:12] * count)


def _edges() -> Iterator[Case]:
    for rate, seconds, extra in (
        (48_000, 10, 0), (48_000, 10, -1), (48_000, 10, 1), (44_100, 10, 0), (44_100, 10, -1),
        (16_000, 300, 0), (16_000, 300, 1), (16_000, 300, -1),
    ):  # fmt: skip
        truth = (seconds * rate + extra) / rate

        def make(rate: int = rate, samples: int = seconds * rate + extra) -> bytes:
            return encode_samples(samples, _how(rate=rate))

        yield Case("m4a", f"AAC, {rate} Hz, {seconds} s {extra:+} samples", make, truth, exact=True)

        def make_alac(rate: int = rate, samples: int = seconds * rate + extra) -> bytes:
            return encode_samples(samples, _how(codec="alac", rate=rate))

        yield Case("m4a", f"ALAC, {rate} Hz, {seconds} s {extra:+} samples", make_alac, truth, exact=True)
