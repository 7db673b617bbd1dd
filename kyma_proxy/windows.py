"""At most so many calls in any minute, by all processes together, so that a provider's own limit is not met.

A call takes a place and keeps it for the length of the window, however short the call is. So no minute has more calls
than the limit; a bucket that fills up again would let nearly twice as many through around its edge.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.shares import Lessor, NoPlaceError, Shares, Sharing
from kyma_proxy.tasks import Tasks

WINDOW_SECONDS: Final = 61.0
"""A minute, and what calls may be late on their way to the provider."""
PREFIX: Final = "rate "
"""How the keys of all windows begin, to tell them from the lessor's others."""
_SLICES: Final = 10
"""A process leases a tenth of the places at once."""


class WindowFullError(Exception):
    """No call may be made now, nor within the time that it would wait."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"full for about {retry_after_seconds} seconds")
        self.retry_after_seconds = retry_after_seconds


class CallWindow:
    """The calls of the last minute, for each key."""

    def __init__(self, name: str, limit: int, wait_seconds: float, lessor: Lessor | None, tasks: Tasks) -> None:
        sharing = Sharing(name, lessor, tasks, slice_size=math.ceil(limit / _SLICES))
        self._shares = Shares(limit, limit, wait_seconds, sharing)
        self._begun: dict[str, deque[float]] = {}

    def __repr__(self) -> str:
        return f"CallWindow({self._shares.limit} a minute, {len(self._begun)} keys)"

    async def enter(self, key: str) -> None:
        """Take a place, waiting for one if it is soon free; then either `begin` or `leave`. Raises WindowFullError."""
        try:
            await self._shares.take(key)
        except NoPlaceError as error:
            raise WindowFullError(self._free_in_seconds(key)) from error

    def has_room(self, key: str) -> bool:
        """Whether a call could probably be made at once."""
        return self._shares.has_room(key)

    def begin(self, key: str) -> None:
        """The call is made now: its place is free again after a minute."""
        self._begun.setdefault(key, deque()).append(monotonic_seconds())
        asyncio.get_running_loop().call_later(WINDOW_SECONDS, self._end, key)

    def leave(self, key: str) -> None:
        """No call is made after all."""
        self._shares.give_back(key)

    def take_back(self, shared_key: str) -> int:
        """Another process needs places of a key as the lessor calls it; how many idle ones this one gives up."""
        return self._shares.take_back(shared_key)

    def _end(self, key: str) -> None:
        begun = self._begun[key]
        begun.popleft()
        if not begun:
            del self._begun[key]
        self._shares.give_back(key)

    def _free_in_seconds(self, key: str) -> int:
        """When this process has the next place; where others have them all, a minute at most."""
        begun = self._begun.get(key)
        left = WINDOW_SECONDS if not begun else begun[0] + WINDOW_SECONDS - monotonic_seconds()
        return max(1, math.ceil(left))


def used_up_seconds(shared_key: str) -> float:
    """For how long the places of a key, as the lessor calls it, may be used up by calls of a process that is gone."""
    return WINDOW_SECONDS if shared_key.startswith(PREFIX) else 0.0


class CallWindows:
    """Every window of a process. A window is the same for every configuration that asks for it in the same words."""

    def __init__(self, lessor: Lessor | None = None, tasks: Tasks | None = None) -> None:
        self._lessor = lessor
        self._tasks = tasks or Tasks()
        self._windows: dict[tuple[str, int, float], CallWindow] = {}

    def __repr__(self) -> str:
        return f"CallWindows({len(self._windows)})"

    def window(self, name: str, limit: int, wait_seconds: float) -> CallWindow:
        """The window of that name, which holds `limit` calls a minute and lets others wait so long."""
        found = self._windows.get((name, limit, wait_seconds))
        if found is None:
            found = CallWindow(f"{PREFIX}{name} ", limit, wait_seconds, self._lessor, self._tasks)
            self._windows[name, limit, wait_seconds] = found
        return found

    def take_back(self, shared_key: str) -> int:
        """Another process needs places of a key as the lessor calls it; how many idle ones this one gives up."""
        mine = [each for (name, *_), each in self._windows.items() if shared_key.startswith(f"{PREFIX}{name} ")]
        return sum(each.take_back(shared_key) for each in mine)
