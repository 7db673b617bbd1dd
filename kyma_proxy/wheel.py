"""A timer wheel: limits of time on waits that nearly always end long before, for less than an event loop's timer each.

Source: Varghese and Lauck, Hashed and Hierarchical Timing Wheels, 1987.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

TICK_SECONDS: Final = 0.05
"""How much later than asked a timer may ring, besides what the event loop is late."""


class WheelTimer:
    """One wait's limit."""

    __slots__ = ("_bucket", "ring")

    def __init__(self, bucket: dict[WheelTimer, None], ring: Callable[[], None]) -> None:
        self._bucket = bucket
        self.ring = ring

    def cancel(self) -> None:
        """The wait is over; nothing happens if the timer has rung."""
        self._bucket.pop(self, None)
        # Whoever keeps the timer is often whom it would call: together they would wait for the garbage collector.
        self.ring = _nothing


def _nothing() -> None:
    return None


class TimerWheel:
    """The timers of one event loop. It turns only while there are any."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[WheelTimer, None]] = {}
        self._tick = 0
        self._turning: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"TimerWheel({sum(map(len, self._buckets.values()))} timers)"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that runs when it is first asked for; before Python 3.12 each look for it is a system call."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def after(self, seconds: float, ring: Callable[[], None]) -> WheelTimer:
        """Have `ring` called once, `seconds` from now or up to a tick later, never sooner."""
        loop = self.loop
        now = loop.time()
        tick = int((now + seconds) / TICK_SECONDS) + 1
        if self._turning is None:
            self._tick = int(now / TICK_SECONDS)
            self._turning = loop.call_later(TICK_SECONDS, self._turn)
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
        timer = WheelTimer(bucket, ring)
        bucket[timer] = None
        return timer

    def _turn(self) -> None:
        loop = self.loop
        until = int(loop.time() / TICK_SECONDS)
        if len(self._buckets) < until - self._tick:
            due = sorted(tick for tick in self._buckets if tick <= until)  # the loop stood still for long
        else:
            due = [tick for tick in range(self._tick, until + 1) if tick in self._buckets]
        self._tick = until
        self._turning = None
        for tick in due:
            bucket = self._buckets.pop(tick)
            while bucket:
                timer, _ = bucket.popitem()
                self._ring(loop, timer)
        if self._turning is None and self._has_timers():
            self._turning = loop.call_later(TICK_SECONDS, self._turn)

    def _ring(self, loop: asyncio.AbstractEventLoop, timer: WheelTimer) -> None:
        try:
            timer.ring()
        except Exception as error:  # noqa: BLE001 - told as asyncio tells of a callback; the others must ring
            loop.call_exception_handler({"message": "a timer's callback failed", "exception": error})

    def _has_timers(self) -> bool:
        """Whether any is left; buckets whose timers were all cancelled are dropped on the way."""
        while self._buckets:
            tick = next(iter(self._buckets))
            if self._buckets[tick]:
                return True
            del self._buckets[tick]
        return False
