from __future__ import annotations

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_clone.audio.deadline import Deadline


def test_work_within_the_time_goes_on() -> None:
    deadline = Deadline()
    for _ in range(1_000):
        deadline.check()


def test_work_beyond_it_ends_as_unreadable() -> None:
    deadline = Deadline(seconds=0.001)
    with pytest.raises(GatewayError, match="takes too long") as caught:
        any(deadline.check() for _ in range(10_000_000))  # type: ignore[func-returns-value]
    assert caught.value.code is ErrorCode.AUDIO_UNREADABLE
