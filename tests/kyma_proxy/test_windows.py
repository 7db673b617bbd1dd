"""No minute has more calls than its window holds, whoever makes them; who must wait is told how long."""

from __future__ import annotations

import asyncio
import time

import pytest

from kyma_proxy import windows as windows_module
from kyma_proxy.supervisor.slices import Slices
from kyma_proxy.windows import CallWindows, WindowFullError


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> float:
    """How long a minute is."""
    monkeypatch.setattr(windows_module, "WINDOW_SECONDS", 0.4)
    return 0.4


async def call(windows: CallWindows, calls: list[float], limit: int, wait_seconds: float = 0.05) -> bool:
    window = windows.window("m hd", limit, wait_seconds)
    try:
        await window.enter("default")
    except WindowFullError:
        return False
    window.begin("default")
    calls.append(time.monotonic())
    return True


def most_in_a_window(calls: list[float], minute: float) -> int:
    return max(sum(1 for each in calls if first <= each < first + minute) for first in calls)


async def test_a_burst_up_to_the_limit_goes_at_once_and_the_rest_is_told_how_long(minute: float) -> None:
    windows, calls = CallWindows(), []
    assert [await call(windows, calls, 3) for _ in range(5)] == [True] * 3 + [False] * 2
    with pytest.raises(WindowFullError) as caught:
        await windows.window("m hd", 3, 0.05).enter("default")
    assert caught.value.retry_after_seconds == 1
    await windows.window("m hd", 3, 0.05).enter("another account")


async def test_who_can_wait_gets_the_next_place(minute: float) -> None:
    windows, calls = CallWindows(), []
    assert await asyncio.gather(*(call(windows, calls, 2, wait_seconds=2) for _ in range(4))) == [True] * 4
    assert most_in_a_window(calls, minute) == 2


async def test_whatever_the_schedule_no_window_has_more_than_its_limit(minute: float) -> None:
    windows, calls = CallWindows(), []
    deadline = time.monotonic() + 4 * minute
    while time.monotonic() < deadline:
        await asyncio.gather(*(call(windows, calls, 5, wait_seconds=0.01) for _ in range(3)))
        await asyncio.sleep(0.01)
    assert most_in_a_window(calls, minute) == 5
    assert len(calls) >= 15, "and nothing of it is given away"


async def test_a_place_that_was_not_used_is_free_at_once(minute: float) -> None:
    window = CallWindows().window("m hd", 1, 0.01)
    for _ in range(5):
        await window.enter("default")
        window.leave("default")


async def test_the_same_words_are_the_same_window_after_a_reload() -> None:
    windows = CallWindows()
    assert windows.window("m hd", 1, 2.0) is windows.window("m hd", 1, 2.0)
    assert windows.window("m hd", 1, 2.0) is not windows.window("m hd", 2, 2.0)
    assert repr(windows) == "CallWindows(2)"


class Team:
    """Processes that share what they may call."""

    def __init__(self, count: int) -> None:
        self.asked = 0
        self.slices = Slices(self._ask_back)
        self.processes = [CallWindows(_Lessor(self, worker)) for worker in range(count)]

    async def _ask_back(self, worker: int, key: str) -> int:
        return self.processes[worker].take_back(key)


class _Lessor:
    def __init__(self, team: Team, worker: int) -> None:
        self._team = team
        self._worker = worker

    async def lease(self, key: str, limit: int, wanted: int) -> int:
        self._team.asked += 1
        return await self._team.slices.lease(self._worker, key, limit, wanted)

    def give_back(self, key: str, places: int) -> None:
        self._team.slices.returned(self._worker, key, places)


async def test_processes_together_keep_to_the_limit(minute: float) -> None:
    calls: list[float] = []

    async def run(windows: CallWindows) -> None:
        for _ in range(40):
            await call(windows, calls, 30, wait_seconds=0.02)
            await asyncio.sleep(0.02)

    await asyncio.gather(*map(run, Team(3).processes))
    assert most_in_a_window(calls, minute) <= 30
    assert len(calls) > 60


async def test_places_are_leased_in_slices() -> None:
    team, calls = Team(2), []
    for windows in team.processes:
        assert [await call(windows, calls, 60, wait_seconds=10) for _ in range(30)] == [True] * 30
    assert team.asked == 10, "six places at once for each process"
