"""What a request for speech says: read in one place, so that what is priced is what is spoken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyma_proxy.errors import ErrorCode, GatewayError


def spoken_text(document: Mapping[str, Any], chars_max: int) -> str:
    """The text that a checked JSON body asks to have spoken: `input`, or its alias `text`.

    Its length counts in Unicode code points. Raises GatewayError INPUT_TOO_LONG over `chars_max` of them,
    INVALID_REQUEST where there is no text, or two that differ.
    """
    given = [document[name] for name in ("input", "text") if document.get(name) is not None]
    if not given:
        raise _invalid("`input` is missing: the text to speak.")
    if any(not isinstance(text, str) for text in given):
        raise _invalid("`input` must be a string.")
    if len(set(given)) > 1:
        raise _invalid("`input` and `text` are the same field and say different things.")
    text: str = given[0]
    if not text.strip():
        raise _invalid("`input` is blank.")
    if len(text) > chars_max:
        raise GatewayError(ErrorCode.INPUT_TOO_LONG, f"`input` has {len(text)} characters; at most {chars_max} go.")
    return text


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
