"""A request for a voice, from the public fields to the words for the provider."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kyma_proxy.api import ErrorCode, GatewayError, VoiceDesign
from kyma_voice_design.config import VoiceDesignConfig

_PERSONS: Final = {"male": "man", "female": "woman", None: "person"}
_CHILDREN: Final = {"male": "boy", "female": "girl", None: "child"}
_AGES: Final = {"young": "a young", "middle-aged": "a middle-aged", "elderly": "an elderly"}
GENDERS: Final = ("male", "female")
AGE_GROUPS: Final = ("child", *_AGES)


@dataclass(frozen=True, slots=True)
class DesignRequest:
    """What is asked for. A blank `name` or `preview_text` is None, else they are as sent."""

    model: str
    description: str
    name: str | None
    preview_text: str | None
    gender: str | None
    age_group: str | None

    def design(self, default_preview_text: str) -> VoiceDesign:
        """The same in the provider's terms: what it knows no field for stands in front of the description."""
        who = self._who()
        prompt = self.description if who is None else f"The voice of {who}. {self.description}"
        return VoiceDesign(prompt, self.preview_text or default_preview_text)

    def _who(self) -> str | None:
        if self.age_group == "child":
            return f"a {_CHILDREN[self.gender]}"
        if self.age_group is not None:
            return f"{_AGES[self.age_group]} {_PERSONS[self.gender]}"
        return None if self.gender is None else f"a {_PERSONS[self.gender]}"


def read_design_request(document: Mapping[str, Any], config: VoiceDesignConfig) -> DesignRequest:
    """Read a strictly parsed JSON body. A field that is null counts as left out; unknown ones are ignored.

    Raises GatewayError NOT_A_VOICE_DESIGN_MODEL, DESCRIPTION_TOO_LONG, otherwise INVALID_REQUEST with what to change.
    """
    model = document.get("model")
    if model is None:
        model = config.models[0]
    if not isinstance(model, str) or model not in config.models:
        raise GatewayError(
            ErrorCode.NOT_A_VOICE_DESIGN_MODEL,
            f"This model does not design voices. Leave `model` out, or send {config.models[0]!r}.",
        )
    return DesignRequest(
        model,
        _description(document, config.max_description_chars),
        _name(document, config.max_name_chars),
        _optional_text(document, "preview_text", config.max_preview_chars),
        _choice(document, "gender", GENDERS),
        _choice(document, "age_group", AGE_GROUPS),
    )


def _description(document: Mapping[str, Any], chars_max: int) -> str:
    given = [document[name] for name in ("description", "text") if document.get(name) is not None]
    if any(not isinstance(text, str) for text in given):
        raise _invalid("`description` must be a string.")
    if len(set(given)) > 1:
        raise _invalid("`description` and `text` are the same field and say different things.")
    if not given or not given[0].strip():
        raise _invalid("`description` is missing: the voice in words.")
    description: str = given[0]
    if len(description) > chars_max:
        message = f"`description` has {len(description)} characters. Send at most {chars_max}."
        raise GatewayError(ErrorCode.DESCRIPTION_TOO_LONG, message)
    return description


def _optional_text(document: Mapping[str, Any], name: str, chars_max: int) -> str | None:
    text = document.get(name)
    if text is not None and not isinstance(text, str):
        raise _invalid(f"`{name}` must be a string.")
    if text is None or not text.strip():
        return None
    if len(text) > chars_max:
        raise _invalid(f"`{name}` has {len(text)} characters. Send at most {chars_max}.")
    return text


def _name(document: Mapping[str, Any], chars_max: int) -> str | None:
    name = _optional_text(document, "name", chars_max)
    if name is not None and any(unicodedata.category(letter) == "Cc" for letter in name):
        raise _invalid("`name` has a control character in it. Send plain text.")
    return name


def _choice(document: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str | None:
    value = document.get(name)
    if value is not None and value not in choices:
        raise _invalid(f"`{name}` must be one of: {', '.join(choices)}.")
    return value


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
