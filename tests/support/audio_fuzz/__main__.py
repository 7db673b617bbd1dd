"""Searches for bytes that the judge gets wrong: `python -m audio_fuzz --minutes 60`; fails when it finds any."""

from __future__ import annotations

import argparse
import random
import sys
import time

from audio_fuzz.search import search, seeds


def main() -> int:
    """Search, tell how far it is every ten seconds, keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    originals = seeds()
    print(f"seed {arguments.seed}, {len(originals)} recordings to begin with", flush=True)
    started = told_at = time.monotonic()
    count = found = 0

    def tell(tried: int) -> None:
        nonlocal told_at, count
        count = tried
        if time.monotonic() - told_at >= 10:
            told_at = time.monotonic()
            print(f"{told_at - started:7.0f} s {tried:9d} tried, {found} found", flush=True)

    for finding in search(originals, arguments.minutes * 60, arguments.seed, tell):
        found += 1
        print(f"{finding.wrong}\n  kept as {finding.save()}", flush=True)
        if found == 20:
            break
    print(f"{count} tried, {found} found")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
