"""Waiting only as long as there is somebody to wait for."""

from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.flow import ClientLeftError
from kyma_proxy.upstreams.presence import LOOK_SECONDS, while_client_waits
from kyma_proxy.wheel import TimerWheel


async def test_what_is_awaited_is_cancelled_when_the_client_leaves() -> None:
    here, cancelled = True, False
    loop = asyncio.get_running_loop()

    def leave() -> None:
        nonlocal here
        here = False

    async def wait() -> None:
        nonlocal cancelled
        async with while_client_waits(lambda: here, TimerWheel()):
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                cancelled = True
                raise

    loop.call_later(LOOK_SECONDS / 2, leave)
    began = loop.time()
    with pytest.raises(ClientLeftError):
        await wait()
    assert cancelled
    assert loop.time() - began < 10 * LOOK_SECONDS


async def test_the_client_is_asked_again_and_again_and_not_afterwards() -> None:
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return True

    async with asyncio.timeout(5), while_client_waits(look, TimerWheel()):
        while looks < 2:
            await asyncio.sleep(LOOK_SECONDS / 4)
    seen = looks
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert looks == seen


async def test_an_answer_in_time_is_not_disturbed_by_a_client_that_left() -> None:
    async with while_client_waits(lambda: False, TimerWheel()):
        await asyncio.sleep(0)


async def test_other_exceptions_pass_a_time_out_of_the_work_included() -> None:
    with pytest.raises(TimeoutError):
        async with while_client_waits(lambda: True, TimerWheel()):
            raise TimeoutError
    with pytest.raises(KeyError):
        async with while_client_waits(lambda: True, TimerWheel()):
            raise KeyError
