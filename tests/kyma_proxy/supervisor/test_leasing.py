"""A worker's door to the places that it shares."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from kyma_proxy.supervisor.channel import Channel
from kyma_proxy.supervisor.leasing import Leasing
from kyma_proxy.tasks import Tasks


async def test_it_asks_the_supervisor_and_makes_do_without_one() -> None:
    told: list[Any] = []

    async def lease(about: Any) -> int:
        told.append(about)
        return 2

    async def returned(about: Any) -> None:
        told.append(about)

    one, other = socket.socketpair()
    tasks = Tasks()
    leasing = Leasing()
    assert await leasing.lease("a", 3, 2) == 0
    supervisor = await Channel.open(one, {"lease": lease, "returned": returned}, tasks)
    leasing.opened(await Channel.open(other, {}, tasks), tasks)
    assert await leasing.lease("a", 3, 2) == 2
    leasing.give_back("a", 1)
    async with asyncio.timeout(5):
        while len(told) < 2:
            await asyncio.sleep(0.001)
    assert told == [{"key": "a", "limit": 3, "wanted": 2}, {"key": "a", "places": 1}]
    supervisor.close()
    await asyncio.sleep(0.01)
    assert await leasing.lease("a", 3, 2) == 0
    await tasks.close()
