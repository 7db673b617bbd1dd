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


async def test_a_part_can_be_ended_on_its_own_and_the_whole_ends_it_too() -> None:
    whole = Tasks()
    one, other = whole.part(), whole.part()
    release = asyncio.Event()
    one.oblige(release.wait(), "one")
    helper = one.spawn(asyncio.Event().wait(), "helper of one")
    staying = other.spawn(asyncio.Event().wait(), "helper of the other")
    assert (whole.obligations, one.obligations, other.obligations) == (1, 1, 0)
    assert await other.drain(0.01)
    assert not await whole.drain(0.01)
    await one.close()
    assert helper.cancelled()
    assert not staying.done()
    release.set()
    assert await whole.drain(1)
    assert one.obligations == 0
    await whole.close()
    assert staying.cancelled()
