"""From the public fields to words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyma_proxy.api import ErrorCode, GatewayError
from kyma_voice_design.config import VoiceDesignConfig
from kyma_voice_design.request import AGE_GROUPS, GENDERS, read_design_request

CONFIG = VoiceDesignConfig(upstream="minimax")
PREVIEW = "Preview."


def read(**fields: Any) -> Any:
    return read_design_request({"description": "Calm.", **fields}, CONFIG)


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        ({}, "Calm."),
        ({"gender": "male"}, "The voice of a man. Calm."),
        ({"gender": "female"}, "The voice of a woman. Calm."),
        ({"age_group": "young"}, "The voice of a young person. Calm."),
        ({"age_group": "middle-aged", "gender": "male"}, "The voice of a middle-aged man. Calm."),
        ({"age_group": "elderly", "gender": "female"}, "The voice of an elderly woman. Calm."),
        ({"age_group": "child"}, "The voice of a child. Calm."),
        ({"age_group": "child", "gender": "female"}, "The voice of a girl. Calm."),
        ({"age_group": "child", "gender": "male"}, "The voice of a boy. Calm."),
    ],
)
def test_hints_become_words(fields: dict[str, str], prompt: str) -> None:
    assert read(**fields).design(PREVIEW).prompt == prompt


def test_the_preview_is_the_clients_or_the_default() -> None:
    assert read().design(PREVIEW).preview_text == PREVIEW
    assert read(preview_text="Mine.").design(PREVIEW).preview_text == "Mine."
    assert read(preview_text=" ").design(PREVIEW).preview_text == PREVIEW


def test_limits_are_accepted_and_count_code_points() -> None:
    request = read(description="\U0001f600" * 1000, preview_text="é" * 500, name="漢" * 64)
    assert (len(request.description), len(request.preview_text), len(request.name)) == (1000, 500, 64)


def test_null_is_left_out_and_the_alias_counts() -> None:
    request = read(description=None, text="Calm.", model=None, gender=None, age_group=None, name=None, extra=[1])
    assert (request.description, request.model, request.name) == ("Calm.", "minimax-voice-design", None)
    assert read(text="Calm.").description == "Calm."


json_values = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "description": json_values,
            "text": json_values,
            "model": json_values | st.just("minimax-voice-design"),
            "name": json_values,
            "preview_text": json_values,
            "gender": json_values | st.sampled_from(GENDERS),
            "age_group": json_values | st.sampled_from(AGE_GROUPS),
        },
    )
)
def test_any_object_is_a_request_within_limits_or_refused_with_400(document: dict[str, Any]) -> None:
    try:
        request = read_design_request(document, CONFIG)
    except GatewayError as error:
        request = None
        status = error.code.status
    if request is None:
        assert status == 400
        return
    assert request.model in CONFIG.models
    assert 1 <= len(request.description.strip()) <= 1000
    assert request.description in (document.get("description"), document.get("text"))
    assert request.gender in (None, *GENDERS)
    assert request.age_group in (None, *AGE_GROUPS)
    assert request.description in request.design(PREVIEW).prompt


def test_the_order_of_refusals() -> None:
    with pytest.raises(GatewayError) as caught:
        read(model="x", description="x" * 1001, gender="x")
    assert caught.value.code is ErrorCode.NOT_A_VOICE_DESIGN_MODEL
    with pytest.raises(GatewayError) as caught:
        read(description="x" * 1001, gender="x")
    assert caught.value.code is ErrorCode.DESCRIPTION_TOO_LONG
