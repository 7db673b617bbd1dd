"""Prints the score table: `python -m audio_corpus [wav] [mp3] [m4a] [other]`; fails when our judge misses once."""

from __future__ import annotations

import sys

from audio_corpus.cases import cases
from audio_corpus.encoding import MissingEncoderError
from audio_corpus.score import row, score, totals


def main(wanted: list[str]) -> int:
    """Score all recordings, or those of some formats; 1 when one was missed."""
    print(row("", "", "truth", "ours", "mutagen alone", "rule"))
    scores = []
    for case in cases():
        if not wanted or case.format in wanted:
            try:
                scores.append(score(case))
            except MissingEncoderError as error:
                print(f"{case}: not made, {error}", flush=True)
            else:
                print(scores[-1], flush=True)
    print(*totals(scores), sep="\n")
    return int(any(not each.right for each in scores))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
