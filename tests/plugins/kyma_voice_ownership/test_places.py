"""The known places of a voice id."""

from typing import Any

import pytest

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_ownership.places import require_voice_shapes


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"voice": "x"},
        {"voice": None, "voice_id": None},
        {"voice": {"id": "x"}},
        {"voice_setting": {"voice_id": "", "speed": 1}},
        {"timbre_weights": [{"voice_id": "x", "weight": 1}]},
        {"voice_settings": {"stability": 0.5}},
        {"a": [{"voice": "x"}]},
    ],
)
def test_what_names_a_voice_in_one_way_passes(document: dict[str, Any]) -> None:
    require_voice_shapes(document)


@pytest.mark.parametrize(
    "document",
    [
        {"voice": 1},
        {"voice": True},
        {"voice": ["x"]},
        {"Voice": 1},
        {"voice": {"id": 1}},
        {"voice": {"ID": ["x"]}},
        {"voice": {"voice_id": {}}},
        {"voice_id": 12},
        {"voice_id": ["x"]},
        {"voice_id": {"id": "x"}},
        {"VOICE_ID": False},
        {"voiceId": 1.5},
        {"voice_setting": "x"},
        {"voice_setting": [{"voice_id": "x"}]},
        {"voice_setting": {"voice_id": 3}},
        {"timbre_weights": {"voice_id": "x"}},
        {"timber_weights": ["x"]},
        {"timbre_weights": [{"voice_id": 1}]},
        {"a": [{"b": {"voice_id": 7}}]},
    ],
)
def test_anything_else_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        require_voice_shapes(document)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert "must be" in caught.value.message
