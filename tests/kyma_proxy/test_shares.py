"""Places in line: never more at once than allowed, in order, and nothing lost when somebody gives up."""

from __future__ import annotations

import asyncio
import random

import pytest

from kyma_proxy import shares as shares_module
from kyma_proxy.shares import NoPlaceError, Shares, Sharing


async def test_each_key_has_places_of_its_own_and_the_next_in_line_gets_a_free_one() -> None:
    shares = Shares(1, 8, 5)
    await shares.take("a")
    await shares.take("b")
    order: list[int] = []

    async def wait(number: int) -> None:
        await shares.take("a")
        order.append(number)
        await asyncio.sleep(0)
        shares.give_back("a")

    waiting = [asyncio.ensure_future(wait(number)) for number in range(5)]
    await asyncio.sleep(0.01)
    assert order == []
    shares.give_back("a")
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]
    shares.give_back("b")
    assert repr(shares) == "Shares(0 keys, 1 each)"


async def test_a_line_that_is_too_long_and_a_wait_that_is_too_long_are_refused() -> None:
    shares = Shares(1, 1, 0.02)
    await shares.take("a")
    waiting = asyncio.ensure_future(shares.take("a"))
    await asyncio.sleep(0)
    with pytest.raises(NoPlaceError):
        await shares.take("a")
    with pytest.raises(NoPlaceError):
        await waiting
    shares.give_back("a")
    assert repr(shares) == "Shares(0 keys, 1 each)"


async def test_whatever_the_schedule_no_place_is_lost_or_given_twice() -> None:
    chance = random.Random(7)
    shares = Shares(3, 50, 5)
    running = most = served = 0

    async def use() -> None:
        nonlocal running, most, served
        await shares.take("a")
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(chance.random() * 0.002)
            served += 1
        finally:
            running -= 1
            shares.give_back("a")

    for _ in range(20):
        using = [asyncio.ensure_future(use()) for _ in range(20)]
        for task in chance.sample(using, 8):
            asyncio.get_running_loop().call_later(chance.random() * 0.004, task.cancel)
        await asyncio.gather(*using, return_exceptions=True)
    assert most == 3
    assert served > 200
    assert repr(shares) == "Shares(0 keys, 3 each)"


class Lessor:
    """Leases at most so many places in all."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.asked = 0

    async def lease(self, key: str, limit: int, wanted: int) -> int:
        self.asked += 1
        await asyncio.sleep(0.001)
        granted = min(wanted, self.free)
        self.free -= granted
        return granted

    def give_back(self, key: str, places: int) -> None:
        self.free += places


async def test_leased_places_are_used_again_and_given_back_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_module, "IDLE_SECONDS", 0.05)
    lessor = Lessor(2)
    shares = Shares(2, 10, 5, Sharing("slow ", lessor))
    for _ in range(20):
        await shares.take("a")
        shares.give_back("a")
    assert (lessor.asked, lessor.free) == (1, 1), "one question for all of them"
    await asyncio.sleep(0.1)
    assert lessor.free == 2
    assert repr(shares) == "Shares(0 keys, 2 each)"


async def test_no_more_run_than_were_leased() -> None:
    lessor = Lessor(1)
    shares = Shares(3, 10, 5, Sharing("", lessor))
    await shares.take("a")
    waiting = asyncio.ensure_future(shares.take("a"))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    lessor.free = 1
    await asyncio.wait_for(waiting, 5)
    shares.give_back("a")
    shares.give_back("a")


async def test_what_is_idle_is_taken_back_at_once_and_what_is_busy_when_it_is_free() -> None:
    lessor = Lessor(2)
    shares = Shares(2, 10, 5, Sharing("slow ", lessor))
    await asyncio.gather(shares.take("a"), shares.take("a"))
    shares.give_back("a")
    assert shares.take_back("slow a") == 1
    assert shares.take_back("slow a") == 0
    assert lessor.free == 0
    shares.give_back("a")
    assert lessor.free == 1, "the next free one was owed"
    assert shares.take_back("slow b") == 0


async def test_without_a_place_to_lease_a_request_is_refused_in_time() -> None:
    shares = Shares(2, 0, 0.05, Sharing("", Lessor(0)))
    with pytest.raises(NoPlaceError):
        await shares.take("a")


async def test_places_are_leased_in_slices() -> None:
    lessor = Lessor(100)
    shares = Shares(100, 100, 5, Sharing("", lessor, slice_size=10))
    for _ in range(25):
        await shares.take("a")
    assert lessor.asked == 3
    assert lessor.free == 70
