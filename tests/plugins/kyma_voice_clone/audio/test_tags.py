from __future__ import annotations

import struct

import pytest

from kyma_voice_clone.audio.tags import TAGS_MAX, after_padding, after_tags, has_cut_tag

EMPTY_ID3 = b"ID3\x04\0\0\0\0\0\0"
AUDIO = b"\xff\xfbaudio"


def ape(items: bytes, flags: int = 0xA0000000, size: int | None = None) -> bytes:
    return b"APETAGEX" + struct.pack("<IIIIQ", 2000, len(items) if size is None else size, 1, flags, 0) + items


@pytest.mark.parametrize(
    ("tags", "end"),
    [
        (b"", 0),
        (EMPTY_ID3 * 3, 30),
        (b"ID3\x04\0\x10\0\0\1\0" + bytes(128 + 10), 148),
        (b"ID3\x03\0\0\0\0\1\1" + bytes(129), 139),
        (ape(b"item"), 36),
        (EMPTY_ID3 + ape(b"item") + EMPTY_ID3, 56),
        (EMPTY_ID3 * (TAGS_MAX + 1), 10 * TAGS_MAX),
    ],
)
def test_tags_are_stepped_over_by_their_size(tags: bytes, end: int) -> None:
    assert after_tags(memoryview(tags + AUDIO)) == end


@pytest.mark.parametrize(
    "not_a_tag",
    [
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"ID3\xff\0\0\0\0\0\0",
        b"ID3\x04\xff\0\0\0\0\0",
        b"ID3\x04\0\0\0\0\0\x80",
        b"ID3",
        ape(b"item", flags=0x80000000),
        ape(b"item", size=0xFFFFFFFF),
        b"APETAGEX",
    ],
)
def test_what_does_not_fit_or_makes_no_sense_is_no_tag(not_a_tag: bytes) -> None:
    assert after_tags(memoryview(not_a_tag + AUDIO)) == 0


def test_zeros_are_passed_over() -> None:
    assert after_padding(memoryview(b"x" + bytes(100_000) + AUDIO), 1) == 100_001
    assert after_padding(memoryview(AUDIO), 0) == 0
    assert after_padding(memoryview(bytes(5)), 5) == 5


def test_a_tag_longer_than_the_file_is_known_as_such() -> None:
    assert has_cut_tag(memoryview(b"ID3\x04\0\0\0\0\1\0" + bytes(100)))
    assert not has_cut_tag(memoryview(b"ID3\x04\0\0\0\0\1\0" + bytes(128)))
    assert not has_cut_tag(memoryview(AUDIO))
