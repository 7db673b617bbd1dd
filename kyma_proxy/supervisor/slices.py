"""Places that several workers share, leased in slices: few requests ask for one, and no two workers have the same.

The supervisor keeps who has how many places of which key (an account at an upstream). A worker leases some when it
first needs them, uses them for request after request, and gives back what it has not used for a while, or the next free
one when another worker waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

AskBack = Callable[[int, str], Awaitable[int]]
"""Asks a worker, by its number, for its idle places of a key; how many it gave back. It owes the next free one."""

StillTaken = Callable[[str], float]
"""For how many seconds the places of a key stay taken when the worker that had them is gone."""

WAIT_SECONDS: Final = 10.0
"""How long a worker waits here before it asks again."""


@dataclass(slots=True)
class _Waiter:
    worker: int
    limit: int
    wanted: int
    granted: asyncio.Future[int]


@dataclass(slots=True)
class _Held:
    by_worker: dict[int, int] = field(default_factory=dict)
    waiting: deque[_Waiter] = field(default_factory=deque)

    @property
    def total(self) -> int:
        return sum(self.by_worker.values())


class Slices:
    """The supervisor's side."""

    def __init__(self, ask_back: AskBack, still_taken: StillTaken = lambda key: 0.0) -> None:
        self._ask_back = ask_back
        self._still_taken = still_taken
        self._estates = 0
        self._keys: dict[str, _Held] = {}

    def __repr__(self) -> str:
        return f"Slices({len(self._keys)} keys)"

    def held(self, key: str) -> int:
        """How many places of a key are leased."""
        found = self._keys.get(key)
        return 0 if found is None else found.total

    async def lease(self, worker: int, key: str, limit: int, wanted: int) -> int:
        """Lease up to `wanted` places of a key that has `limit` in all, in the order in which workers ask.

        Returns how many; none after `WAIT_SECONDS` without any.
        """
        held = self._keys.setdefault(key, _Held())
        waiter = _Waiter(worker, limit, wanted, asyncio.get_running_loop().create_future())
        held.waiting.append(waiter)
        self._serve(key, held)
        if not waiter.granted.done():
            for each in [each for each in held.by_worker if each != worker and each >= 0]:
                self.returned(each, key, await self._ask_back(each, key))
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await waiter.granted
        except TimeoutError:
            return 0
        finally:
            if waiter in held.waiting:
                held.waiting.remove(waiter)
                self._serve(key, held)

    def returned(self, worker: int, key: str, places: int) -> None:
        """A worker gave places back."""
        held = self._keys.get(key)
        if held is None:
            return
        left = held.by_worker.get(worker, 0) - places
        if left > 0:
            held.by_worker[worker] = left
        else:
            held.by_worker.pop(worker, None)
        self._serve(key, held)

    def gone(self, worker: int) -> None:
        """A worker has ended, and its requests with it; what they used up of a minute stays used up."""
        for key, held in list(self._keys.items()):
            places = held.by_worker.pop(worker, 0)
            seconds = self._still_taken(key)
            if places and seconds:
                self._estates -= 1  # below every worker's number
                held.by_worker[self._estates] = places
                asyncio.get_running_loop().call_later(seconds, self.returned, self._estates, key, places)
            for waiter in [each for each in held.waiting if each.worker == worker]:
                waiter.granted.cancel()
                held.waiting.remove(waiter)
            self._serve(key, held)

    def _serve(self, key: str, held: _Held) -> None:
        while held.waiting and held.total < held.waiting[0].limit:
            waiter = held.waiting.popleft()
            if not waiter.granted.done():
                places = min(waiter.wanted, waiter.limit - held.total)
                held.by_worker[waiter.worker] = held.by_worker.get(waiter.worker, 0) + places
                waiter.granted.set_result(places)
        if not held.by_worker and not held.waiting and self._keys.get(key) is held:
            del self._keys[key]
