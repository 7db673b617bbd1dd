"""The time that one judgement may take."""

from __future__ import annotations

from typing import Final

from kyma_proxy.api import thread_cpu_seconds
from kyma_voice_clone.audio.judgement import unreadable

JUDGE_SECONDS_MAX: Final = 2.0
"""Over ten times what the slowest file of the largest size takes."""


class Deadline:
    """A limit on the processor time of the thread that judges: a busy machine makes nobody's recording unreadable."""

    def __init__(self, seconds: float = JUDGE_SECONDS_MAX) -> None:
        self._until = thread_cpu_seconds() + seconds

    def check(self) -> None:
        """Raise GatewayError AUDIO_UNREADABLE when the time is up. Reads a clock: not for every turn of a hot loop."""
        if thread_cpu_seconds() > self._until:
            raise unreadable("it takes too long to find out how long it plays")
