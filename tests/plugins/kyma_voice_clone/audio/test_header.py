from __future__ import annotations

import io

import pytest

from kyma_proxy.testing.audio import MP3_FRAME, silent_m4a, silent_mp3, silent_wav
from kyma_voice_clone.audio import header as header_module
from kyma_voice_clone.audio import mp4
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.header import HEADER_BYTES_MAX, ViewFile, header_seconds


def test_mutagen_reads_each_header() -> None:
    assert header_seconds("wav", silent_wav(12)[:44]) == 12
    assert header_seconds("mp3", silent_mp3(12)) == 12
    described = mp4.measure(memoryview(silent_m4a(12)), Deadline()).header
    assert header_seconds("m4a", described) == pytest.approx(12 + 1024 / 48_000)


def test_a_header_is_believed_here_because_it_never_decides() -> None:
    lying = bytearray(silent_wav(1)[:44])
    lying[40:44] = (16_000 * 500).to_bytes(4, "little")
    assert header_seconds("wav", bytes(lying)) == 500


@pytest.mark.parametrize("data", [b"", b"RIFF", b"nonsense" * 100, silent_wav(0)[:44], MP3_FRAME[:10]])
def test_what_mutagen_cannot_read_is_none(data: bytes) -> None:
    assert header_seconds("wav", data) is None
    assert header_seconds("mp3", data) is None
    assert header_seconds("m4a", data) is None


def test_a_fault_in_mutagen_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(file: object) -> float:
        raise RecursionError

    monkeypatch.setattr(header_module, "_READERS", {"wav": explode})
    assert header_seconds("wav", silent_wav(1)) is None


def test_a_long_header_is_not_read_again() -> None:
    assert header_seconds("wav", silent_wav(12)[:44] + bytes(HEADER_BYTES_MAX)) is None


def test_view_file_reads_and_seeks_like_a_file() -> None:
    file, twin = ViewFile(memoryview(b"0123456789")), io.BytesIO(b"0123456789")
    for step in (
        lambda f: f.read(3),
        lambda f: f.seek(2, io.SEEK_CUR),
        lambda f: f.read(),
        lambda f: f.seek(-4, io.SEEK_END),
        lambda f: (f.read(100), f.tell()),
        lambda f: f.seek(50),
        lambda f: (f.read(1), f.tell()),
        lambda f: f.seek(0),
        lambda f: f.read(None),
    ):
        assert step(file) == step(twin)
    assert file.readable()
    assert file.seekable()
    with pytest.raises(OSError, match="before the beginning"):
        file.seek(-1)
