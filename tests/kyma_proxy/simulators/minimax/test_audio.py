import pytest

from kyma_proxy.simulators.minimax.audio import duration_seconds


@pytest.mark.parametrize("name", ["speech-12s.wav", "speech-12s.mp3", "speech-12s.m4a", "speech-12s-fragmented.m4a"])
def test_a_recording_lasts_as_long_as_it_plays(fixture_bytes, name) -> None:
    assert duration_seconds(fixture_bytes(name)) == pytest.approx(12, abs=0.06)


def test_variable_bit_rate_is_counted_and_not_guessed(fixture_bytes) -> None:
    assert duration_seconds(fixture_bytes("speech-12s-vbr-noxing.mp3")) == pytest.approx(12, abs=0.06)


@pytest.mark.parametrize("name", ["speech-12s.wav", "speech-12s.mp3", "speech-12s-fragmented.m4a"])
def test_only_bytes_that_are_there_count(fixture_bytes, name) -> None:
    whole = fixture_bytes(name)

    assert duration_seconds(whole[: len(whole) // 2]) == pytest.approx(6, abs=0.5)


def test_an_id3_tag_is_not_sound(fixture_bytes) -> None:
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + b"\xff\xfb\x90\x00" * 64

    assert duration_seconds(tag + fixture_bytes("speech-12s.mp3")) == pytest.approx(12, abs=0.06)


def test_an_index_frame_is_not_sound() -> None:
    frame = b"\xff\xf3\x64\xc4" + bytes(140)
    index = b"\xff\xf3\x64\xc4" + bytes(9) + b"Xing" + bytes(127)

    assert duration_seconds(frame * 10) == pytest.approx(10 * 576 / 24000)
    assert duration_seconds(index + frame * 10) == duration_seconds(frame * 10)


def test_the_bounds_of_a_wav_are_exact(wav) -> None:
    assert duration_seconds(wav(10)) == 10
    assert duration_seconds(wav(300)) == 300


@pytest.mark.parametrize("data", [b"", b"ID3", b"RIFF\0\0\0\0WAVE", b"\xff" * 100_000, b"not sound" * 1000])
def test_what_is_not_sound_has_no_duration(data) -> None:
    assert duration_seconds(data) is None


@pytest.mark.parametrize("name", ["tone-12s.ogg", "tone-12s.flac"])
def test_other_formats_have_no_duration(fixture_bytes, name) -> None:
    assert duration_seconds(fixture_bytes(name)) is None
