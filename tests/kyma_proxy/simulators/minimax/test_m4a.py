import pytest

from kyma_proxy.simulators.minimax.m4a import m4a_seconds


def test_plain_and_fragmented_agree(fixture_bytes) -> None:
    plain, fragmented = (
        m4a_seconds(fixture_bytes("speech-12s.m4a")),
        m4a_seconds(fixture_bytes("speech-12s-fragmented.m4a")),
    )

    assert plain == pytest.approx(fragmented, abs=0.05)


def test_samples_that_were_cut_off_do_not_count(fixture_bytes) -> None:
    whole = fixture_bytes("speech-12s.m4a")
    media, index = whole.index(b"mdat") - 4, whole.index(b"moov") - 4
    kept = (index - media) // 2
    short = whole[:media] + kept.to_bytes(4, "big") + whole[media + 4 : media + kept] + whole[index:]

    assert m4a_seconds(short) == pytest.approx(6, abs=0.1)


def test_without_a_sound_track_there_is_no_duration(fixture_bytes) -> None:
    assert m4a_seconds(fixture_bytes("speech-12s.m4a").replace(b"soun", b"vide")) is None


def test_without_an_index_there_is_no_duration(fixture_bytes) -> None:
    whole = fixture_bytes("speech-12s.m4a")

    assert m4a_seconds(whole[: whole.index(b"moov") - 4]) is None


def test_no_damage_raises(fixture_bytes) -> None:
    whole = fixture_bytes("speech-12s-fragmented.m4a")
    for cut in range(0, 1500, 7):
        m4a_seconds(whole[:cut])
        m4a_seconds(whole[:cut] + b"\xff\xff\xff\xff" + whole[cut + 4 : 4000])
