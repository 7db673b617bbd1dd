"""Config of `voice_ownership`."""

from typing import Any

import pytest
from pydantic import ValidationError

from kyma_voice_ownership.config import VoiceOwnershipConfig


def test_the_defaults_are_the_contracts() -> None:
    config = VoiceOwnershipConfig()
    assert (config.max_body_bytes, config.deny_unlisted_prefix, config.reserved_prefix) == (1048576, False, "kyma_")
    assert config.when_database_is_down == "serve_known"


@pytest.mark.parametrize(
    "fields",
    [
        {"max_body_bytes": 0},
        {"reserved_prefix": ""},
        {"reserved_prefix": "KYMA_"},
        {"deny_unlisted": True},
        {"when_database_is_down": "serve_all"},
    ],
)
def test_what_would_guard_nothing_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VoiceOwnershipConfig.model_validate(fields)
