"""The composition root: settings → database → services → plugins → snapshot → listeners. No logic, only order."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import structlog

from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.database.access import open_database
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.outage import Outage
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.database.standby import log_standby_warnings
from kyma_proxy.failpoints import NO_FAILPOINTS, Failpoints
from kyma_proxy.generation import Generation, Lasting
from kyma_proxy.ledger.charges import Charges
from kyma_proxy.ledger.holders import Holder, expire_left_over
from kyma_proxy.ledger.holds import open_holds
from kyma_proxy.ledger.light_audit import light_audit
from kyma_proxy.loops import settle_garbage_collector
from kyma_proxy.observe.books import BooksMetrics
from kyma_proxy.observe.metrics import Metrics
from kyma_proxy.observe.plugin_metrics import PluginMetrics
from kyma_proxy.observe.reloads import ReloadMetrics
from kyma_proxy.observe.remembered import Remembered
from kyma_proxy.observe.requests import RequestObserver
from kyma_proxy.observe.storage import StorageMetrics
from kyma_proxy.observe.tracing import Tracing
from kyma_proxy.observe.upstreams import UpstreamMetrics
from kyma_proxy.pipeline.gateway import Gateway
from kyma_proxy.plugin import Plugin
from kyma_proxy.reloading import ReloadOutcome, Reloads
from kyma_proxy.server.admin import AdminListener
from kyma_proxy.server.cors import Cors
from kyma_proxy.server.listener import DataListener
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.server.parser import require_c_parser
from kyma_proxy.server.tls import RELOAD_SECONDS, Certificate
from kyma_proxy.settings import ServerSettings, Settings
from kyma_proxy.shares import Lessor
from kyma_proxy.tasks import Tasks
from kyma_proxy.upkeep import Upkeep
from kyma_proxy.voices import claims
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.leases import LEASE_SECONDS, Leases
from kyma_proxy.voices.minting import MintParts, MintPatience
from kyma_proxy.voices.ownership import OwnershipBook
from kyma_proxy.voices.provider import ProviderAccounts
from kyma_proxy.voices.reconciler import Reconciler
from kyma_proxy.voices.running import RunningMints
from kyma_proxy.voices.uses import FLUSH_SECONDS, VoiceUses
from kyma_proxy.windows import PREFIX, CallWindows

_log = structlog.get_logger("kyma_proxy.app")
_UNDO_SECONDS = 5
_RECONCILE_SECONDS = 5.0
_MEASURE_SECONDS = 5.0
_AUDIT_SECONDS = 60.0
_PRUNE_SECONDS = 60.0
_SWEEP_SECONDS = 600.0
SWITCH_SECONDS: Final = 0.0003
"""How long a thread that computes (judging a recording) keeps the interpreter from the event loop. At Python's default
of 5 ms each turn of the loop would wait so long; the work itself takes no longer for being interrupted."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What tests set otherwise than production: faults at named steps, shorter waits."""

    handler_cancellation: bool = False
    failpoints: Failpoints = NO_FAILPOINTS
    lease_seconds: float = LEASE_SECONDS
    reconcile_seconds: float = _RECONCILE_SECONDS
    patience: MintPatience = field(default_factory=MintPatience)


PRODUCTION: Final = Rehearsal()


@dataclass(frozen=True, slots=True)
class Shared:
    """What a worker shares with others: sockets that are bound already, and the places that accounts have in all."""

    sockets: tuple[socket.socket, ...]
    lessor: Lessor


class Application:
    """One gateway process: everything it needs, started in order and released in the opposite one.

    With `shared` it is one of several workers, and the admin listener is somebody else's.

    A client that hangs up never cancels a handler: work that moves money must reach its end, and what only reads
    notices the leaver at its next read or write. `load` reads the configuration again for a reload. `rehearsal` is for
    tests, which show that nothing rests on that.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: Mapping[str, type[Plugin[Any]]],
        *,
        migrate: bool = False,
        load: Callable[[], Settings] | None = None,
        shared: Shared | None = None,
        rehearsal: Rehearsal = PRODUCTION,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.tasks = Tasks()
        self.gateway = Gateway()
        self._certificate = Certificate(settings.server.tls) if settings.server.tls is not None else None
        self._tracing = Tracing(settings.server.tracing) if settings.server.tracing is not None else None
        options = _listener_options(settings.server, rehearsal, self._certificate, self._tracing)
        self._remembered = Remembered(settings.server.remember_requests)
        self.data = DataListener(self.gateway.handle, options, RequestObserver(self.metrics, self._remembered))
        self._shared = shared
        self._windows = CallWindows(None if shared is None else shared.lessor, self.tasks)
        self.admin = AdminListener(self.readiness, self.metrics.registry, self.reload, self.recall)
        self._providers: dict[str, ProviderAccounts] = {}
        self.voice_providers: Mapping[str, ProviderAccounts] = MappingProxyType(self._providers)
        """The upstreams that make voices, as the configuration in use has them."""
        self._load = load or (lambda: settings)
        self._reloads: Reloads | None = None
        self._books = BooksMetrics(self.metrics.registry)
        self._storage = StorageMetrics(self.metrics.registry)
        self._measure: Callable[[], None] = lambda: None
        self._plugins = plugins
        self._migrate = migrate
        self._rehearsal = rehearsal
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
        require_c_parser(self.settings)
        sys.setswitchinterval(SWITCH_SECONDS)
        async with AsyncExitStack() as stack:
            server = self.settings.server
            if self._shared is None:
                stack.push_async_callback(self.admin.stop)
                await self.admin.start(server.admin_listen.host, server.admin_listen.port)
            if self._tracing is not None:
                stack.push_async_callback(self._tracing.stop)
            stack.push_async_callback(self.tasks.close)
            database, target = await stack.enter_async_context(
                open_database(self.settings.database, migrate=self._migrate)
            )
            await log_standby_warnings(database, target)
            holder = Holder(database, self._rehearsal.lease_seconds)
            stack.push_async_callback(holder.leave)
            # Mints that are cut off when their upstream stops give their money back before the pool closes.
            stack.push_async_callback(self.tasks.drain, _UNDO_SECONDS)
            await self._start_plugins(stack, database, target, holder)
            stack.push_async_callback(self.data.stop)
            if self._shared is not None:
                self.data.start_on(self._shared.sockets, self.tasks)
            else:
                await self.data.start(server.listen.host, server.listen.port)
            self._database = database
            self._stack = stack.pop_all()
        self._state = "ready"
        if self._shared is None:
            _log.info("serving", port=self.data.port, admin_port=self.admin.port)

    @property
    def reloads(self) -> Reloads | None:
        """Where configurations are taken over; None while the process starts or drains."""
        return self._reloads if self._state == "ready" else None

    def take_back(self, key: str) -> int:
        """Another process needs places of this key; how many idle ones this one gives up."""
        if key.startswith(PREFIX):
            return self._windows.take_back(key)
        return 0 if self._reloads is None else self._reloads.take_back(key)

    async def reload(self) -> ReloadOutcome | None:
        """Take over the configuration as it is now; None while the process starts or drains."""
        return None if self.reloads is None else await self.reloads.reload()

    async def recall(self, request_id: str) -> Mapping[str, Any] | None:
        """What is remembered of a request; None once it is forgotten."""
        return self._remembered.recall(request_id)

    def begin_reload(self) -> None:
        """The same behind the caller, for a signal: the log tells how it ends."""
        _log.info("reload_asked_for")
        self.tasks.spawn(self.reload(), name="reload")

    async def stop(self) -> None:
        """Drain, then release everything.

        First the balancer gets `drain_pause_seconds` to see that this process is not ready, while it serves on. Then
        requests in flight get `drain_seconds`. Work that moves money is waited for beyond that, up to `settle_seconds`.
        """
        self._state = "draining"
        await asyncio.sleep(self.settings.server.drain_pause_seconds)
        seconds = self.settings.server.drain_seconds
        _log.info("draining", drain_seconds=seconds, obligations=self.tasks.obligations)
        drained = await self.data.drain(seconds)
        settled = await self.tasks.drain(self.settings.server.settle_seconds)
        _log.info("drained", requests_finished=drained, money_settled=settled)
        await self._stack.aclose()

    async def _start_plugins(
        self, stack: AsyncExitStack, database: Database, target: DatabaseTarget, holder: Holder
    ) -> None:
        feed = ChangeFeed(target, self.tasks)
        outage = Outage(feed, self.tasks, believe_seconds=self.settings.database.outage_seconds)
        keys = KeyDirectory(database, feed, outage=outage)
        ownership = OwnershipBook(database, feed, outage=outage)
        running = RunningMints(database, feed)
        self.tasks.spawn(ownership.keep_warm(), name="keep ownership warm")
        stack.push_async_callback(feed.stop)
        await feed.start()
        leases = Leases(database, self._rehearsal.lease_seconds)
        cleanups = ProviderCleanups(database, self.voice_providers, self._books.reconciled)
        failpoints = self._rehearsal.failpoints
        parts = MintParts(database, self.tasks, leases, cleanups, running, failpoints, self._books.minted)
        charges = Charges(database, self.tasks, holder, self._books.charged, failpoints=failpoints)
        metrics = PluginMetrics(self.metrics.registry)
        numbers = UpstreamMetrics(self.metrics.registry)
        lessor = None if self._shared is None else self._shared.lessor
        uses = VoiceUses(database)
        stack.push_async_callback(_write_down, uses)
        lasting = Lasting(
            keys=keys,
            ownership=ownership,
            charges=charges,
            mints=parts,
            patience=self._rehearsal.patience,
            metrics=metrics,
            upstreams=numbers,
            uses=uses,
            on_kept_alive=self._books.kept_alive,
            windows=self._windows,
            lessor=lessor,
        )
        Upkeep(self.tasks).every(FLUSH_SECONDS, "write the uses of voices down", uses.flush)

        def make(settings: Settings) -> Generation:
            return Generation(settings, self._plugins, lasting)

        reloads = Reloads(self._load, make, self._use, ReloadMetrics(self.metrics.registry), self.tasks)
        stack.push_async_callback(reloads.stop)
        await reloads.begin(self.settings)
        self._reloads = reloads
        self._measure = partial(self._storage.measured, database, keys=keys, ownership=ownership)
        self._start_upkeep(database, leases, cleanups, holder)

    def _use(self, generation: Generation) -> None:
        self.gateway.swap(generation.snapshot)
        self._providers.clear()
        self._providers.update(generation.providers)

    def _start_upkeep(self, database: Database, leases: Leases, cleanups: ProviderCleanups, holder: Holder) -> None:
        """What every process does in the background, whichever others run beside it."""
        reconciler = Reconciler(database, self.voice_providers, cleanups, partial(self._books.reconciled, "voided"))

        async def measure() -> None:
            held = await database.transact(open_holds)
            self._books.measured(held.count, held.oldest_seconds)

        async def look_at_storage() -> None:
            self._measure()

        async def look_over_the_books() -> None:
            found = await database.borrow(light_audit)
            self._books.audited(found.problems)
            for problem in found.first_problems:
                _log.error("ledger_problem", problem=problem)

        upkeep = Upkeep(self.tasks)
        if self._certificate is not None:
            upkeep.every(RELOAD_SECONDS, "reload the certificate", self._certificate.reload_if_changed)
        upkeep.every(leases.renewal_seconds, "renew leases", leases.renew)
        upkeep.every(holder.renewal_seconds, "renew the lease of holds", holder.renew)
        upkeep.every(self._rehearsal.reconcile_seconds, "reconcile", reconciler.run)
        expire = partial(expire_left_over, database, partial(self._books.reconciled, "expired"))
        upkeep.every(self._rehearsal.reconcile_seconds, "expire holds", expire)
        upkeep.every(_MEASURE_SECONDS, "measure open holds", measure)
        upkeep.every(_MEASURE_SECONDS, "measure caches and connections", look_at_storage)
        upkeep.every(_AUDIT_SECONDS, "audit the books lightly", look_over_the_books)
        upkeep.every(_PRUNE_SECONDS, "prune idempotency keys", partial(database.transact, claims.prune))
        upkeep.every(_SWEEP_SECONDS, "sweep uploads", cleanups.sweep_uploads, at_once=False)

    async def readiness(self) -> tuple[bool, str]:
        """Whether requests can be served, and why not."""
        if self._state != "ready":
            return False, self._state
        if self._database is None or not await self._database.reachable():
            return self.settings.server.ready_without_database, "database unreachable"
        return True, "ready"


async def _write_down(uses: VoiceUses) -> None:
    """Write the last uses before the pool closes, if the database is there."""
    with suppress(DatabaseUnavailableError):
        await uses.flush()


def _listener_options(
    server: ServerSettings, rehearsal: Rehearsal, certificate: Certificate | None, tracing: Tracing | None
) -> ListenerOptions:
    return ListenerOptions(
        tls=None if certificate is None else certificate.context,
        handler_cancellation=rehearsal.handler_cancellation,
        failpoints=rehearsal.failpoints,
        head_timeout_seconds=server.head_timeout_seconds,
        keepalive_seconds=server.keepalive_timeout_seconds,
        body_idle_timeout_seconds=server.body_idle_timeout_seconds,
        body_bytes_per_second_min=server.body_bytes_per_second_min,
        max_line_bytes=server.max_header_bytes,
        max_header_bytes=server.max_header_bytes,
        max_headers=server.max_headers,
        max_url_bytes=server.max_url_bytes,
        max_connections=server.max_connections,
        max_requests=server.max_requests_in_flight,
        trusted_proxies=server.trusted_proxies,
        cors=None if server.cors is None else Cors(server.cors),
        tracing=tracing,
    )


async def run_until(application: Application, stopped: asyncio.Event) -> None:
    """Start the application, serve until `stopped` is set, then drain."""
    await application.start()
    settle_garbage_collector()
    try:
        await stopped.wait()
    finally:
        await application.stop()
