"""The gateway's one verb: a request is guarded by its canonical path, then goes to its route's upstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.flow import Flow, Reply
from kyma_proxy.pipeline.loader import GUARDABLE_PREFIX
from kyma_proxy.pipeline.paths import is_disguise
from kyma_proxy.pipeline.router import Router
from kyma_proxy.pipeline.upgrade import flow_wants_upgrade
from kyma_proxy.plugin import Proceed
from kyma_proxy.upstreams.base import Upstream


@dataclass(frozen=True, slots=True)
class Guard:
    """A guarded path, compiled: a chain for each method it serves."""

    path: str
    chains: Mapping[str, Proceed]
    allow: str


@dataclass(frozen=True)
class Snapshot:
    """A compiled configuration. Immutable: a request lives on the one it started with, a reload swaps it whole."""

    guards: Mapping[str, Guard]
    router: Router
    upstreams: Mapping[str, Upstream]

    @property
    def guarded_paths(self) -> frozenset[str]:
        """The canonical paths that plugins guard."""
        return frozenset(self.guards)


class Gateway:
    """Answers every request of the data plane."""

    def __init__(self) -> None:
        self._snapshot = Snapshot(MappingProxyType({}), Router(()), MappingProxyType({}))
        self._guarded_paths: frozenset[str] = frozenset()

    def swap(self, snapshot: Snapshot) -> None:
        """Use another snapshot for requests from now on."""
        self._snapshot = snapshot
        self._guarded_paths = snapshot.guarded_paths

    async def handle(self, flow: Flow) -> Reply:
        """Answer a request, or raise GatewayError."""
        snapshot = self._snapshot
        if not flow.path.startswith(GUARDABLE_PREFIX):
            raise GatewayError(ErrorCode.NOT_FOUND, f"Nothing is served here: paths start with {GUARDABLE_PREFIX}.")
        guard = snapshot.guards.get(flow.path)
        if guard is None:
            if is_disguise(flow.target.raw_path, self._guarded_paths):
                raise GatewayError(ErrorCode.INVALID_REQUEST, "Spell this path plainly, without escapes.")
            return await forward(snapshot, flow)
        flow.facts["route"] = guard.path
        if flow_wants_upgrade(flow):
            # What follows may be another protocol already: it is never read as a next request.
            raise GatewayError(
                ErrorCode.INVALID_REQUEST, "This endpoint does not switch protocols.", close_connection=True
            )
        chain = guard.chains.get(flow.method)
        if chain is not None:
            return await chain(flow)
        if flow.method == "OPTIONS" and flow.target.raw_path == guard.path:
            return await forward(snapshot, flow)
        raise GatewayError(
            ErrorCode.METHOD_NOT_ALLOWED, f"This endpoint serves {guard.allow}.", headers={"Allow": guard.allow}
        )


async def forward(snapshot: Snapshot, flow: Flow) -> Reply:
    """Send a request to its route's upstream. Raises GatewayError NOT_FOUND where no route matches."""
    route = snapshot.router.match(flow.method, flow.path, flow.model)
    if route is None:
        raise GatewayError(ErrorCode.NOT_FOUND, "Nothing is served at this path.")
    flow.facts.setdefault("route", route.pattern)
    flow.facts["upstream"] = route.upstream
    return await snapshot.upstreams[route.upstream].send(flow)
