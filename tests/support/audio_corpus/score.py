"""The score: our judge and mutagen alone, against the truth, by format and trait."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import mutagen

from audio_corpus.case import MAX_SECONDS, MIN_SECONDS, Case, verdict_on
from audio_corpus.encoding import decoded_seconds
from kyma_proxy.api import GatewayError
from kyma_voice_clone.audio.judge import check_duration, judge

TOLERANCE_SECONDS: Final = 0.1
"""How far a duration may be from the decoder's: encoders' delay and padding, which decoders keep or drop."""


@dataclass(frozen=True, slots=True)
class Score:
    """What was true, what we said, what mutagen alone would have said."""

    case: Case
    truth: str
    true_seconds: float | None
    ours: str
    our_seconds: float | None
    rule: str
    mutagen: str
    mutagen_seconds: float | None

    @property
    def right(self) -> bool:
        """Whether the verdict is right, the duration within the tolerance, and a refused format called by its name."""
        if self.case.named and self.case.named.lower() not in self.rule.lower():
            return False
        if self.true_seconds is None:
            return self.ours == self.truth
        if self.our_seconds is None or abs(self.our_seconds - self.true_seconds) > TOLERANCE_SECONDS:
            return False
        near = min(abs(self.true_seconds - limit) for limit in (MIN_SECONDS, MAX_SECONDS)) <= TOLERANCE_SECONDS
        return self.ours == self.truth or (near and not self.case.exact)

    def __str__(self) -> str:
        def shown(verdict: str, seconds: float | None) -> str:
            return verdict.removeprefix("reference_") + ("" if seconds is None else f" {seconds:.3f}")

        mark = "" if self.right else "MISS"
        truth, ours = shown(self.truth, self.true_seconds), shown(self.ours, self.our_seconds)
        alone = shown(self.mutagen, self.mutagen_seconds)
        return row(self.case.format, self.case.trait, truth, ours, alone, self.rule, mark)


def score(case: Case) -> Score:
    """Make the recording, find the truth, judge it, and ask mutagen."""
    data = case.make()
    true_seconds = None
    truth: str = case.refused or ""
    if case.refused is None:
        true_seconds = decoded_seconds(data) if case.seconds is None else case.seconds
        assert true_seconds is not None, f"{case}: the decoder reads nothing"
        truth = verdict_on(true_seconds)
    ours, our_seconds, rule = _ours(data)
    alone = None if case.mutagen_hangs else _mutagen_seconds(data)
    said = "hangs" if case.mutagen_hangs else "unsupported_format" if alone is None else verdict_on(alone)
    return Score(case, truth, true_seconds, ours, our_seconds, rule, said, alone)


def _ours(data: bytes) -> tuple[str, float | None, str]:
    seconds, rule = None, ""
    try:
        judgement = judge(memoryview(data))
        seconds, rule = float(judgement.duration), judgement.rule
        check_duration(judgement, MIN_SECONDS, MAX_SECONDS)
    except GatewayError as error:
        code = "unsupported_format" if error.code.status == 415 else error.code.code
        return code, seconds, rule or str(error)
    return "accepted", seconds, rule


def _mutagen_seconds(data: bytes) -> float | None:
    try:
        read: Any = mutagen.File
        file = read(io.BytesIO(data))
    except Exception:
        return None
    return None if file is None else float(Fraction(file.info.length))


def row(format_name: str, trait: str, truth: str, ours: str, alone: str, rule: str, mark: str = "") -> str:
    """A line of the table."""
    return f"{mark:<5}{format_name:<6}{trait:<46}{truth:<21}{ours:<21}{alone:<21}{rule}".rstrip()


def totals(scores: Iterable[Score]) -> Iterator[str]:
    """The score by format: how many recordings, how often each judge was wrong about the verdict."""
    by_format: dict[str, list[Score]] = {}
    for each in scores:
        by_format.setdefault(each.case.format, []).append(each)
    yield f"{'format':<8}{'recordings':>11}{'misses':>8}{'mutagen alone, wrong verdicts':>31}"
    everything = [each for group in by_format.values() for each in group]
    for name, group in (*by_format.items(), ("all", everything)):
        misses, alone = sum(not each.right for each in group), sum(each.truth != each.mutagen for each in group)
        yield f"{name:<8}{len(group):>11}{misses:>8}{alone:>31}"
