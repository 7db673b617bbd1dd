"""Places of which each key has a few at once: whoever asks for more waits in its own line for a while, then is refused.

Several processes share the places of a key by leasing them in slices, so that few requests ask for one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from kyma_proxy.tasks import Tasks

IDLE_SECONDS: Final = 2.0
"""How long leased places are kept for an account's next request."""
ASK_AGAIN_SECONDS: Final = 0.05


class Lessor(Protocol):
    """Leases places that processes share; see `kyma_proxy.supervisor.slices`."""

    async def lease(self, key: str, limit: int, wanted: int) -> int:
        """Up to `wanted` places of a key that has `limit` in all; how many there were."""

    def give_back(self, key: str, places: int) -> None:
        """Places that are not needed any more."""


class NoPlaceError(Exception):
    """There is no place, and no use in waiting longer."""


class _Line:
    __slots__ = ("allotted", "idle_timer", "leasing", "owes", "running", "waiting")

    def __init__(self, allotted: int) -> None:
        self.allotted = allotted
        """How many may run; less than the limit where processes share it."""
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.leasing = False
        self.owes = False
        """Whether another process waits for the next place that is free."""
        self.idle_timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class Sharing:
    """How places are shared with other processes; without a `lessor` they are not.

    `name` sets their keys apart from other limits', and at least `slice_size` places are leased at once.
    """

    name: str = ""
    lessor: Lessor | None = None
    tasks: Tasks = field(default_factory=Tasks)
    slice_size: int = 1


ALONE: Final = Sharing()


class Shares:
    """At most `limit` at once for each key. Up to `waiting_max` more wait their turn, in order, `wait_seconds` each."""

    def __init__(
        self,
        limit: int,
        waiting_max: int,
        wait_seconds: float,
        sharing: Sharing = ALONE,
    ) -> None:
        self.limit = limit
        self._waiting_max = waiting_max
        self._wait_seconds = wait_seconds
        self._name = sharing.name
        self._slice_size = sharing.slice_size
        self._lessor = sharing.lessor
        self._tasks = sharing.tasks
        self._lines: dict[str, _Line] = {}

    def __repr__(self) -> str:
        return f"Shares({len(self._lines)} keys, {self.limit} each)"

    def has_room(self, key: str) -> bool:
        """Whether this process knows of no reason why a place of a key would have to be waited for."""
        line = self._lines.get(key)
        return line is None or (line.running < self.limit and not line.waiting)

    async def take(self, key: str) -> None:
        """Take a place, to be given back once. Raises NoPlaceError."""
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(self.limit if self._lessor is None else 0)
        if line.idle_timer is not None:
            line.idle_timer.cancel()
            line.idle_timer = None
        if line.running < line.allotted and not line.waiting:
            line.running += 1
            return
        # What can still be leased is not waited for in the line.
        if len(line.waiting) >= self._waiting_max + (self.limit - line.allotted):
            raise NoPlaceError
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(place)
        self._lease_more(key, line)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await place
        except TimeoutError as error:
            self._leave(key, line, place)
            raise NoPlaceError from error
        except asyncio.CancelledError:
            self._leave(key, line, place)
            raise

    def give_back(self, key: str) -> None:
        """A place is free again: the next in line has it."""
        line = self._lines[key]
        line.running -= 1
        if line.owes and self._lessor is not None:
            line.owes = False
            line.allotted -= 1
            self._lessor.give_back(self._name + key, 1)
            if line.waiting:
                self._lease_more(key, line)  # behind whoever waits elsewhere
        self._serve(line)
        if line.running or line.waiting or line.leasing:
            return
        if self._lessor is None:
            del self._lines[key]
        elif line.idle_timer is None:
            loop = asyncio.get_running_loop()
            line.idle_timer = loop.call_later(IDLE_SECONDS, self._return_idle, key)

    def take_back(self, shared_key: str) -> int:
        """Another process needs places of a key as the lessor calls it; how many idle ones this one gives up."""
        key = shared_key.removeprefix(self._name)
        line = self._lines.get(key)
        if line is None:
            return 0
        idle = line.allotted - line.running
        line.allotted -= idle
        line.owes = not idle and line.running > 0
        if not line.running and not line.leasing:
            self._forget(key, line)
        return idle

    def _serve(self, line: _Line) -> None:
        while line.waiting and line.running < line.allotted:
            place = line.waiting.popleft()
            if not place.done():
                line.running += 1
                place.set_result(None)

    def _leave(self, key: str, line: _Line, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self.give_back(key)  # it was given a place at the very moment
        elif place in line.waiting:
            line.waiting.remove(place)
            if not line.running and not line.waiting and self._lessor is None:
                self._lines.pop(key, None)

    def _lease_more(self, key: str, line: _Line) -> None:
        if self._lessor is not None and not line.leasing and line.allotted < self.limit:
            line.leasing = True
            self._tasks.spawn(self._lease(key, line, self._lessor), name="lease places")

    async def _lease(self, key: str, line: _Line, lessor: Lessor) -> None:
        """Lease until nobody waits here, or this process has all places there are."""
        try:
            while line.waiting and line.allotted < self.limit:
                wanted = min(max(len(line.waiting), self._slice_size), self.limit - line.allotted)
                granted = await lessor.lease(self._name + key, self.limit, wanted)
                line.allotted += granted
                self._serve(line)
                if not granted:
                    await asyncio.sleep(ASK_AGAIN_SECONDS)
        finally:
            line.leasing = False
        if not line.running and not line.waiting:
            self._return_idle(key)

    def _return_idle(self, key: str) -> None:
        line = self._lines.get(key)
        if line is None or line.running or line.waiting or line.leasing:
            return
        if line.allotted and self._lessor is not None:
            self._lessor.give_back(self._name + key, line.allotted)
        self._forget(key, line)

    def _forget(self, key: str, line: _Line) -> None:
        if line.idle_timer is not None:
            line.idle_timer.cancel()
        self._lines.pop(key, None)
