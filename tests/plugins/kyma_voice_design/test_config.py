"""The documented values, and no others that cannot work."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kyma_voice_design.config import VoiceDesignConfig


def test_the_defaults_are_the_documented_values() -> None:
    config = VoiceDesignConfig(upstream="minimax")
    assert config.price_usd == 4_200_000
    assert config.models == ("minimax-voice-design",)
    assert (config.max_description_chars, config.max_preview_chars, config.max_name_chars) == (1000, 500, 64)
    assert len(config.default_preview_text) <= 500


@pytest.mark.parametrize(
    "fields",
    [
        {"price_usd": 4.2},
        {"price_usd": "0"},
        {"models": []},
        {"max_preview_chars": 501},
        {"default_preview_text": ""},
        {"default_preview_text": " \n"},
        {"max_descripton_chars": 5},
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VoiceDesignConfig(**{"upstream": "minimax", **fields})
