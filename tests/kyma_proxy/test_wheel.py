"""Timers of a wheel ring once, never early, and not at all once cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from kyma_proxy.wheel import TICK_SECONDS, TimerWheel


class Clock:
    """An event loop's time and timers, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.failures: list[dict[str, Any]] = []
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self)

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        self.due.append((self.now + seconds, callback))
        return object()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def move(self, seconds: float) -> None:
        """Let time pass, and call what was due by its end."""
        self.now += seconds
        due, self.due = [it for it in self.due if it[0] <= self.now], [it for it in self.due if it[0] > self.now]
        for _, callback in due:
            callback()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.04999, TICK_SECONDS, 0.051, 0.3, 7.77])
def test_a_timer_rings_once_never_early_and_hardly_late(clock: Clock, seconds: float) -> None:
    wheel, rung = TimerWheel(), []
    wheel.after(seconds, lambda: rung.append(clock.now))
    asked = clock.now
    for _ in range(1000):
        clock.move(0.01)
    assert len(rung) == 1
    assert seconds - 1e-9 <= rung[0] - asked <= seconds + 2 * TICK_SECONDS + 0.011
    assert not clock.due, "a wheel without timers stands still"


def test_a_cancelled_timer_does_not_ring_and_the_wheel_comes_to_rest(clock: Clock) -> None:
    wheel, rung = TimerWheel(), []
    timers = [wheel.after(seconds, lambda: rung.append(1)) for seconds in (0.1, 0.1, 60.0)]
    for timer in timers:
        timer.cancel()
        timer.cancel()
    assert repr(wheel) == "TimerWheel(0 timers)"
    clock.move(TICK_SECONDS)
    assert not clock.due
    clock.move(100)
    assert not rung


def test_one_timer_may_cancel_another_and_start_one_as_it_rings(clock: Clock) -> None:
    wheel, rung = TimerWheel(), []
    timers = []

    def ring() -> None:
        for timer in timers:
            timer.cancel()
        rung.append("first")
        wheel.after(0.1, lambda: rung.append("later"))

    timers += [wheel.after(0.1, ring), wheel.after(0.1, ring)]
    for _ in range(10):
        clock.move(TICK_SECONDS)
    assert rung == ["first", "later"]


def test_a_loop_that_stood_still_rings_everything_in_its_order(clock: Clock) -> None:
    wheel, rung = TimerWheel(), []
    for seconds in (3.0, 1.0, 2.0, 5000.0):
        wheel.after(seconds, lambda seconds=seconds: rung.append(seconds))
    clock.move(1000)
    assert rung == [1.0, 2.0, 3.0]
    clock.move(6000)
    assert rung == [1.0, 2.0, 3.0, 5000.0]


def test_a_callback_that_fails_is_told_and_keeps_no_other_from_ringing(clock: Clock) -> None:
    wheel, rung = TimerWheel(), []

    def fail() -> None:
        raise KeyError

    for ring in (lambda: rung.append(1), fail, lambda: rung.append(2)):
        wheel.after(0.1, ring)
    clock.move(1)
    assert sorted(rung) == [1, 2]
    assert isinstance(clock.failures[0]["exception"], KeyError)


async def test_in_a_real_loop() -> None:
    loop = asyncio.get_running_loop()
    rung: asyncio.Future[float] = loop.create_future()
    began = loop.time()
    TimerWheel().after(0.12, lambda: rung.set_result(loop.time()))
    assert await rung - began >= 0.12
