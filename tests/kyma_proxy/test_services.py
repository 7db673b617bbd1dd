"""What plugins are lent."""

import asyncio

import pytest

from kyma_proxy.testing.services import make_services


async def test_finish_runs_work_to_its_end_whoever_stops_waiting() -> None:
    services = make_services()
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
