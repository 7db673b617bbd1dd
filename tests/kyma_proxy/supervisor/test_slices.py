"""Places shared by workers: never more than there are, in the order asked, and none lost with a worker."""

from __future__ import annotations

import asyncio
import random

import pytest

from kyma_proxy.supervisor import slices as slices_module
from kyma_proxy.supervisor.slices import Slices


class Workers:
    """What workers have, and would give back when asked."""

    def __init__(self) -> None:
        self.idle: dict[int, int] = {}
        self.asked: list[int] = []
        self.slices = Slices(self.ask_back)

    async def ask_back(self, worker: int, key: str) -> int:
        self.asked.append(worker)
        await asyncio.sleep(0)
        return self.idle.pop(worker, 0)


async def test_what_is_free_is_leased_and_what_is_idle_elsewhere_is_asked_back() -> None:
    workers = Workers()
    slices = workers.slices
    assert await slices.lease(1, "a", 3, 2) == 2
    assert await slices.lease(2, "a", 3, 5) == 1
    assert workers.asked == []
    workers.idle[1] = 1
    assert await slices.lease(2, "a", 3, 5) == 1
    assert workers.asked == [1]
    assert slices.held("a") == 3


async def test_who_waits_longest_gets_the_next_place() -> None:
    slices = Workers().slices
    assert await slices.lease(1, "a", 1, 1) == 1
    order: list[int] = []

    async def wait(worker: int) -> None:
        assert await slices.lease(worker, "a", 1, 1) == 1
        order.append(worker)

    waiting = []
    for worker in (2, 3):
        waiting.append(asyncio.ensure_future(wait(worker)))
        await asyncio.sleep(0.001)
    slices.returned(1, "a", 1)
    waiting.append(asyncio.ensure_future(wait(1)))
    await asyncio.sleep(0.001)
    slices.returned(2, "a", 1)
    await asyncio.sleep(0.001)
    slices.returned(3, "a", 1)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert order == [2, 3, 1]
    slices.returned(1, "a", 1)
    assert repr(slices) == "Slices(0 keys)"


async def test_a_worker_that_dies_leaves_its_places_to_the_others() -> None:
    slices = Workers().slices
    assert await slices.lease(1, "a", 2, 2) == 2
    waiting = asyncio.ensure_future(slices.lease(2, "a", 2, 2))
    dying = asyncio.ensure_future(slices.lease(1, "a", 2, 1))
    await asyncio.sleep(0.001)
    slices.gone(1)
    assert await asyncio.wait_for(waiting, 5) == 2
    await asyncio.gather(dying, return_exceptions=True)
    slices.gone(2)
    assert repr(slices) == "Slices(0 keys)"


async def test_nothing_is_granted_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices_module, "WAIT_SECONDS", 0.02)
    slices = Workers().slices
    assert await slices.lease(1, "a", 1, 1) == 1
    assert await slices.lease(2, "a", 1, 1) == 0
    assert slices.held("a") == 1


async def test_whatever_the_schedule_there_are_never_more_than_the_limit() -> None:
    chance = random.Random(11)
    slices = Workers().slices
    has: dict[int, int] = dict.fromkeys(range(4), 0)

    async def worker(number: int) -> None:
        for _ in range(50):
            granted = await slices.lease(number, "a", 3, chance.randint(1, 3))
            has[number] += granted
            assert sum(has.values()) <= 3
            await asyncio.sleep(chance.random() * 0.001)
            has[number] -= granted
            slices.returned(number, "a", granted)

    await asyncio.wait_for(asyncio.gather(*(worker(number) for number in has)), 20)
    assert repr(slices) == "Slices(0 keys)"


async def test_what_a_dead_worker_used_up_of_a_minute_stays_used_up_for_so_long() -> None:
    workers = Workers()
    slices = Slices(workers.ask_back, lambda key: 0.05 if key.startswith("rate ") else 0.0)
    for key in ("rate a", "a"):
        assert await slices.lease(1, key, 3, 2) == 2
    slices.gone(1)
    slices.gone(1)
    assert (slices.held("rate a"), slices.held("a")) == (2, 0)
    assert await slices.lease(1, "rate a", 3, 3) == 1, "the worker that replaces it has what is left"
    assert await asyncio.wait_for(slices.lease(1, "rate a", 3, 2), 5) == 2
    assert workers.asked == [], "nobody is left who could be asked"
    assert slices.held("rate a") == 3
