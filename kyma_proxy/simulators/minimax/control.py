"""`/_simulator/*`: the switches of a simulator that runs on its own, as JSON over HTTP.

| call | does |
|---|---|
| `POST /_simulator/faults` | injects one fault, the fields of `Fault` |
| `POST /_simulator/behaviour` | changes the given fields of `Behaviour` |
| `POST /_simulator/clock` | `{"advance_seconds": 604801}` moves the clock |
| `POST /_simulator/reset` | forgets everything |
| `GET /_simulator/state` | what the account holds; every other call answers with it too |
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kyma_proxy.simulators.minimax.faults import ANY_PATH, Behaviour, Fault
from kyma_proxy.simulators.minimax.replies import encode
from kyma_proxy.simulators.minimax.routes import PATHS
from kyma_proxy.simulators.minimax.state import State


class ClockMove(BaseModel):
    """How far to move the clock on, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    advance_seconds: float = Field(ge=0, le=10 * 365 * 86400)


def inject(state: State, fault: Fault) -> None:
    """Let a fault happen from now on. Raises ValueError if no call has its path, or too many faults wait."""
    if fault.path not in (ANY_PATH, *PATHS):
        raise ValueError(f"no call has the path {fault.path}; there are {', '.join(sorted(PATHS))} and {ANY_PATH}")
    state.faults.add(fault)


def add_control_routes(app: web.Application, state: State) -> None:
    """Serve the switches of this state; what cannot be understood is 400 with the reason as text."""

    async def change(request: web.Request) -> web.Response:
        try:
            _change(state, request.match_info["switch"], await request.read())
        except (ValidationError, ValueError) as error:
            return web.Response(status=400, text=str(error))
        return _report(state)

    async def show(_: web.Request) -> web.Response:
        return _report(state)

    app.router.add_post("/_simulator/{switch:faults|behaviour|clock|reset}", change)
    app.router.add_get("/_simulator/state", show)


def _change(state: State, switch: str, body: bytes) -> None:
    if switch == "faults":
        inject(state, Fault.model_validate_json(body))
    elif switch == "behaviour":
        given = json.loads(body)
        if not isinstance(given, dict):
            raise ValueError("behaviour must be a JSON object")
        state.behaviour = Behaviour.model_validate(state.behaviour.model_dump() | given)
    elif switch == "clock":
        state.advance(ClockMove.model_validate_json(body).advance_seconds)
    else:
        state.reset()


def _report(state: State) -> web.Response:
    state.drop_unused_voices()
    return web.Response(body=encode(describe(state)), content_type="application/json")


def describe(state: State) -> dict[str, Any]:
    """The account as JSON: no uploads, no keys."""
    return {
        "now_seconds": state.now_seconds(),
        "behaviour": state.behaviour.model_dump(mode="json"),
        "faults": [fault.model_dump(mode="json") for fault in state.faults.waiting],
        "files": [
            {"file_id": kept.file_id, "filename": kept.filename, "purpose": kept.purpose, "bytes": len(kept.data)}
            for kept in state.files.values()
        ],
        "voices": [
            {"voice_id": voice.voice_id, "voice_type": voice.voice_type, "active": voice.active}
            for voice in state.voices.values()
        ],
        "cloning_voice_ids": sorted(state.cloning_voice_ids),
        "burned_voice_ids": sorted(state.burned_voice_ids),
        "calls": [
            {
                "method": call.method,
                "path": call.path,
                "query": dict(call.query),
                "json": call.json,
                "fields": dict(call.fields),
                "filename": call.filename,
                "upload_bytes": call.upload_bytes,
            }
            for call in state.calls
        ],
    }
