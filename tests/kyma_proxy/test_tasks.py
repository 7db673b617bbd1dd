"""Tasks: helpers are cancelled, obligations are finished."""

import asyncio

import pytest

from kyma_proxy.errors import ErrorCode, GatewayError
from kyma_proxy.tasks import Tasks


async def test_work_that_must_finish_outlives_who_asked_for_it() -> None:
    tasks, done = Tasks(), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.02)
        done.set()

    waiter = asyncio.get_running_loop().create_task(tasks.finish(work(), "work"))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert tasks.obligations == 1
    assert await tasks.drain(1)
    assert done.is_set()


async def test_finish_passes_on_result_and_error() -> None:
    async def result() -> int:
        return 7

    async def error() -> None:
        raise GatewayError(ErrorCode.NOT_FOUND, "no")

    tasks = Tasks()
    assert await tasks.finish(result(), "result") == 7
    with pytest.raises(GatewayError):
        await tasks.finish(error(), "error")


async def test_drain_waits_for_what_obligations_start_and_says_when_time_runs_out() -> None:
    tasks, gate = Tasks(), asyncio.Event()

    async def first() -> None:
        tasks.oblige(second(), "second")

    async def second() -> None:
        await gate.wait()

    tasks.oblige(first(), "first")
    assert not await tasks.drain(0.05)
    gate.set()
    assert await tasks.drain(1)


async def test_close_cancels_helpers() -> None:
    tasks = Tasks()
    helper = tasks.spawn(asyncio.sleep(60), "helper")
    await tasks.close()
    assert helper.cancelled()


async def test_a_failure_that_somebody_waits_for_is_theirs_to_tell(capsys: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        raise KeyError("told once")

    tasks = Tasks()
    with pytest.raises(KeyError):
        await tasks.finish(fail(), "awaited")
    assert "task_failed" not in capsys.readouterr().out
    tasks.oblige(fail(), "alone")
    await tasks.drain(1)
    assert "task_failed" in capsys.readouterr().out
