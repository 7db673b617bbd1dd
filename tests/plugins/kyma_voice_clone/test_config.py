"""Config of `voice_clone`: documented defaults, and nothing that cannot work."""

import pytest
from pydantic import ValidationError

from kyma_voice_clone.config import VoiceCloneConfig


def test_the_defaults_are_the_documented_values() -> None:
    config = VoiceCloneConfig.model_validate({"upstream": "minimax"})
    assert (config.price_usd, config.models) == (2_100_000, ("minimax-voice-clone",))
    assert (config.max_file_bytes, config.min_seconds, config.max_seconds) == (10_485_760, 10, 300)
    assert config.max_name_chars == 64


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"price_usd": 2.1},
        {"price_usd": "0"},
        {"price_usd": "-1"},
        {"models": []},
        {"max_file_bytes": 0},
        {"min_seconds": 301},
        {"max_uploads_in_flight": 0},
        {"max_file_byte": 1},
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, object]) -> None:
    complete = fields if not fields else {"upstream": "minimax", **fields}
    with pytest.raises(ValidationError):
        VoiceCloneConfig.model_validate(complete)
