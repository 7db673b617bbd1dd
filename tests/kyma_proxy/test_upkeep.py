"""Jobs in the background: one that fails keeps neither itself nor others from their next turn."""

from __future__ import annotations

import asyncio

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.tasks import Tasks
from kyma_proxy.upkeep import Upkeep


async def test_jobs_go_on_whatever_happens_to_them() -> None:
    tasks, turns = Tasks(), {"good": 0, "away": 0, "broken": 0}
    enough = asyncio.Event()

    async def later() -> None:
        raise AssertionError("its first turn is an hour away")

    async def good() -> None:
        turns["good"] += 1

    async def away() -> None:
        turns["away"] += 1
        raise DatabaseUnavailableError

    async def broken() -> None:
        turns["broken"] += 1
        if min(turns.values()) >= 3:
            enough.set()
        raise ZeroDivisionError

    upkeep = Upkeep(tasks)
    upkeep.every(3600, "later", later, at_once=False)
    for job in (good, away, broken):
        upkeep.every(0.001, job.__name__, job)
    async with asyncio.timeout(5):
        await enough.wait()
    await tasks.close()
    counted = dict(turns)
    await asyncio.sleep(0.01)
    assert turns == counted, "they end with the process"
