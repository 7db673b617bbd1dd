"""One configuration brought to life: its upstreams and its plugins, until nothing lives on it any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import structlog

from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.failpoints import Failpoints
from kyma_proxy.ledger.charges import Charges
from kyma_proxy.observe.plugin_metrics import PluginMetrics
from kyma_proxy.pipeline.admission import Admission
from kyma_proxy.pipeline.gateway import Snapshot
from kyma_proxy.pipeline.runner import PluginRunner
from kyma_proxy.plugin import Plugin
from kyma_proxy.services import Services
from kyma_proxy.settings import Settings
from kyma_proxy.settings.problems import Problem
from kyma_proxy.shares import Lessor
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.doors import UpstreamNumbers
from kyma_proxy.upstreams.registry import build_upstream
from kyma_proxy.voices.keepalive import KeepAlive, KeepAliveOutcome
from kyma_proxy.voices.library import VoiceLibrary
from kyma_proxy.voices.minting import Minting, MintParts, MintPatience
from kyma_proxy.voices.ownership import OwnershipBook
from kyma_proxy.voices.provider import MakesVoices, ProviderAccounts, Spoken
from kyma_proxy.voices.uses import VoiceUses
from kyma_proxy.windows import CallWindows

_log = structlog.get_logger("kyma_proxy.reload")


@dataclass(frozen=True, slots=True)
class Lasting:
    """What outlives every configuration: the books, the caches in front of them, the numbers."""

    keys: KeyDirectory
    ownership: OwnershipBook
    charges: Charges
    mints: MintParts
    patience: MintPatience
    metrics: PluginMetrics
    upstreams: UpstreamNumbers
    uses: VoiceUses
    on_kept_alive: Callable[[KeepAliveOutcome, Spoken | None], None]
    windows: CallWindows
    lessor: Lessor | None = None
    """Where several processes share the limits of accounts."""

    @property
    def failpoints(self) -> Failpoints:
        """Steps at which tests make something go wrong."""
        return self.mints.failpoints


class Generation:
    """A configuration that can serve. `start`, then `stop` once; after a `start` that failed everything is released.

    Work that must reach its end is kept apart for each generation, because it may still need this one's upstreams.
    """

    def __init__(self, settings: Settings, plugins: Mapping[str, type[Plugin[Any]]], lasting: Lasting) -> None:
        self.settings = settings
        self._plugins = plugins
        self._lasting = lasting
        self._tasks = lasting.mints.tasks.part()
        self.admission = Admission(settings, lasting.lessor, lasting.mints.tasks)
        self._runner = PluginRunner()
        self._stack = AsyncExitStack()
        self._snapshot: Snapshot | None = None
        self.providers: Mapping[str, ProviderAccounts] = MappingProxyType({})
        """The upstreams that make voices, by name."""

    def __repr__(self) -> str:
        return f"Generation({'not started' if self._snapshot is None else self._snapshot.users})"

    @property
    def snapshot(self) -> Snapshot:
        """What requests are answered with, once started."""
        if self._snapshot is None:
            raise RuntimeError("the generation has not been started")
        return self._snapshot

    async def start(self) -> None:
        """Start upstreams and plugins. Raises ConfigError, and whatever a plugin raises; then nothing stays started."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._tasks.close)
            upstreams: dict[str, Upstream] = {}
            for name, settings in self.settings.upstreams.items():
                upstreams[name] = build_upstream(
                    name,
                    settings,
                    self._tasks,
                    numbers=self._lasting.upstreams,
                    windows=self._lasting.windows,
                    failpoints=self._lasting.failpoints,
                )
                stack.push_async_callback(upstreams[name].stop)
                await upstreams[name].start()
            self.providers = MappingProxyType(
                {name: each.voice_accounts for name, each in upstreams.items() if isinstance(each, MakesVoices)}
            )
            stack.push_async_callback(self._runner.stop)
            self._snapshot = await self._runner.start(self.settings, self._plugins, self._services(), upstreams)
            self._stack = stack.pop_all()

    def failure(self, error: Exception) -> Problem:
        """Where in the file the plugin stands that did not start, and why."""
        position = self._runner.starting
        if position is None:
            return self.settings.problem((), f"the configuration does not start: {error or type(error).__name__}")
        name = self.settings.plugins[position].use
        message = f"plugin {name!r} does not start: {str(error) or type(error).__name__}"
        return self.settings.problem(("plugins", position, "use"), " ".join(message.split()))

    async def retire(self) -> None:
        """Wait until no request lives on it and its work has reached its end, then stop."""
        await self.snapshot.users.gone()
        await self._tasks.drain()
        await self.stop()

    async def stop(self) -> None:
        """Stop plugins and upstreams, whatever still uses them. May be called again."""
        await self._stack.aclose()

    def _services(self) -> Services:
        lasting = self._lasting
        minting = Minting(replace(lasting.mints, tasks=self._tasks), lasting.patience)
        return Services(
            keys=lasting.keys,
            minting=minting,
            ownership=lasting.ownership,
            charges=lasting.charges,
            metrics=lasting.metrics,
            voice_providers=self.providers,
            admission=self.admission,
            tasks=self._tasks,
            library=VoiceLibrary(lasting.mints.database, lasting.mints.cleanups, lasting.uses, self._tasks),
            voice_uses=lasting.uses,
            keep_alive=KeepAlive(lasting.mints.database, self.providers, lasting.on_kept_alive),
        )
