"""What a request for speech says."""

from __future__ import annotations

from typing import Any

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.speech import spoken_text


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"input": "Hello."}, "Hello."),
        ({"text": "Hello."}, "Hello."),
        ({"input": None, "text": " x "}, " x "),
        ({"input": "same", "text": "same"}, "same"),
        ({"input": "\U0001f600" * 10}, "\U0001f600" * 10),
    ],
)
def test_the_text(document: dict[str, Any], text: str) -> None:
    assert spoken_text(document, 10) == text


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, ErrorCode.INVALID_REQUEST),
        ({"input": None}, ErrorCode.INVALID_REQUEST),
        ({"input": 7}, ErrorCode.INVALID_REQUEST),
        ({"input": " \n"}, ErrorCode.INVALID_REQUEST),
        ({"input": "one", "text": "other"}, ErrorCode.INVALID_REQUEST),
        ({"input": "x" * 11}, ErrorCode.INPUT_TOO_LONG),
    ],
)
def test_no_text(document: dict[str, Any], code: ErrorCode) -> None:
    with pytest.raises(GatewayError) as caught:
        spoken_text(document, 10)
    assert caught.value.code is code
