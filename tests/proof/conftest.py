"""Collects what the proofs found out, and prints it behind the tests."""

from __future__ import annotations

import pytest

from audio_corpus.score import Score, totals

_SCORES = pytest.StashKey[list[Score]]()


@pytest.fixture(scope="session")
def audio_scores(request: pytest.FixtureRequest) -> list[Score]:
    """The scores so far of the judge of recordings."""
    return request.config.stash.setdefault(_SCORES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how often our judge and mutagen alone were wrong, when the corpus was judged."""
    scores = config.stash.get(_SCORES, [])
    if scores:
        terminalreporter.section("judging recordings")
        for line in totals(scores):
            terminalreporter.write_line(line)
