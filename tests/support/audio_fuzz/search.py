"""The search for bytes that the judge gets wrong, and making what it finds small."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from audio_corpus.cases import cases
from audio_fuzz.mutate import mutated
from audio_fuzz.oracle import complaint, cut_complaint

REGRESSIONS = Path(__file__).with_name("regressions")
_MEMORY_EVERY = 25


@dataclass(frozen=True, slots=True)
class Finding:
    """Bytes that the judge gets wrong, and how."""

    data: bytes
    wrong: str

    def save(self) -> Path:
        """Keep the bytes, as small as they can be made, for every later run of the tests."""
        smallest = shrunk(self.data, lambda data: complaint(data) is not None)
        path = REGRESSIONS / f"{hashlib.sha256(smallest).hexdigest()[:16]}.bin"
        path.write_bytes(smallest)
        return path


def seeds(bytes_max: int = 400_000, every: int = 1) -> list[bytes]:
    """The recordings of the corpus that are small enough to be tried often; of so many one, to save time."""
    made = (case.make() for case in islice(cases(), 0, None, every))
    return [data for data in made if 0 < len(data) <= bytes_max]


def search(
    originals: Sequence[bytes], seconds: float, seed: int, told: Callable[[int], None] = lambda tried: None
) -> Iterator[Finding]:
    """Try mutations and cuts for so many seconds. The same seed goes the same way."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until:
        tried += 1
        told(tried)
        original = chance.choice(originals)
        if chance.random() < 0.1:
            at = chance.randrange(len(original))
            data, wrong = original[:at], cut_complaint(original, at)
        else:
            data = mutated(original, chance.choice(originals), chance)
            wrong = complaint(data, memory=tried % _MEMORY_EVERY == 0)
        if wrong is not None:
            yield Finding(data, wrong)


def shrunk(data: bytes, is_wrong: Callable[[bytes], bool]) -> bytes:
    """A smaller file of which `is_wrong` still holds, by leaving out ever smaller pieces."""
    piece = len(data) // 2
    for _ in range(400):
        if not piece or not is_wrong(data):
            return data
        for at in range(0, len(data), piece):
            less = data[:at] + data[at + piece :]
            if less and is_wrong(less):
                data = less
                break
        else:
            piece //= 2
    return data
