"""The judge is right about every recording of the corpus; a decoder, or how a file was made, tells the truth."""

from __future__ import annotations

from collections import Counter

import pytest

from audio_corpus.case import Case
from audio_corpus.cases import cases
from audio_corpus.encoding import MissingEncoderError
from audio_corpus.score import Score, score

CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_judge_is_right(case: Case, audio_scores: list[Score]) -> None:
    try:
        result = score(case)
    except MissingEncoderError as error:
        pytest.skip(str(error))
    audio_scores.append(result)
    assert result.right, str(result)


def test_the_corpus_is_large_and_holds_every_verdict_and_no_recording_twice() -> None:
    assert len(CASES) >= 300
    assert len({str(case) for case in CASES}) == len(CASES)
    formats = Counter(case.format for case in CASES)
    assert set(formats) == {"wav", "mp3", "m4a", "other"}
    assert min(formats.values()) >= 60


def test_a_wrong_judge_would_be_found_out() -> None:
    case = Case("wav", "a lie", lambda: b"", 12.0)

    def said(ours: str, seconds: float | None) -> Score:
        return Score(case, "accepted", 12.0, ours, seconds, "a rule", "accepted", 12.0)

    assert said("accepted", 12.05).right
    assert not said("accepted", 12.2).right
    assert not said("reference_too_short", 12.0).right
    assert not said("audio_unreadable", None).right
    named = Case("other", "a picture", lambda: b"", refused="unsupported_format", named="PNG")
    assert not Score(named, "unsupported_format", None, "unsupported_format", None, "is a JPEG", "", None).right
