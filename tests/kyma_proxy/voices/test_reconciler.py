"""The reconciler: what a dead process left behind is ended by any other, once."""

from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.pool import Database
from kyma_proxy.voices.attempts import Repetition
from kyma_proxy.voices.provider import ProviderError, Recording
from kyma_proxy.voices.reconciler import Reconciler
from mint_kit import ONCE, PRICE, Stage

KEY = Repetition("key")


async def _die_in_the_middle(stage: Stage, repetition: Repetition = ONCE, *, made: bool = True) -> str:
    """Begin a mint and lose the process while the provider works: nobody undoes it, its lease runs out."""
    died = asyncio.get_running_loop().create_future()
    voice_ids: list[str] = []

    async def never_answers(voice_id: str, recording: Recording) -> None:
        voice_ids.append(voice_id)
        if made:
            stage.provider.voices.add(voice_id)
        died.set_result(None)
        await asyncio.Event().wait()

    asked, stage.provider.clone_voice = stage.provider.clone_voice, never_answers  # type: ignore[method-assign]
    task = asyncio.get_running_loop().create_task(stage.mint(repetition=repetition))
    await died
    # Killed: not even the handlers of its cancellation reach the database.
    pool, stage.database._pool = stage.database._pool, None
    for each in (task, *stage.tasks._obligations):
        each.cancel()
    await asyncio.sleep(0)
    for each in tuple(stage.tasks._obligations):
        each.cancel()
    await asyncio.sleep(0.01)
    for each in tuple(stage.tasks._obligations):
        each.cancel()
    await asyncio.gather(task, *stage.tasks._obligations, return_exceptions=True)
    stage.database._pool = pool
    stage.provider.clone_voice = asked  # type: ignore[method-assign]
    return voice_ids[0]


async def _run_out(database: Database) -> None:
    await database.execute("UPDATE mints SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")


async def test_a_live_lease_is_left_alone(stage: Stage) -> None:
    await _die_in_the_middle(stage)
    assert await stage.reconciler.run() == 0
    assert await stage.standing() == (3 * PRICE, PRICE)
    assert await stage.statuses() == ["pending"]


@pytest.mark.parametrize("made", [True, False], ids=["voice made", "voice not made"])
async def test_what_ran_out_is_voided_failed_and_deleted(stage: Stage, made: bool) -> None:
    voice_id = await _die_in_the_middle(stage, KEY, made=made)
    await _run_out(stage.database)
    assert await stage.reconciler.run() == 1
    assert await stage.standing() == (3 * PRICE, 0)
    assert await stage.statuses() == ["failed"]
    assert stage.provider.calls == [f"delete {voice_id}"]
    assert not stage.provider.voices
    assert await stage.reconciler.run() == 0
    await stage.require_untouched()
    assert (await stage.mint(repetition=KEY)).status == 200, "its key is free"


async def test_money_goes_back_while_the_provider_is_away(stage: Stage) -> None:
    voice_id = await _die_in_the_middle(stage)
    await _run_out(stage.database)
    stage.provider.deletion_fault = ProviderError("away")
    assert await stage.reconciler.run() == 1
    assert await stage.standing() == (3 * PRICE, 0)
    assert stage.provider.voices == {voice_id}
    stage.provider.deletion_fault = None
    await stage.database.execute("UPDATE provider_cleanups SET due_at = clock_timestamp()")
    await stage.reconciler.run()
    assert not stage.provider.voices


async def test_an_upstream_that_is_gone_keeps_nobody_from_their_money(stage: Stage) -> None:
    await _die_in_the_middle(stage)
    await _run_out(stage.database)
    voided: list[None] = []
    reconciler = Reconciler(stage.database, {}, stage.cleanups, lambda: voided.append(None))
    assert await reconciler.run() == 1
    assert len(voided) == 1
    assert await stage.standing() == (3 * PRICE, 0)


async def test_reconcilers_of_several_processes_end_each_mint_once(stage: Stage) -> None:
    for _ in range(3):
        await _die_in_the_middle(stage)
    await _run_out(stage.database)
    ended = await asyncio.gather(*(stage.reconciler.run() for _ in range(4)))
    assert sum(ended) == 3
    assert await stage.standing() == (3 * PRICE, 0)
    await stage.require_exact_books()


async def test_a_database_that_is_away_is_told(stage: Stage) -> None:
    await stage.database.stop()
    with pytest.raises(DatabaseUnavailableError):
        await stage.reconciler.run()
