from __future__ import annotations

import struct
from fractions import Fraction

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_proxy.testing.audio import box
from kyma_voice_clone.audio.boxes import Boxes
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.mp4_codec import Unit, read_unit


def esds(config: bytes, kind: int = 0x40, flags: bytes = b"\0", long_sizes: bool = False) -> bytes:
    def descriptor(tag: int, content: bytes) -> bytes:
        size = bytes([0x80, 0x80, 0x80, len(content)]) if long_sizes else bytes([len(content)])
        return bytes([tag]) + size + content

    decoder = descriptor(4, bytes([kind]) + bytes(12) + descriptor(5, config))
    return box(b"esds", bytes(4), descriptor(3, b"\0\0" + flags + decoder))


def unit(entry: bytes) -> Unit:
    data = memoryview(box(b"stsd", struct.pack(">II", 0, 1), entry))
    boxes = Boxes(data, Deadline())
    return read_unit(boxes, next(boxes.within(0, len(data))))


def mp4a(*content: bytes, version: int = 0) -> bytes:
    return box(b"mp4a", bytes(8), struct.pack(">H", version), bytes(18 + {1: 16, 2: 36}.get(version, 0)), *content)


def bits(*fields: tuple[int, int]) -> bytes:
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (b"\x11\x88", Unit(1024, 48_000)),
        (b"\x12\x10", Unit(1024, 44_100)),
        (bits((2, 5), (11, 4), (1, 4), (1, 1)), Unit(960, 8_000)),
        (bits((2, 5), (15, 4), (37_800, 24), (1, 4), (0, 1)), Unit(1024, 37_800)),
        (bits((5, 5), (7, 4), (2, 4), (4, 4), (2, 5), (0, 1)), Unit(1024, 22_050)),
        (bits((29, 5), (7, 4), (1, 4), (4, 4), (2, 5), (0, 1)), Unit(1024, 22_050)),
        (bits((23, 5), (3, 4), (1, 4), (0, 1)), Unit(512, 48_000)),
        (bits((31, 5), (7, 6), (3, 4), (1, 4), (1, 1)), Unit(480, 48_000)),
    ],
)
def test_aac_by_its_own_configuration(config: bytes, expected: Unit) -> None:
    assert unit(mp4a(esds(config))) == expected
    assert unit(mp4a(esds(config, long_sizes=True))) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_quicktime_sample_entries(version: int) -> None:
    wave = box(b"wave", box(b"frma", b"mp4a"), esds(b"\x11\x88"))
    assert unit(mp4a(wave, version=version)) == Unit(1024, 48_000)


def test_optional_fields_of_the_elementary_stream_descriptor() -> None:
    flags = bytes([0xE0]) + b"\0\1" + b"\3url" + b"\0\2"
    assert unit(mp4a(esds(b"\x11\x88", flags=flags))) == Unit(1024, 48_000)


def test_alac_by_its_cookie() -> None:
    cookie = box(b"alac", bytes(4), struct.pack(">IBBBBBBHIII", 4096, 0, 16, 40, 10, 14, 2, 255, 0, 0, 44_100))
    assert unit(box(b"alac", bytes(28), cookie)) == Unit(4096, 44_100)
    assert unit(box(b"alac", bytes(28), cookie)).seconds == Fraction(4096, 44_100)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (b"", "description is empty"),
        (box(b"what", bytes(28)), "'what' is not supported"),
        (box(b"enca", bytes(28)), "copy-protected"),
        (mp4a(), "configuration is missing"),
        (mp4a(box(b"wave", box(b"frma"))), "configuration is missing"),
        (mp4a(box(b"esds", bytes(4))), "cut short"),
        (mp4a(box(b"esds", bytes(4), b"\x03\x05")), "cut short"),
        (mp4a(box(b"esds", bytes(4), b"\x07\x05\0\0")), "not in order"),
        (mp4a(esds(b"\x11\x88", kind=0x20)), "0x20 is not supported"),
        (mp4a(esds(b"")), "AAC of type 0"),
        (mp4a(esds(bits((31, 5), (10, 6), (3, 4)))), "AAC of type 42"),
        (mp4a(esds(bits((2, 5), (14, 4), (1, 4)))), "not plausible"),
        (mp4a(esds(bits((2, 5), (15, 4), (100, 24), (1, 4), (0, 1)))), "not plausible"),
        (box(b"alac", bytes(28), box(b"alac", bytes(4), struct.pack(">I16xI", 65_536, 8_000))), "not plausible"),
        (box(b"alac", bytes(28), box(b"alac", bytes(40))), "not plausible"),
        (box(b"alac", bytes(28), box(b"alac", bytes(10))), "cut short"),
    ],
)
def test_what_cannot_be_timed_is_unreadable(entry: bytes, says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        unit(entry)
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (box(b"samr", bytes(40)), "AMR"),
        (box(b"Opus", bytes(40)), "Opus"),
        (box(b"fLaC", bytes(40)), "FLAC"),
        (box(b"ec-3", bytes(40)), "E-AC-3"),
        (box(b"sowt", bytes(40)), "PCM"),
        (mp4a(esds(b"\x11\x88", kind=0x6B)), "MP3"),
        (mp4a(esds(b"\x11\x88", kind=0xDD)), "Vorbis"),
    ],
)
def test_another_codec_is_a_format_of_its_own(entry: bytes, name: str) -> None:
    with pytest.raises(GatewayError, match=f"`file` is {name} audio in") as caught:
        unit(entry)
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT
