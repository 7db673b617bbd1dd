"""What must hold of the judge's answer to any bytes at all."""

from __future__ import annotations

import time
import tracemalloc
from fractions import Fraction

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_voice_clone.audio.judge import Judgement, judge

SECONDS_MAX = 1.0
"""Of processor time; ten megabytes of the worst kind take an eighth of this."""
EXTRA_BYTES_MAX = 1024 * 1024
REFUSALS = (ErrorCode.UNSUPPORTED_FORMAT, ErrorCode.AUDIO_UNREADABLE)
Answer = tuple[str, Fraction | None, str]
"""Format or refusal, duration, and the rule or the message."""


def ask(data: bytes) -> Answer:
    """What the judge says. Raises whatever it raises beside its own refusals."""
    try:
        found: Judgement = judge(memoryview(data))
    except GatewayError as error:
        return error.code.name, None, error.message
    return found.format, found.duration, found.rule


def complaint(data: bytes, *, memory: bool = False) -> str | None:
    """What is wrong with the judge's answer to these bytes, or None. Looking at memory takes much longer."""
    if memory:
        tracemalloc.start()
    started = time.thread_time()
    try:
        answer = ask(data)
        seconds = time.thread_time() - started
        extra_bytes = tracemalloc.get_traced_memory()[1] if memory else 0
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}"
    finally:
        tracemalloc.stop()
    if seconds > SECONDS_MAX and not memory:
        return f"it took {seconds:.2f} s"
    if extra_bytes > EXTRA_BYTES_MAX:
        return f"it took {extra_bytes} bytes beside the recording"
    if answer[1] is None and answer[0] not in {code.name for code in REFUSALS}:
        return f"it refused with {answer[0]}"
    if answer[1] is not None and not 0 <= answer[1] <= plays_at_most(answer[0], len(data)):
        return f"it says that {len(data)} bytes of {answer[0]} play {float(answer[1]):.3f} s"
    if not memory and ask(data) != answer:
        return "it says something else when it is asked again"
    return None


def plays_at_most(audio_format: str, size: int) -> Fraction:
    """Seconds that so many bytes can play: a bound on headers that are believed, no estimate.

    MP3: free-format frames of 20 bytes at 8 kHz. WAV: a byte a sample at one sample a second, or coded blocks. M4A:
    units of a byte with 4096 samples at 8 kHz, each played by up to 64 edits.
    """
    if audio_format == "mp3":
        return Fraction(1152, 8_000) * (size // 20 + 1)
    if audio_format == "wav":
        return Fraction(64 * size)
    return Fraction(4096 * 64 * size, 8_000)


def cut_complaint(whole: bytes, at: int) -> str | None:
    """What is wrong with the answer to the first `at` bytes of a recording, or None: less of it never plays longer."""
    found = complaint(whole[:at])
    if found is not None:
        return found
    longest, seconds = ask(whole)[1], ask(whole[:at])[1]
    # What declares encoder delay and padding may be cut off.
    if longest is not None and seconds is not None and seconds > longest + Fraction(1, 5):
        return f"the first {at} bytes play {float(seconds):.3f} s, all of it {float(longest):.3f} s"
    return None
