"""What a process does now and then, whatever it serves: each job at its own interval, none in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.tasks import Tasks

Job = Callable[[], Awaitable[object]]
_log = structlog.get_logger("kyma_proxy.upkeep")


class Upkeep:
    """Runs jobs for ever. One that fails is logged and has its next turn: a database that is away comes back."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def every(self, seconds: float, name: str, job: Job, *, at_once: bool = True) -> None:
        """Run `job` now (or `seconds` from now), and again `seconds` after it has ended, until the process stops."""
        self._tasks.spawn(self._repeat(seconds, name, job, at_once), name=f"upkeep: {name}")

    async def _repeat(self, seconds: float, name: str, job: Job, at_once: bool) -> None:
        if not at_once:
            await asyncio.sleep(seconds)
        while True:
            try:
                await job()
            except DatabaseUnavailableError:
                _log.warning("upkeep_put_off", job=name, again_seconds=seconds)
            except Exception:  # noqa: BLE001  # the job must have its next turn, whatever it was
                _log.exception("upkeep_failed", job=name, again_seconds=seconds)
            await asyncio.sleep(seconds)
