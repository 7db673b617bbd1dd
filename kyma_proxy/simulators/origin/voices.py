"""`GET /v1/audio/voices` and `POST /v1/audio/voice-design`."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kyma_proxy.money import usd_number
from kyma_proxy.simulators.origin.replies import RefusalError, invalid
from kyma_proxy.simulators.origin.requests import Received
from kyma_proxy.simulators.origin.state import State
from kyma_proxy.simulators.replies import json_response

DESIGN_MODEL = "minimax-voice-design"
DESIGN_COST_MICROS = 4_200_000
_GENDERS = ("male", "female")
_AGE_GROUPS = ("child", "young", "middle-aged", "elderly")


def _voice(voice_id: str, name: str, category: str, description: str, **labels: str) -> dict[str, Any]:
    preview = f"https://files.example/previews/{voice_id}.mp3"
    row = {"voice_id": voice_id, "name": name, "category": category, "labels": labels}
    return row | {"preview_url": preview, "description": description or None}


VOICES = (
    _voice("21m00Tcm4TlvDq8ikWAM", "Rachel", "premade", "Calm narration", accent="american", gender="female"),
    _voice("AZnzlk1XvdvUeBnXmlld", "Domi", "premade", "Strong and young", accent="american", gender="female"),
    _voice("ErXwobaYiN019PkySvjV", "Antoni", "premade", "Well-rounded", accent="american", gender="male"),
    _voice("pNInz6obpgDQGcFmaJgB", "Adam", "premade", "Deep narration", accent="american", gender="male"),
    _voice("XB0fDUnXU5powFXDhCwa", "Charlotte", "premade", "Seductive", accent="swedish", gender="female"),
    _voice("XrExE9yKIg1WjnnlVkGX", "Mathilde “Mat” Lévêque", "professional", "Voix posée", language="fr"),
    _voice("b3fWhJ8nQqYd2xKcVt0Z", "田中 さくら", "professional", "", language="ja", gender="female"),
    _voice("q1wErTyUiOpAsDfGhJkL", "brand-narrator", "cloned", ""),
)


def list_voices(state: State, _: Received) -> web.Response:
    """The same list for everyone, cached for 5 minutes as `X-Kyma-Cache` says."""
    cache = "hit" if state.list_voices_cached() else "miss"
    response = json_response({"object": "list", "data": VOICES})
    response.headers["X-Kyma-Cache"] = cache
    return response


def design(state: State, received: Received) -> web.Response:
    """A voice from a description; only the user who paid for it may speak with it."""
    if received.text("model") not in (None, DESIGN_MODEL):
        raise RefusalError("not_a_voice_design_model")
    name = _checked(received)
    bill = state.charge(received.key, DESIGN_MODEL, DESIGN_COST_MICROS, refusal="insufficient_credits")
    body = {
        "voice_id": state.add_voice(received.key),
        "name": name,
        "model": DESIGN_MODEL,
        "cost_usd": usd_number(bill.cost_micros),
        "balance_usd": usd_number(bill.balance_micros),
    }
    response = json_response(body)
    response.headers.update(bill.headers())
    return response


def _checked(received: Received) -> str | None:
    """The name after every field was looked at."""
    description = received.text("description", "text")
    if not (description or "").strip():
        raise invalid("description is required.")
    if len(description or "") > 1000:
        raise RefusalError("description_too_long")
    name, preview_text = received.text("name"), received.text("preview_text")
    if len(name or "") > 64:
        raise invalid("name is over 64 characters.")
    if len(preview_text or "") > 500:
        raise invalid("preview_text is over 500 characters.")
    if received.text("gender") not in (None, *_GENDERS):
        raise invalid(f"gender must be one of {', '.join(_GENDERS)}.")
    if received.text("age_group") not in (None, *_AGE_GROUPS):
        raise invalid(f"age_group must be one of {', '.join(_AGE_GROUPS)}.")
    return name
