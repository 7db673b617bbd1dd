"""One recording of the corpus: how it is made, and what is true of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

MIN_SECONDS: Final = 10
MAX_SECONDS: Final = 300

Verdict = Literal["accepted", "reference_too_short", "reference_too_long", "audio_unreadable", "unsupported_format"]


@dataclass(frozen=True, slots=True)
class Case:
    """A recording. Exactly one of the truths is given, or none where a full decode tells.

    `seconds` is known from how the file was made (an exact edge, or a form that the decoder does not read);
    `refused` is the verdict on what is not a readable recording, and `named` what the refusal must call it.
    """

    format: str
    trait: str
    make: Callable[[], bytes]
    seconds: float | None = None
    refused: Verdict | None = None
    named: str = ""
    exact: bool = False
    """Whether `seconds` is exact to the sample, so that a limit itself can be tried."""
    mutagen_hangs: bool = False
    """Whether mutagen would be busy with it for minutes, so that it is not asked."""

    def __str__(self) -> str:
        return f"{self.format}: {self.trait}"


def verdict_on(seconds: float) -> Verdict:
    """What the limits of the public API say of a duration in seconds."""
    if seconds < MIN_SECONDS:
        return "reference_too_short"
    return "reference_too_long" if seconds > MAX_SECONDS else "accepted"
