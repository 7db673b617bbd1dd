"""`/_simulator/*`: the switches of an origin that runs on its own, as JSON over HTTP.

| call | does |
|---|---|
| `POST /_simulator/faults` | injects one fault, the fields of `Fault`; `{"http_status": 502}` is an HTML page |
| `POST /_simulator/behaviour` | changes the given fields of `Behaviour` |
| `POST /_simulator/reset` | forgets everything |
| `GET /_simulator/state` | what the origin holds; every other call answers with it too |
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kyma_proxy.simulators.control import add_control_routes, changed
from kyma_proxy.simulators.origin.faults import Fault
from kyma_proxy.simulators.origin.state import Call, State

_SECRET_HEADERS = ("authorization", "x-api-key", "cookie")


def add_switches(app: web.Application, state: State) -> None:
    """Serve the switches of this state; what cannot be understood is 400 with the reason as text."""

    def behave(body: bytes) -> None:
        state.behaviour = changed(state.behaviour, body)

    switches = {
        "faults": lambda body: state.faults.add(Fault.model_validate_json(body)),
        "behaviour": behave,
        "reset": lambda _: state.reset(),
    }
    add_control_routes(app, switches, lambda: describe(state))


def describe(state: State) -> dict[str, Any]:
    """The origin as JSON: no keys."""
    return {
        "behaviour": state.behaviour.model_dump(mode="json"),
        "faults": [fault.model_dump(mode="json") for fault in state.faults.waiting],
        "voices": state.voice_count,
        "calls": [_described(call) for call in state.calls],
    }


def _described(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "target": call.target,
        "headers": [pair for pair in call.headers if pair[0].lower() not in _SECRET_HEADERS],
        "body_bytes": call.body_bytes,
        "body_sha256": call.body_sha256,
        "form_fields": call.form_fields,
        "reply_status": call.reply_status,
        "reply_complete": call.reply_complete,
    }
