"""The library's settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from kyma_voice_library.config import VoiceLibraryConfig


def test_nothing_is_kept_alive_unless_that_is_said() -> None:
    assert VoiceLibraryConfig(upstream="minimax").keep_alive is False


@pytest.mark.parametrize(
    "wrong",
    [{"max_page": 0}, {"keep_alive_hours": 0}, {"keep_alive_per_hour": 0}, {"keep_alive_line": " "}, {"unknown": 1}],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VoiceLibraryConfig(upstream="minimax", **wrong)
