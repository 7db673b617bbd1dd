"""All recordings of the corpus."""

from __future__ import annotations

from collections.abc import Iterator

from audio_corpus.case import Case
from audio_corpus.m4a_cases import m4a_cases
from audio_corpus.mp3_cases import mp3_cases
from audio_corpus.refused_cases import refused_cases
from audio_corpus.wav_cases import wav_cases


def cases() -> Iterator[Case]:
    """Every recording, by format; each is made when it is asked for."""
    yield from wav_cases()
    yield from mp3_cases()
    yield from m4a_cases()
    yield from refused_cases()
