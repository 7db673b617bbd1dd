"""The workers: started one after the other, replaced when they die, ended together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from kyma_proxy.backoff import Backoff
from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.settings import environment
from kyma_proxy.supervisor.channel import Channel, ChannelClosedError
from kyma_proxy.supervisor.numbers import VARIABLE
from kyma_proxy.supervisor.order import Order
from kyma_proxy.supervisor.slices import Slices
from kyma_proxy.tasks import Tasks
from kyma_proxy.windows import used_up_seconds

START_SECONDS_MAX: Final = 120.0
"""How long a worker may take to serve: its embedded database may have to recover first."""
ASK_SECONDS_MAX: Final = 4.0
STEADY_SECONDS: Final = 5.0
"""A worker that lived this long is replaced at once; one that did not, after a pause that grows."""

_log = structlog.get_logger("kyma_proxy.supervisor")


class WorkerNotStartedError(Exception):
    """A worker ended before it served; `code` is its exit code. It has said why on standard error."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a worker did not start (exit code {code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that serves."""

    number: int
    process: Process
    channel: Channel


class Team:
    """So many workers on the same sockets.

    `changing` is held while a worker starts, and by whoever needs all of them to stay as they are: a reload.
    """

    def __init__(self, order: Order, numbers: Path, tasks: Tasks, registry: CollectorRegistry) -> None:
        self.changing = asyncio.Lock()
        self._order = order
        self._numbers = numbers
        self._tasks = tasks
        self._serving: dict[int, Worker] = {}
        self._processes: dict[int, Process] = {}
        self._stopping = False
        self._slices = Slices(self._ask_back, used_up_seconds)
        self._on_gone: Callable[[int], None] = lambda pid: None
        self._workers = Gauge("kyma_workers", "Workers that serve.", registry=registry)
        self._restarts = Counter(
            "kyma_worker_restarts_total", "Workers that died and were replaced.", registry=registry
        )

    def __repr__(self) -> str:
        return f"Team({len(self._serving)} serving)"

    @property
    def serving(self) -> list[Worker]:
        """The workers that serve now, by their numbers."""
        return [self._serving[number] for number in sorted(self._serving)]

    def when_gone(self, callback: Callable[[int], None]) -> None:
        """Have `callback` told the process id of each worker that has ended."""
        self._on_gone = callback

    async def start(self, count: int) -> None:
        """Start them, one after the other: the first may have to migrate. Raises WorkerNotStartedError."""
        for number in range(count):
            worker = await self._start(number, self._order)
            self._tasks.spawn(self._keep(number, worker), name=f"keep worker {number}")

    async def stop(self, seconds: float) -> bool:
        """Have all of them drain and wait; after `seconds` they are killed. Whether each that served ended well."""
        self._stopping = True
        processes = list(self._processes.values())
        served = {worker.process.pid for worker in self._serving.values()}
        for process in processes:
            _signal(process.terminate)
        try:
            async with asyncio.timeout(seconds):
                codes = await asyncio.gather(*(process.wait() for process in processes))
        except TimeoutError:
            for process in processes:
                _signal(process.kill)
            await asyncio.gather(*(process.wait() for process in processes))
            return False
        return all(code == 0 for process, code in zip(processes, codes, strict=True) if process.pid in served)

    async def _start(self, number: int, order: Order) -> Worker:
        async with self.changing:
            if self._stopping:
                raise WorkerNotStartedError(0)
            ours, theirs = socket.socketpair()
            with theirs:
                order = replace(order, channel=theirs.fileno())
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "kyma_proxy.supervisor.worker", *order.arguments()),
                    pass_fds=(*order.listening, order.channel),
                    env=_environment(self._numbers),
                )
            self._processes[number] = process
            serves = asyncio.Event()

            async def serving(_about: Any) -> None:
                serves.set()

            async def lease(about: Any) -> int:
                return await self._slices.lease(number, about["key"], about["limit"], about["wanted"])

            async def returned(about: Any) -> None:
                self._slices.returned(number, about["key"], about["places"])

            answers = {"serving": serving, "lease": lease, "returned": returned}
            channel = await Channel.open(ours, answers, self._tasks)
            if not await self._serves(process, serves):
                code = await self._ended(number, process)
                raise WorkerNotStartedError(code or 1)
            worker = Worker(number, process, channel)
            self._serving[number] = worker
            self._workers.set(len(self._serving))
            _log.info("worker_serving", worker=number, pid=process.pid)
            return worker

    async def _serves(self, process: Process, serves: asyncio.Event) -> bool:
        """Wait until it serves; False where it ended first, or takes too long."""
        waiting = self._tasks.spawn(serves.wait(), name="wait for a worker")
        ending = self._tasks.spawn(process.wait(), name="wait for a worker's end")
        await asyncio.wait((waiting, ending), timeout=START_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        ending.cancel()
        if not serves.is_set():
            _signal(process.kill)
        return serves.is_set()

    async def _keep(self, number: int, worker: Worker | None) -> None:
        """Replace a worker whenever it dies, until the team stops."""
        backoff, order = Backoff(0.2, 30.0), replace(self._order, migrate=False)
        while True:
            since = monotonic_seconds()
            if worker is not None:
                code = await self._ended(number, worker.process)
                if self._stopping:
                    return
                _log.error("worker_died", worker=number, pid=worker.process.pid, code=code)
                self._restarts.inc()
            if worker is not None and monotonic_seconds() - since >= STEADY_SECONDS:
                backoff = Backoff(0.2, 30.0)
            else:
                await backoff.pause()
            worker = await self._try_to_start(number, order)

    async def _try_to_start(self, number: int, order: Order) -> Worker | None:
        try:
            return await self._start(number, order)
        except WorkerNotStartedError as error:
            _log.error("worker_not_started", worker=number, code=error.code)
            return None

    async def _ask_back(self, number: int, key: str) -> int:
        """Ask a worker for its idle places of a key."""
        worker = self._serving.get(number)
        if worker is None:
            return 0
        try:
            return int(await worker.channel.ask("take_back", ASK_SECONDS_MAX, key))
        except ChannelClosedError:
            return 0  # what it had is free once it is known to be gone

    async def _ended(self, number: int, process: Process) -> int:
        code = await process.wait()
        self._serving.pop(number, None)
        self._slices.gone(number)
        self._workers.set(len(self._serving))
        self._on_gone(process.pid)
        return code


def _environment(numbers: Path) -> dict[str, str]:
    return {**environment(), VARIABLE: os.fspath(numbers)}


def _signal(send: Callable[[], None]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended already
        send()
