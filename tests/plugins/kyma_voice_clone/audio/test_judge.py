"""The verdict as a whole, and what no upload may do to it."""

from __future__ import annotations

import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_fuzz.hostile import HOSTILE, WAV_MP3_START
from kyma_proxy.api import ErrorCode, GatewayError, monotonic_seconds
from kyma_proxy.testing.audio import MP3_FRAME, chunk, silent_m4a, silent_mp3, silent_wav
from kyma_voice_clone.audio.judge import Judgement, check_duration, judge

FIXTURES = Path(__file__).parents[3] / "fixtures"
MAKERS = {
    "wav": silent_wav,
    "mp3": silent_mp3,
    "m4a": silent_m4a,
}


@pytest.mark.parametrize("audio_format", MAKERS)
def test_the_documented_limits_are_allowed_and_a_sample_beyond_is_not(audio_format: str) -> None:
    make, sample = MAKERS[audio_format], Fraction(1, 8_000)
    for length in (Fraction(10), Fraction(300)):
        judgement = judge(memoryview(make(length)))
        assert (judgement.format, judgement.duration) == (audio_format, length)
        check_duration(judgement, 10, 300)
    for length, code in (
        (10 - sample, ErrorCode.REFERENCE_TOO_SHORT),
        (300 + sample, ErrorCode.REFERENCE_TOO_LONG),
    ):
        with pytest.raises(GatewayError) as caught:
            check_duration(judge(memoryview(make(length))), 10, 300)
        assert caught.value.code is code


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("speech-12s*")))
def test_real_recordings(name: str) -> None:
    judgement = judge(memoryview((FIXTURES / name).read_bytes()))
    assert judgement.format == name.rpartition(".")[2]
    assert judgement.seconds == pytest.approx(12, abs=0.06)


def test_the_rule_says_whether_the_header_agrees() -> None:
    honest = silent_wav(12)
    assert judge(memoryview(honest)).rule == "data chunk; header agrees"
    lying = honest[:40] + struct.pack("<I", 16_000 * 60) + honest[44:]
    judgement = judge(memoryview(lying))
    assert (judgement.seconds, judgement.header_seconds) == (12, 60)
    assert judgement.rule == "audio bytes to the end, data chunk; header says 60.000 s"
    assert judge(memoryview(silent_m4a(12, fragmented=True))).rule.endswith("header agrees")
    assert judge(memoryview(b"RF64" + honest[4:])).rule == "data chunk; header says nothing"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_largest_hostile_files_take_little_time_and_memory(name: str) -> None:
    data = memoryview(HOSTILE[name]())
    tracemalloc.start()
    try:
        _judge_or_refuse(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024
    started = monotonic_seconds()
    _judge_or_refuse(data)
    # A tenth of this on an idle machine: the bound is for a busy one, and far below what quadratic time would take.
    assert monotonic_seconds() - started < 1.5


def _judge_or_refuse(data: memoryview) -> Judgement | ErrorCode:
    try:
        verdict: Judgement | ErrorCode = judge(data)
    except GatewayError as error:
        verdict = error.code
    assert isinstance(verdict, Judgement) or verdict in (ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.AUDIO_UNREADABLE)
    return verdict


SEEDS = [
    silent_wav(0.5),
    silent_mp3(1),
    silent_m4a(1),
    silent_m4a(1, index_last=True),
    silent_m4a(3, fragmented=True),
    WAV_MP3_START + chunk(b"data", MP3_FRAME * 10),
]
INTERESTING = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0"]),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        # Most of the structure stands in the first kilobyte.
        at = draw(st.integers(0, min(len(data) - 1, 1_000)) | st.integers(0, len(data) - 1))
        piece = draw(INTERESTING)
        action = draw(st.sampled_from(["overwrite", "insert", "delete", "cut"]))
        if action == "overwrite":
            data[at : at + len(piece)] = piece
        elif action == "insert":
            data[at:at] = piece
        elif at:
            del data[at : at + len(piece) if action == "delete" else len(data)]
    return bytes(data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_no_mutation_brings_anything_but_a_verdict(data: bytes) -> None:
    verdict = _judge_or_refuse(memoryview(data))
    if isinstance(verdict, Judgement):
        assert verdict.duration >= 0
        # Nothing can play longer than its bytes: the densest are AAC units of a byte, at 7350 Hz.
        assert verdict.duration <= len(data) * Fraction(1024, 7_350)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x14ftypM4A ", b"ID3\4\0\0\0\0\0\0"])
)
def test_no_bytes_bring_anything_but_a_verdict(data: bytes, start: bytes) -> None:
    _judge_or_refuse(memoryview(start + data))


def test_nothing_is_kept_of_the_recording() -> None:
    data = bytearray(silent_mp3(12))
    with memoryview(data) as view:
        judge(view)
    data.append(0)  # BufferError if anything still pointed into it
