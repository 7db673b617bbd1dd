"""The composition root: settings → database → services → plugins → snapshot → listeners. No logic, only order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any

import structlog

from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.database.access import open_database
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.observe.requests import RequestObserver
from kyma_proxy.pipeline.gateway import Gateway
from kyma_proxy.pipeline.runner import PluginRunner
from kyma_proxy.plugin import Plugin
from kyma_proxy.server.admin import AdminListener
from kyma_proxy.server.listener import DataListener
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.services import Services
from kyma_proxy.settings import ServerSettings, Settings
from kyma_proxy.tasks import Tasks
from kyma_proxy.upstreams.base import Upstream
from kyma_proxy.upstreams.registry import build_upstream
from kyma_proxy.voices.minting import Minting
from kyma_proxy.voices.ownership import OwnershipBook
from kyma_proxy.voices.provider import VoiceProvider

_log = structlog.get_logger("kyma_proxy.app")
_UNDO_SECONDS = 5


class Application:
    """One gateway process: everything it needs, started in order and released in the opposite one.

    A client that hangs up never cancels a handler: work that moves money must reach its end, and what only reads
    notices the leaver at its next read or write. `handler_cancellation` is for tests, which show that nothing rests on
    that.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: Mapping[str, type[Plugin[Any]]],
        *,
        migrate: bool = False,
        handler_cancellation: bool = False,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.tasks = Tasks()
        self.gateway = Gateway()
        options = _listener_options(settings.server, handler_cancellation)
        self.data = DataListener(self.gateway.handle, options, RequestObserver(self.metrics))
        self.admin = AdminListener(self._readiness, self.metrics.registry)
        self.voice_providers: Mapping[str, VoiceProvider] = MappingProxyType({})
        self._plugins = plugins
        self._migrate = migrate
        self._database: Database | None = None
        self._stack = AsyncExitStack()
        self._state = "starting"

    @property
    def database(self) -> Database:
        """The pool of a started application."""
        if self._database is None:
            raise RuntimeError("the application has not been started")
        return self._database

    async def start(self) -> None:
        """Start everything; what was started before a failure is released before the failure passes on.

        Raises EmbeddedError, DatabaseUnavailableError, SchemaMismatchError, MigrationError, ConfigError, OSError.
        """
        async with AsyncExitStack() as stack:
            server = self.settings.server
            stack.push_async_callback(self.admin.stop)
            await self.admin.start(server.admin_listen.host, server.admin_listen.port)
            stack.push_async_callback(self.tasks.close)
            database, target = await stack.enter_async_context(
                open_database(self.settings.database, migrate=self._migrate)
            )
            # Mints that are cut off when their upstream stops give their money back before the pool closes.
            stack.push_async_callback(self.tasks.drain, _UNDO_SECONDS)
            await self._start_plugins(stack, database, target)
            stack.push_async_callback(self.data.stop)
            await self.data.start(server.listen.host, server.listen.port)
            self._database = database
            self._stack = stack.pop_all()
        self._state = "ready"
        _log.info("serving", port=self.data.port, admin_port=self.admin.port)

    async def stop(self) -> None:
        """Drain, then release everything.

        Requests in flight get `drain_seconds`. Work that moves money is waited for beyond that, up to `settle_seconds`.
        """
        self._state = "draining"
        seconds = self.settings.server.drain_seconds
        _log.info("draining", drain_seconds=seconds, obligations=self.tasks.obligations)
        drained = await self.data.drain(seconds)
        settled = await self.tasks.drain(self.settings.server.settle_seconds)
        _log.info("drained", requests_finished=drained, money_settled=settled)
        await self._stack.aclose()

    async def _start_plugins(self, stack: AsyncExitStack, database: Database, target: DatabaseTarget) -> None:
        feed = ChangeFeed(target, self.tasks)
        keys = KeyDirectory(database, feed)
        ownership = OwnershipBook(database, feed)
        self.tasks.spawn(ownership.keep_warm(), name="keep ownership warm")
        stack.push_async_callback(feed.stop)
        await feed.start()
        upstreams: dict[str, Upstream] = {}
        for name, settings in self.settings.upstreams.items():
            upstreams[name] = build_upstream(name, settings, self.tasks)
            stack.push_async_callback(upstreams[name].stop)
            await upstreams[name].start()
        self.voice_providers = MappingProxyType(
            {name: each for name, each in upstreams.items() if isinstance(each, VoiceProvider)}
        )
        minting = Minting(database, self.tasks)
        services = Services(keys, minting, ownership, self.voice_providers, self.tasks)
        runner = PluginRunner()
        stack.push_async_callback(runner.stop)
        self.gateway.swap(await runner.start(self.settings, self._plugins, services, upstreams))

    async def _readiness(self) -> tuple[bool, str]:
        if self._state != "ready":
            return False, self._state
        if self._database is None or not await self._database.reachable():
            return self.settings.server.ready_without_database, "database unreachable"
        return True, "ready"


def _listener_options(server: ServerSettings, handler_cancellation: bool) -> ListenerOptions:
    return ListenerOptions(
        handler_cancellation=handler_cancellation,
        head_timeout_seconds=server.head_timeout_seconds,
        keepalive_seconds=server.keepalive_timeout_seconds,
        body_idle_timeout_seconds=server.body_idle_timeout_seconds,
        body_bytes_per_second_min=server.body_bytes_per_second_min,
        max_line_bytes=server.max_header_bytes,
        max_header_bytes=server.max_header_bytes,
        trusted_proxies=server.trusted_proxies,
    )


async def run_until(application: Application, stopped: asyncio.Event) -> None:
    """Start the application, serve until `stopped` is set, then drain."""
    await application.start()
    try:
        await stopped.wait()
    finally:
        await application.stop()
