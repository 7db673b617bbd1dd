"""Group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kyma_proxy.ledger.batches import Batches
from kyma_proxy.tasks import Tasks


class Recorder:
    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()
        self.running: dict[str, int] = {}
        self.most_running: dict[str, int] = {}

    async def run(self, key: str, items: Sequence[int]) -> None:
        self.running[key] = self.running.get(key, 0) + 1
        self.most_running[key] = max(self.most_running.get(key, 0), self.running[key])
        self.batches.append((key, list(items)))
        await self.gate.wait()
        self.running[key] -= 1


async def test_what_is_added_meanwhile_goes_together_next() -> None:
    recorder, tasks = Recorder(), Tasks()
    batches = Batches[int](tasks, "test", recorder.run)
    batches.add("a", 1)
    await asyncio.sleep(0)
    for item in (2, 3, 4):
        batches.add("a", item)
    recorder.gate.set()
    assert await batches.settled("a")
    assert recorder.batches == [("a", [1]), ("a", [2, 3, 4])]
    assert recorder.most_running == {"a": 1}


async def test_keys_do_not_wait_for_each_other() -> None:
    recorder, tasks = Recorder(), Tasks()
    batches = Batches[int](tasks, "test", recorder.run)
    batches.add("a", 1)
    batches.add("b", 2)
    await asyncio.sleep(0)
    assert recorder.running == {"a": 1, "b": 1}
    recorder.gate.set()
    assert await tasks.drain(1)


async def test_batches_are_bounded_and_in_order() -> None:
    recorder, tasks = Recorder(), Tasks()
    recorder.gate.set()
    batches = Batches[int](tasks, "test", recorder.run, items_max=4)
    for item in range(10):
        batches.add("a", item)
    assert await tasks.drain(1)
    assert recorder.batches == [("a", [0, 1, 2, 3]), ("a", [4, 5, 6, 7]), ("a", [8, 9])]


async def test_settled_waits_for_nothing_where_nothing_is_under_way() -> None:
    recorder, tasks = Recorder(), Tasks()
    recorder.gate.set()
    batches = Batches[int](tasks, "test", recorder.run)
    assert not await batches.settled("a")
    batches.add("a", 1)
    assert await batches.settled("a")
    assert not await batches.settled("a")
    batches.add("a", 2)
    assert await batches.settled("a")
    assert recorder.batches == [("a", [1]), ("a", [2])]
