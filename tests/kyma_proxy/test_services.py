"""What plugins are lent."""

import asyncio
from types import MappingProxyType
from typing import Any

import pytest

from kyma_proxy.services import Services
from kyma_proxy.tasks import Tasks


async def test_finish_runs_work_to_its_end_whoever_stops_waiting() -> None:
    nothing: Any = None
    services = Services(nothing, nothing, nothing, nothing, nothing, MappingProxyType({}), nothing, Tasks())
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    waiter = asyncio.get_running_loop().create_task(services.finish(work(), "work"))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await services.tasks.drain(1)
    assert done.is_set()
