"""What the judge says of a recording, and its three ways of refusing one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from kyma_proxy.api import ErrorCode, GatewayError

Format = Literal["mp3", "wav", "m4a"]


@dataclass(frozen=True, slots=True)
class Measured:
    """How long the bytes play, by which rule, and where a header says so too (`header` is a small file for mutagen)."""

    duration: Fraction
    rule: str
    header: memoryview | bytes


@dataclass(frozen=True, slots=True)
class Judgement:
    """A recognised recording. `duration` is exact seconds, established from the bytes that are present.

    `rule` names what decided, for the log. `header_seconds` is what the header claims, None where it claims nothing
    readable: it never decides.
    """

    format: Format
    duration: Fraction
    rule: str
    header_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """The duration for people and logs; limits are checked on `duration`, which is exact."""
        return float(self.duration)

    @property
    def extension(self) -> str:
        """The file name extension of the judged format, without a dot; the provider goes by it."""
        return self.format


def check_duration(judgement: Judgement, min_seconds: float, max_seconds: float) -> None:
    """Refuse a recording outside `min_seconds`..`max_seconds`; both limits themselves are allowed (contract section 4).

    Raises GatewayError REFERENCE_TOO_SHORT or REFERENCE_TOO_LONG.
    """
    if judgement.duration < Fraction(str(min_seconds)):
        text = f"The recording is {_shown(judgement.duration)} s long; send at least {min_seconds:g} s of audio."
        raise GatewayError(ErrorCode.REFERENCE_TOO_SHORT, text)
    if judgement.duration > Fraction(str(max_seconds)):
        text = f"The recording is {_shown(judgement.duration)} s long; send at most {max_seconds:g} s of audio."
        raise GatewayError(ErrorCode.REFERENCE_TOO_LONG, text)


def _shown(duration: Fraction) -> str:
    """Milliseconds, or all that a float holds where they would read like the limit itself."""
    return f"{float(duration):.3f}" if (duration * 1000).denominator == 1 else f"{float(duration):.6f}"


def unsupported(what: str) -> GatewayError:
    """The refusal of a file that is `what` instead of MP3, WAV or M4A."""
    return GatewayError(ErrorCode.UNSUPPORTED_FORMAT, f"`file` is {what}; send MP3, WAV or M4A.")


def unreadable(detail: str) -> GatewayError:
    """The refusal of an MP3, WAV or M4A file whose duration cannot be established."""
    return GatewayError(
        ErrorCode.AUDIO_UNREADABLE, f"The recording cannot be read: {detail}. Export it again as MP3, WAV or M4A."
    )
