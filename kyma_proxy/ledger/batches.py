"""Group commit: work on one key at a time; what is asked for meanwhile goes together next."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from kyma_proxy.tasks import Tasks

T = TypeVar("T")


class Batches(Generic[T]):
    """Gathers items by key. `run(key, items)` handles a batch with all of its failures: it must not raise.

    Batches of one key follow each other, those of different keys do not wait for each other. They run as obligations,
    so a client that leaves stops none, and a drain waits for them.
    """

    def __init__(
        self, tasks: Tasks, name: str, run: Callable[[str, Sequence[T]], Awaitable[None]], *, items_max: int = 256
    ) -> None:
        self._tasks = tasks
        self._name = name
        self._run = run
        self._items_max = items_max
        self._waiting: defaultdict[str, list[T]] = defaultdict(list)
        self._runs: dict[str, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"Batches({self._name}, {len(self._runs)} running)"

    def add(self, key: str, item: T) -> None:
        """Have an item handled: at once, or with the next batch of its key."""
        self._waiting[key].append(item)
        if key not in self._runs:
            self._runs[key] = self._tasks.oblige(self._run_all(key), name=f"{self._name} {key}")

    async def settled(self, key: str) -> bool:
        """Wait until everything of a key that was added so far is handled; False if there was nothing to wait for."""
        running = self._runs.get(key)
        if running is None:
            return False
        await asyncio.wait([running])
        return True

    async def _run_all(self, key: str) -> None:
        try:
            while items := self._waiting.pop(key, None):
                for at in range(0, len(items), self._items_max):
                    await self._run(key, items[at : at + self._items_max])
        finally:
            del self._runs[key]
