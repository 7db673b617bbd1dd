"""The gateway's one verb: a request is guarded by its canonical path, then goes to its route's upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Delivery, Flow, Reply
from kyma_proxy.pipeline.admission import Admission
from kyma_proxy.pipeline.asking import Asking
from kyma_proxy.pipeline.guards import Guard, Guards
from kyma_proxy.pipeline.router import Router
from kyma_proxy.pipeline.upgrade import flow_wants_upgrade
from kyma_proxy.upstreams.base import Upstream


class Users:
    """The requests that live on a configuration, streams and tunnels included."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __repr__(self) -> str:
        return f"Users({self.count})"

    def begun(self, flow: Flow) -> None:
        """A request began; its end is noticed."""
        self.count += 1
        flow.when_ended(self._ended)

    def _ended(self, delivery: Delivery) -> None:
        self.count -= 1
        if not self.count:
            self._none.set()

    async def gone(self) -> None:
        """Wait until there is none."""
        while self.count:
            self._none.clear()
            await self._none.wait()


@dataclass(frozen=True)
class Snapshot:
    """A compiled configuration. Immutable: a request lives on the one it started with, a reload swaps it whole."""

    guards: Guards[Guard]
    router: Router
    upstreams: Mapping[str, Upstream]
    admission: Admission | None = None
    users: Users = field(default_factory=Users)


class Gateway:
    """Answers every request of the data plane."""

    def __init__(self) -> None:
        self._snapshot = Snapshot(Guards({}), Router(()), MappingProxyType({}))

    def swap(self, snapshot: Snapshot) -> None:
        """Use another snapshot for requests from now on."""
        self._snapshot = snapshot

    async def handle(self, flow: Flow) -> Reply:
        """Answer a request, or raise GatewayError."""
        snapshot = self._snapshot
        snapshot.users.begun(flow)
        guard = snapshot.guards.at(flow.path)
        if guard is not None and not guard.shared:
            flow.facts["route"] = guard.path
            _refuse_upgrade(flow)
        guard = snapshot.guards.met_by(flow.method, flow.target)
        if guard is None or flow.wants_websocket:
            return await forward(snapshot, flow)
        try:
            return await guard.chains[flow.method](flow)
        finally:
            # What a shared guard lets go on has its route's name by now.
            flow.facts.setdefault("route", guard.path)


def _refuse_upgrade(flow: Flow) -> None:
    if flow_wants_upgrade(flow):
        # What follows may be another protocol already: it is never read as a next request.
        raise GatewayError(ErrorCode.INVALID_REQUEST, "This endpoint does not switch protocols.", close_connection=True)


async def forward(snapshot: Snapshot, flow: Flow) -> Reply:
    """Send a request to its route's upstream. Raises GatewayError NOT_FOUND where no route matches."""
    route = snapshot.router.match(flow.method, flow.path, flow.model)
    if route is None:
        raise GatewayError(ErrorCode.NOT_FOUND, "Nothing is served at this path.")
    flow.facts.setdefault("route", route.pattern)
    flow.facts["upstream"] = route.upstream
    try:
        if route.max_body_bytes is not None:
            flow.body.narrow(route.max_body_bytes)
        if snapshot.admission is not None and flow.identity is not None:
            admitted = await snapshot.admission.enter(flow, route.upstream)
            flow.when_ended(lambda delivery: admitted.leave())
        return await _ask(snapshot.upstreams[route.upstream], flow, route.upstream)
    except GatewayError:
        # The plugins that it passes on its way out did not refuse.
        flow.facts.setdefault("plugin", None)
        raise


async def _ask(upstream: Upstream, flow: Flow, name: str) -> Reply:
    """Have an upstream answer, and note how long that took."""
    with Asking(flow, name) as asking:
        reply = await upstream.send(flow)
        asking.status = reply.status
    flow.facts["upstream_ms"] = asking.milliseconds
    return reply
