"""`/_simulator/*`: the switches of a simulator that runs on its own, as JSON over HTTP.

`POST /_simulator/<switch>` changes something, `GET /_simulator/state` shows what there is; a change answers with the
state too. Which switches there are is the simulator's own matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from kyma_proxy.simulators.replies import json_response

Switch = Callable[[bytes], None]
"""Takes the body of a POST; raises ValueError with the reason if it means nothing."""

ModelT = TypeVar("ModelT", bound=BaseModel)


def add_control_routes(
    app: web.Application, switches: Mapping[str, Switch], describe: Callable[[], Mapping[str, Any]]
) -> None:
    """Serve these switches; what cannot be understood is 400 with the reason as text, and changes nothing."""

    async def change(request: web.Request) -> web.Response:
        try:
            switches[request.match_info["switch"]](await request.read())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return json_response(describe())

    async def show(_: web.Request) -> web.Response:
        return json_response(describe())

    app.router.add_post(f"/_simulator/{{switch:{'|'.join(switches)}}}", change)
    app.router.add_get("/_simulator/state", show)


def changed(model: ModelT, body: bytes) -> ModelT:
    """A copy of a model with the fields of a JSON object changed. Raises ValueError for anything else."""
    given = json.loads(body)
    if not isinstance(given, dict):
        raise ValueError("the body must be a JSON object")
    return model.model_validate(model.model_dump() | given)
