from __future__ import annotations

import pytest

from kyma_voice_clone.audio.known import BRANDS, STRONG, WEAK, strong_name, weak_name


@pytest.mark.parametrize(("offset", "magic", "name"), STRONG)
def test_each_row_of_the_table_names_its_format(offset: int, magic: bytes, name: str) -> None:
    assert strong_name(memoryview(b"\x01" * 7 + b"\x02" * offset + magic + bytes(8)), 7) == name


@pytest.mark.parametrize(("offset", "magic", "name"), WEAK)
def test_weak_rows_count_only_where_asked_for(offset: int, magic: bytes, name: str) -> None:
    data = memoryview(b"\x02" * offset + magic + bytes(8))
    assert (strong_name(data, 0), weak_name(data, 0)) == (None, name)


def test_no_row_hides_another() -> None:
    for offset, magic, name in STRONG:
        named = {other for at, row, other in STRONG if at == offset and magic.startswith(row)}
        assert named == {name}
    assert all(len(brand) == 4 for brand in BRANDS)


@pytest.mark.parametrize(
    ("version", "name"), [(8, "AC-3"), (10, "AC-3"), (11, "E-AC-3"), (16, "E-AC-3"), (17, None), (31, None)]
)
def test_ac_3_is_told_by_the_version_behind_its_sync_word(version: int, name: str | None) -> None:
    assert strong_name(memoryview(b"\x0bw\0\0\0" + bytes([version << 3])), 0) == name
    assert strong_name(memoryview(b"w\x0b\0\0" + bytes([version << 3, 0])), 0) == name


def test_text_may_be_cut_within_a_character() -> None:
    text = "größer als nötig ".encode() * 100
    assert all(weak_name(memoryview(text[:length]), 0) == "text" for length in range(1, 700))
    assert weak_name(memoryview(b"\x1b[1mtext"), 0) == "text"
    assert weak_name(memoryview(b"text\x00\x01"), 0) is None
    assert weak_name(memoryview(b""), 0) is None


def test_transport_streams_are_told_by_their_rhythm() -> None:
    packet = b"\x47" + bytes(187)
    assert weak_name(memoryview(packet * 3), 0) == "a video (MPEG-TS)"
    assert weak_name(memoryview(packet * 2), 0) is None
