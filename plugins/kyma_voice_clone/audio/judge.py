"""The verdict on a recording: its format, its duration and the rule that decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kyma_voice_clone.audio import mp3, mp4, wav
from kyma_voice_clone.audio.deadline import Deadline
from kyma_voice_clone.audio.header import header_seconds
from kyma_voice_clone.audio.judgement import Format, Judgement, Measured, check_duration
from kyma_voice_clone.audio.sniff import sniff

__all__ = ["Judgement", "check_duration", "judge"]

_MEASURES: Final[Mapping[Format, Callable[[memoryview, Deadline], Measured]]] = {
    "mp3": mp3.measure,
    "wav": wav.measure,
    "m4a": mp4.measure,
}
_AGREES_WITHIN_SECONDS: Final = 0.15
"""Encoder delay, padding and mutagen's own rounding; measured on files of every common encoder."""


def judge(data: memoryview) -> Judgement:
    """Recognise a recording and establish how long it plays, from its bytes alone.

    The bytes that are present decide; the header's word is read by mutagen and noted in `rule`. Takes time linear in
    the size, and gives up at a deadline. Raises GatewayError UNSUPPORTED_FORMAT for anything but MP3, WAV and M4A, and
    AUDIO_UNREADABLE for one of those whose duration cannot be established.
    """
    deadline = Deadline()
    audio_format = sniff(data)
    measured = _MEASURES[audio_format](data, deadline)
    claimed = header_seconds(audio_format, measured.header)
    return Judgement(audio_format, measured.duration, _rule(measured, claimed), claimed)


def _rule(measured: Measured, claimed: float | None) -> str:
    if claimed is None:
        return f"{measured.rule}; header says nothing"
    if abs(claimed - float(measured.duration)) <= _AGREES_WITHIN_SECONDS:
        return f"{measured.rule}; header agrees"
    return f"{measured.rule}; header says {claimed:.3f} s"
