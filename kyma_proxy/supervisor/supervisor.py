"""The supervisor: opens the sockets, owns the admin listener, leads one reload and one drain for all workers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry

from kyma_proxy.observe.reloads import ReloadMetrics
from kyma_proxy.reloading import ReloadOutcome
from kyma_proxy.server.admin import AdminListener
from kyma_proxy.server.options import ListenerOptions
from kyma_proxy.settings import ServerSettings, Settings
from kyma_proxy.settings.problems import Problem
from kyma_proxy.supervisor.channel import ChannelClosedError
from kyma_proxy.supervisor.numbers import WorkerNumbers, shown
from kyma_proxy.supervisor.order import Order
from kyma_proxy.supervisor.team import Team, Worker
from kyma_proxy.tasks import Tasks

PREPARE_SECONDS_MAX: Final = 90.0
ASK_SECONDS_MAX: Final = 4.0
STOP_SECONDS_MORE: Final = 15.0
"""What workers get beyond their own limits of time before they are killed."""

_log = structlog.get_logger("kyma_proxy.supervisor")


@dataclass(frozen=True, slots=True)
class _Copies:
    """The configuration as it is in use, and as it may come to be; private, since a file may hold secrets."""

    folder: Path

    @property
    def accepted(self) -> Path:
        return self.folder / "accepted.yaml"

    @property
    def candidate(self) -> Path:
        return self.folder / "candidate.yaml"

    @property
    def numbers(self) -> Path:
        return self.folder / "numbers"


class Supervisor:
    """Leads the workers of one configuration file, from `start` to `stop`."""

    def __init__(self, settings: Settings, config_path: Path, *, migrate: bool = False) -> None:
        self._settings = settings
        self._config_path = config_path
        self._migrate = migrate
        self._tasks = Tasks()
        self._registry = CollectorRegistry()
        self._reloads = ReloadMetrics(self._registry, lives=False)
        self._copies = _Copies(Path(tempfile.gettempdir()))
        self._team: Team | None = None
        self._admin: AdminListener | None = None
        self._sockets: tuple[socket.socket, ...] = ()
        self._state = "starting"

    @property
    def port(self) -> int:
        """The port of the data plane."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def admin_port(self) -> int:
        """The port of the admin listener."""
        assert self._admin is not None, "the supervisor has not been started"
        return self._admin.port

    async def run(self, stopped: asyncio.Event) -> bool:
        """Serve until `stopped` is set, then drain; whether every worker ended well.

        Raises WorkerNotStartedError where the first workers do not come to serve, OSError for an address in use.
        """
        async with AsyncExitStack() as stack:
            self._copies = _Copies(Path(tempfile.mkdtemp(prefix="kyma-proxy-")))
            stack.callback(shutil.rmtree, self._copies.folder, ignore_errors=True)
            self._copies.numbers.mkdir()
            shutil.copyfile(self._config_path, self._copies.accepted)
            numbers = WorkerNumbers(self._copies.numbers, self._registry)
            server = self._settings.server
            self._admin = AdminListener(self.readiness, shown(self._registry, numbers), self.reload, self.recall)
            stack.push_async_callback(self._admin.stop)
            await self._admin.start(server.admin_listen.host, server.admin_listen.port)
            stack.push_async_callback(self._tasks.close)
            self._sockets = await bind(server)
            stack.callback(self._stop_listening)
            listening = tuple(each.fileno() for each in self._sockets)
            order = Order(self._config_path, self._copies.accepted, self._copies.candidate, listening, 0, self._migrate)
            self._team = Team(order, self._copies.numbers, self._tasks, self._registry)
            self._team.when_gone(numbers.forget)
            stack.push_async_callback(self._team.stop, STOP_SECONDS_MORE)
            await self._team.start(server.workers)
            self._state = "ready"
            _log.info("serving", port=self.port, admin_port=self.admin_port, workers=server.workers)
            await stopped.wait()
            return await self._drain(self._team)

    async def readiness(self) -> tuple[bool, str]:
        """Ready when at least one worker is; else why the first is not."""
        if self._state != "ready" or self._team is None:
            return False, self._state
        answers = await asyncio.gather(*(_readiness(worker) for worker in self._team.serving))
        if not answers:
            return False, "no worker serves"
        return max(answers, key=lambda answer: answer[0])

    async def recall(self, request_id: str) -> Mapping[str, Any] | None:
        """What any worker remembers of a request."""
        workers = [] if self._team is None else self._team.serving
        for found in await asyncio.gather(*(_recall(worker, request_id) for worker in workers)):
            if found is not None:
                return found
        return None

    def begin_reload(self) -> None:
        """Reload behind the caller, for a signal: the log tells how it ends."""
        _log.info("reload_asked_for")
        self._tasks.spawn(self.reload(), name="reload")

    async def reload(self) -> ReloadOutcome | None:
        """Have every worker take over the file as it is now, or none; None while starting or draining."""
        team = self._team
        if self._state != "ready" or team is None:
            return None
        async with team.changing:
            outcome = await self._reload(team.serving)
        self._reloads.ended(accepted=outcome.accepted)
        for problem in outcome.problems:
            _log.error("configuration_refused", position=_position(problem), message=problem.message)
        for change in outcome.later:
            _log.warning("restart_needed", position=_position(change), message=change.message)
        if outcome.accepted:
            _log.info("configuration_reloaded", workers=len(team.serving))
        return outcome

    async def _reload(self, workers: list[Worker]) -> ReloadOutcome:
        try:
            # All of them read the same bytes, whoever writes the file meanwhile.
            shutil.copyfile(self._config_path, self._copies.candidate)
        except OSError as error:
            return ReloadOutcome((Problem(str(self._config_path), 1, 1, f"cannot be read: {error.strerror}"),))
        outcomes = await asyncio.gather(*(self._prepare(worker) for worker in workers))
        refused = next((outcome for outcome in outcomes if not outcome.accepted), None)
        if refused is not None or not outcomes:
            await asyncio.gather(*(_tell(worker, "abandon") for worker in workers))
            return refused or ReloadOutcome((Problem(str(self._config_path), 1, 1, "no worker serves"),))
        # A worker that dies from here on is replaced by one of the new configuration.
        self._copies.candidate.replace(self._copies.accepted)
        await asyncio.gather(*(_tell(worker, "commit") for worker in workers))
        return outcomes[0]

    async def _prepare(self, worker: Worker) -> ReloadOutcome:
        try:
            return ReloadOutcome.from_json(await worker.channel.ask("prepare", PREPARE_SECONDS_MAX))
        except ChannelClosedError as error:
            message = f"worker {worker.number} could not prepare it: {error}"
            return ReloadOutcome((Problem(str(self._config_path), 1, 1, message),))

    async def _drain(self, team: Team) -> bool:
        self._state = "draining"
        server = self._settings.server
        # A socket that is open here would go on queueing connections that no worker accepts any more.
        self._stop_listening()
        seconds = server.drain_pause_seconds + server.drain_seconds + server.settle_seconds + STOP_SECONDS_MORE
        _log.info("draining", drain_seconds=server.drain_seconds)
        ended_well = await team.stop(seconds)
        _log.info("drained", workers_ended_well=ended_well)
        return ended_well

    def _stop_listening(self) -> None:
        sockets, self._sockets = self._sockets, ()
        for listening in sockets:
            listening.close()


async def bind(server: ServerSettings) -> tuple[socket.socket, ...]:
    """The sockets of `server.listen`, listening. Raises OSError when the address is not to be had."""
    loop = asyncio.get_running_loop()
    bound = await loop.create_server(asyncio.Protocol, server.listen.host, server.listen.port, start_serving=False)
    sockets = tuple(socket.socket(fileno=each.dup().detach()) for each in bound.sockets)
    bound.close()
    for each in sockets:
        each.listen(ListenerOptions().backlog)
    return sockets


async def _readiness(worker: Worker) -> tuple[bool, str]:
    try:
        ready, reason = await worker.channel.ask("readiness", ASK_SECONDS_MAX)
    except ChannelClosedError as error:
        return False, str(error)
    return bool(ready), str(reason)


async def _recall(worker: Worker, request_id: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] | None = await worker.channel.ask("recall", ASK_SECONDS_MAX, request_id)
    except ChannelClosedError:
        return None  # what it knew is gone with it
    return found


async def _tell(worker: Worker, what: str) -> None:
    try:
        await worker.channel.ask(what, ASK_SECONDS_MAX)
    except ChannelClosedError as error:
        # It has died, and its successor starts with the configuration that is accepted by then; or it hangs.
        _log.error("worker_not_told", worker=worker.number, what=what, error=str(error))


def _position(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}:{problem.column}"
