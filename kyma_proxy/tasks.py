"""The one place that creates tasks: each has a name, is referenced until it ends, and is waited for at shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from kyma_proxy.errors import GatewayError, OutcomeUnknownError
from kyma_proxy.flow import ClientLeftError

T = TypeVar("T")
_log = structlog.get_logger("kyma_proxy.tasks")
_ANSWERS = (GatewayError, OutcomeUnknownError, ClientLeftError)
"""Answers to a client rather than faults."""


class Tasks:
    """Keeps the tasks of one process.

    Two kinds: `spawn` makes helpers that are cancelled at shutdown; `finish` runs work that must reach its end (money,
    a provider's clean-up) whoever stops waiting for it, and `drain` waits for those. A `part` of them, kept here too,
    can be ended on its own.
    """

    def __init__(self, whole: Tasks | None = None) -> None:
        self._whole = whole
        self._helpers: set[asyncio.Task[Any]] = set()
        self._obligations: set[asyncio.Task[Any]] = set()
        self._awaited: set[asyncio.Task[Any]] = set()
        """Obligations somebody waits for: their failures are that one's to tell."""

    def __repr__(self) -> str:
        return f"Tasks(helpers={len(self._helpers)}, obligations={len(self._obligations)})"

    def part(self) -> Tasks:
        """Tasks that are also kept here, but can be drained and closed on their own."""
        return Tasks(self)

    @property
    def obligations(self) -> int:
        """How many pieces of work that must finish are still running."""
        return len(self._obligations)

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start a helper; a failure of it is logged under its name."""
        task = self._start(work, name)
        self._keep(task, is_obligation=False)
        return task

    def oblige(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start work that must reach its end; nobody needs to wait for it, `drain` does."""
        task = self._start(work, name)
        self._keep(task, is_obligation=True)
        return task

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Run work to its end and return its result; cancelling the caller does not cancel the work."""
        task = self.oblige(work, name)
        self._awaited.add(task)
        try:
            return await asyncio.shield(task)
        finally:
            self._awaited.discard(task)

    async def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait for every obligation, those they start included; True if none is left when it returns."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._obligations:
                    await asyncio.wait(set(self._obligations))
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Cancel the helpers and wait for them."""
        while self._helpers:
            helpers = set(self._helpers)
            for task in helpers:
                task.cancel()
            await asyncio.wait(helpers)

    def _start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)

        def ended(done: asyncio.Task[T]) -> None:
            if done.cancelled() or (error := done.exception()) is None:
                return
            if done not in self._awaited and not isinstance(error, _ANSWERS):
                _log.error("task_failed", task=name, exc_info=error)

        task.add_done_callback(ended)
        return task

    def _keep(self, task: asyncio.Task[Any], *, is_obligation: bool) -> None:
        kept = self._obligations if is_obligation else self._helpers
        kept.add(task)
        task.add_done_callback(kept.discard)
        if self._whole is not None:
            self._whole._keep(task, is_obligation=is_obligation)
