"""One turn after the other, in order, with others served in between, whoever gives up."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from kyma_proxy.server.turns import BETWEEN_SECONDS, Turns


async def test_turns_come_in_the_order_asked_and_apart() -> None:
    turns = Turns()
    loop = asyncio.get_running_loop()
    taken: list[tuple[str, float]] = []

    async def take(name: str) -> None:
        for _ in range(3):
            await turns.next(name)
            taken.append((name, loop.time()))
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await asyncio.gather(take("a"), take("b"), take("c"))
    assert [name for name, _ in taken] == ["a", "b", "c"] * 3
    times = [at for _, at in taken]
    assert all(later - earlier > BETWEEN_SECONDS / 2 for earlier, later in pairwise(times))


async def test_who_is_alone_does_not_wait() -> None:
    turns = Turns()
    for _ in range(100):
        asking = turns.next("a")
        try:
            asking.send(None)
        except StopIteration:
            continue
        raise AssertionError("it waited for a turn that nobody else wanted")


async def test_who_gives_up_costs_the_others_nothing() -> None:
    turns = Turns()
    await turns.next("a")
    leaving = [asyncio.ensure_future(turns.next(f"leaving {number}")) for number in range(3)]
    staying = asyncio.ensure_future(turns.next("b"))
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    async with asyncio.timeout(5):
        await staying
        await turns.next("a")
    assert repr(turns) == "Turns(0 waiting)"
