"""Whatever bytes come, the judge answers, soon, with little memory, and never more than they can play."""

from __future__ import annotations

import itertools

import pytest

from audio_fuzz.mutate import every_number
from audio_fuzz.oracle import complaint, cut_complaint, plays_at_most
from audio_fuzz.search import REGRESSIONS, search, seeds, shrunk
from kyma_proxy.testing.audio import silent_m4a, silent_mp3, silent_wav

SMALL = {
    "wav": silent_wav(0.02),
    "mp3": silent_mp3(0.3),
    "m4a": silent_m4a(0.2),
    "m4a, index last": silent_m4a(0.2, index_last=True),
    "m4a, fragmented": silent_m4a(0.2, fragmented=True),
}
SECONDS = 3
SEED = 20261127


def test_what_was_found_once_stays_right() -> None:
    for path in sorted(REGRESSIONS.glob("*.bin")):
        data = path.read_bytes()
        assert complaint(data) is None, path.name
        assert complaint(data, memory=True) is None, path.name


@pytest.mark.parametrize("name", SMALL)
def test_a_small_file_cut_off_anywhere(name: str) -> None:
    whole = SMALL[name]
    assert [found for at in range(len(whole)) if (found := cut_complaint(whole, at))] == []


@pytest.mark.parametrize("name", SMALL)
def test_every_number_of_a_small_file_at_its_extremes(name: str) -> None:
    broken = itertools.islice(every_number(SMALL[name], step=3), 0, None, 3)
    assert [found for data in broken if (found := complaint(data))] == []


def test_recordings_broken_by_chance() -> None:
    findings = [finding.wrong for finding in itertools.islice(search(seeds(every=13), SECONDS, SEED), 3)]
    assert findings == []


def test_a_judge_that_believes_headers_would_be_found_out() -> None:
    # Two seconds of MP3 bytes cannot play a minute.
    assert plays_at_most("mp3", len(silent_mp3(1, info_header=False))) < 60 * 60
    assert plays_at_most("wav", 100) < 60 * 60 * 24
    assert shrunk(b"aaaaXbbbbbbb", lambda data: b"X" in data) == b"X"
