"""`/v1/get_voice` and `/v1/delete_voice`."""

from __future__ import annotations

from typing import Any

from kyma_proxy.simulators.minimax.replies import RefusalError, invalid_params, success
from kyma_proxy.simulators.minimax.state import SYSTEM_VOICES, Call, State

_OWN_TYPES = ("voice_cloning", "voice_generation")


async def get_voice(state: State, call: Call) -> dict[str, Any]:
    """The account's voices. Inactive ones are not listed; an array with nothing in it is null."""
    wanted = (call.json or {}).get("voice_type")
    if wanted not in ("system", "all", *_OWN_TYPES):
        raise invalid_params("voice_type")
    rows: dict[str, Any] = {
        "system_voice": [
            {"voice_id": voice_id, "voice_name": name, "description": [name], "created_time": "1970-01-01"}
            for voice_id, name in SYSTEM_VOICES.items()
            if wanted in ("system", "all")
        ]
    }
    for voice_type in _OWN_TYPES:
        rows[voice_type] = [
            {"voice_id": voice.voice_id, "description": [], "created_time": voice.created_on}
            for voice in state.voices.values()
            if voice.active and voice.voice_type == voice_type and wanted in (voice_type, "all")
        ]
    return success({name: listed or None for name, listed in rows.items()})


async def delete_voice(state: State, call: Call) -> dict[str, Any]:
    """Needs the right `voice_type`; the id can never be used again. One that is not there is 2013 with empty fields."""
    fields = call.json or {}
    voice_id, voice_type = fields.get("voice_id"), fields.get("voice_type")
    if voice_type not in _OWN_TYPES:
        raise invalid_params("voice_type")
    if not isinstance(voice_id, str) or not voice_id:
        raise invalid_params("voice id wrong")
    voice = state.voices.get(voice_id)
    if voice is None or voice.voice_type != voice_type:
        nothing = {"voice_id": "", "description": None, "created_time": ""}
        raise RefusalError(2013, "invalid params, voice_id does not exist", fields=nothing)
    state.remove_voice(voice_id)
    created_time = str(voice.created_at) if state.behaviour.epoch_created_time else voice.created_on
    return success({"voice_id": voice_id, "created_time": created_time})
