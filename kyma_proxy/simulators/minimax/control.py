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

from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from kyma_proxy.simulators.control import add_control_routes, changed
from kyma_proxy.simulators.faults import ANY_PATH
from kyma_proxy.simulators.minimax.faults import Fault
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


def add_switches(app: web.Application, state: State) -> None:
    """Serve the switches of this state; what cannot be understood is 400 with the reason as text."""

    def behave(body: bytes) -> None:
        state.behaviour = changed(state.behaviour, body)

    switches = {
        "faults": lambda body: inject(state, Fault.model_validate_json(body)),
        "behaviour": behave,
        "clock": lambda body: state.advance(ClockMove.model_validate_json(body).advance_seconds),
        "reset": lambda _: state.reset(),
    }
    add_control_routes(app, switches, lambda: describe(state))


def describe(state: State) -> dict[str, Any]:
    """The account as JSON: no uploads, no keys."""
    state.drop_unused_voices()
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
                "events": call.progress.events,
                "audio_bytes": call.progress.audio_bytes,
                "client_left": call.progress.client_left_at is not None,
            }
            for call in state.calls
        ],
    }
