"""The admin listener: health, readiness, metrics and reloads, never on the data plane."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Outcome(Protocol):
    """How a reload ended."""

    @property
    def accepted(self) -> bool:
        """Whether the new configuration is in use."""

    def as_json(self) -> dict[str, Any]:
        """What to tell of it."""


Reload = Callable[[], Awaitable[Outcome | None]]
"""Takes over the configuration as it is now; None while that cannot be."""
Recall = Callable[[str], Awaitable[Mapping[str, Any] | None]]
"""What is remembered of a request, by its id."""
Readiness = Callable[[], Awaitable[tuple[bool, str]]]
"""Says whether requests can be served, and why not."""

_READINESS_SECONDS: Final = 5.0  # an orchestrator's probe would not wait longer
_log = structlog.get_logger("kyma_proxy.server")


class AdminListener:
    """Serves `/healthz`, `/readyz`, `/metrics`, `/requests/ID` and `POST /reload`; anything else is 404.

    `readiness` is asked on every `/readyz`; when it raises or takes longer than five seconds the answer is 503.
    """

    def __init__(self, readiness: Readiness, registry: CollectorRegistry, reload: Reload, recall: Recall) -> None:
        self._readiness = readiness
        self._recall = recall
        self._reload = reload
        self._registry = registry
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port listened on; differs from the one asked for when that was 0."""
        assert self._runner is not None, "the listener has not been started"
        return int(self._runner.addresses[0][1])

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the address is not to be had."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/requests/{id}", self._request),
                web.post("/reload", self._reloaded),
            ]
        )
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=False, shutdown_timeout=1.0, keepalive_timeout=15.0
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening and end every connection. May be called again."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, request: web.Request) -> web.Response:
        return _json(200, {"status": "ok"})

    async def _readyz(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_READINESS_SECONDS):
                ready, reason = await self._readiness()
        except TimeoutError:
            ready, reason = False, "the check took too long"
        except Exception:  # noqa: BLE001 - a check that fails in any way means: not ready
            _log.exception("readiness_check_failed")
            ready, reason = False, "the check failed"
        return _json(200 if ready else 503, {"ready": ready, "reason": reason})

    async def _reloaded(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers:
            # A page in an operator's browser can post here, too, and must not.
            return _json(403, {"reloaded": False, "reason": "not for browsers"})
        outcome = await self._reload()
        if outcome is None:
            return _json(503, {"reloaded": False, "reason": "the gateway is starting or draining"})
        return _json(200 if outcome.accepted else 409, outcome.as_json())

    async def _request(self, request: web.Request) -> web.Response:
        found = await self._recall(request.match_info["id"])
        if found is None:
            return _json(404, {"reason": "no such request is remembered"})
        return _json(200, found)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(status: int, body: Mapping[str, Any]) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
