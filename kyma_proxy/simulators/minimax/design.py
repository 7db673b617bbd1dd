"""`/v1/voice_design`: a voice from a description, under the caller's id or under one of the provider's own."""

from __future__ import annotations

import asyncio
import secrets
import string
from typing import Any

from kyma_proxy.clock import utc_now
from kyma_proxy.simulators.minimax.clone import check_voice_id
from kyma_proxy.simulators.minimax.replies import invalid_params, success
from kyma_proxy.simulators.minimax.state import Call, State
from kyma_proxy.simulators.tone import Format

PROMPT_CHARS_MAX = 2000
PREVIEW_CHARS_MAX = 500
_PREVIEW = Format("mp3", 32_000, 128)
_PREVIEW_SECONDS = 1.0


async def voice_design(state: State, call: Call) -> dict[str, Any]:
    """Makes a voice at the end of `clone_seconds`, and says its id and a preview in hexadecimal."""
    fields = call.json
    if fields is None:
        raise invalid_params("empty field")
    for name, chars_max in (("prompt", PROMPT_CHARS_MAX), ("preview_text", PREVIEW_CHARS_MAX)):
        text = fields.get(name)
        if not isinstance(text, str) or not text.strip() or len(text) > chars_max:
            raise invalid_params(name)
    asked = fields.get("voice_id")
    if asked is None or state.behaviour.design_ids == "own":
        voice_id = _own_id()
    else:
        voice_id = check_voice_id(asked, needs_digit=state.behaviour.require_digit_in_voice_id)
    state.reserve_voice_id(voice_id)
    try:
        await asyncio.sleep(state.behaviour.clone_seconds)
        state.add_voice(voice_id, "voice_generation")
    finally:
        state.cloning_voice_ids.discard(voice_id)
    return success({"voice_id": voice_id, "trial_audio": _PREVIEW.tone(_PREVIEW_SECONDS).hex()})


def _own_id() -> str:
    letters = string.ascii_letters + string.digits
    moment = utc_now().strftime("%Y%m%d%H%M%S") + f"{secrets.randbelow(100):02d}"
    return f"ttv-voice-{moment}-{''.join(secrets.choice(letters) for _ in range(8))}"
