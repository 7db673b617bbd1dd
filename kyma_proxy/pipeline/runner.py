"""Brings a configuration to life: plugins built, started and folded into a snapshot; all of it released in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any

import structlog

from kyma_proxy.flow import Flow, Reply
from kyma_proxy.pipeline.admission import Admission
from kyma_proxy.pipeline.chain import compile_chain
from kyma_proxy.pipeline.gateway import Snapshot, forward
from kyma_proxy.pipeline.guards import Guard, Guards
from kyma_proxy.pipeline.plan import Plan, plan
from kyma_proxy.pipeline.router import Router
from kyma_proxy.plugin import Plugin
from kyma_proxy.services import Services
from kyma_proxy.settings import ConfigError, Settings
from kyma_proxy.upstreams.base import Upstream

_log = structlog.get_logger("kyma_proxy.pipeline")


def check_plan(settings: Settings, registry: Mapping[str, type[Plugin[Any]]]) -> Plan:
    """The plan of the listed plugins. Raises ConfigError, with positions, for an order that breaks a need."""
    laid_out = plan([registry[entry.use] for entry in settings.plugins])
    if laid_out.unmet:
        raise ConfigError(
            tuple(settings.problem(("plugins", unmet.position, "use"), unmet.message) for unmet in laid_out.unmet)
        )
    return laid_out


class PluginRunner:
    """Builds and starts the plugins of one configuration, and stops them in reverse order."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.starting: int | None = None
        """The position of the plugin that is being made or started; where it fails, of the one that did."""

    async def start(
        self,
        settings: Settings,
        registry: Mapping[str, type[Plugin[Any]]],
        services: Services,
        upstreams: Mapping[str, Upstream],
    ) -> Snapshot:
        """Start every listed plugin and compile the snapshot.

        Each `stop` is registered before its `start` runs, so a start that fails half-way is released too; then
        everything started before is stopped and the error passes on.
        """
        laid_out = check_plan(settings, registry)
        plugins = []
        for self.starting, entry in enumerate(settings.plugins):
            plugins.append(registry[entry.use](entry.config, services))
        async with AsyncExitStack() as stack:
            for self.starting, plugin in enumerate(plugins):
                stack.push_async_callback(_stop, plugin)
                await plugin.start()
            self._stack = stack.pop_all()
        self.starting = None
        return _compile(laid_out, plugins, Router(settings.routes), upstreams, services.admission)

    async def stop(self) -> None:
        """Stop the plugins, last started first; one that fails to stop does not keep the others from it."""
        await self._stack.aclose()


def _compile(
    laid_out: Plan,
    plugins: Sequence[Plugin[Any]],
    router: Router,
    upstreams: Mapping[str, Upstream],
    admission: Admission,
) -> Snapshot:
    guards: dict[str, Guard] = {}

    def terminal(flow: Flow) -> Awaitable[Reply]:
        return forward(snapshot, flow)

    for path, endpoint in laid_out.endpoints.items():
        chains = {
            method: compile_chain([plugins[position] for position in positions], terminal)
            for method, positions in endpoint.members.items()
        }
        guards[path] = Guard(path, MappingProxyType(chains), endpoint.allow, endpoint.shared)
    snapshot = Snapshot(Guards(guards), router, MappingProxyType(dict(upstreams)), admission)
    return snapshot


async def _stop(plugin: Plugin[Any]) -> None:
    try:
        await plugin.stop()
    except Exception:  # noqa: BLE001  # the others must be stopped all the same
        _log.exception("plugin_failed_to_stop", plugin=plugin.name)
