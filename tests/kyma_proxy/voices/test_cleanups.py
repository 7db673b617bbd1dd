"""Deleting at the provider what failed mints left there: durable, repeated, by whichever process is alive."""

from __future__ import annotations

import pytest

from kyma_proxy.database.pool import Database
from kyma_proxy.voices.cleanups import ProviderCleanups
from kyma_proxy.voices.provider import ProviderAccounts, ProviderError
from mint_kit import Stage

DUE_IN = "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM provider_cleanups"


async def _failed_voice(stage: Stage, *, longest_clone_seconds: float = 0.0, deletable: bool = False) -> str:
    """A mint whose outcome at the provider is unknown, and whose first deletion failed unless `deletable`."""
    stage.provider.longest_clone_seconds = longest_clone_seconds
    stage.provider.fault = ProviderError("lost", outcome_known=False)
    stage.provider.deletion_fault = None if deletable else ProviderError("away")
    with pytest.raises(Exception, match="could not make"):
        await stage.mint()
    assert await stage.tasks.drain(5)
    (voice_id,) = [row["voice_id"] for row in await stage.database.fetch("SELECT voice_id FROM voices")]
    return str(voice_id)


async def _make_due(database: Database) -> None:
    await database.execute("UPDATE provider_cleanups SET due_at = clock_timestamp()")


async def _left(database: Database) -> int:
    return int(await database.fetchval("SELECT count(*) FROM provider_cleanups"))


async def test_a_deletion_that_fails_stays_on_file_and_is_tried_again(stage: Stage) -> None:
    voice_id = await _failed_voice(stage)
    assert stage.provider.voices == {voice_id}
    assert await stage.cleanups.run_due() == 0, "not before its pause is over"
    pauses = []
    for _ in range(4):
        await _make_due(stage.database)
        assert await stage.cleanups.run_due() == 1
        pauses.append(round(await stage.database.fetchval(DUE_IN)))
    assert pauses == [1, 1, 1, 1], "its last time has come: it is tried each second"
    stage.provider.deletion_fault = None
    await _make_due(stage.database)
    assert await stage.cleanups.run_due() == 1
    assert not stage.provider.voices
    assert await _left(stage.database) == 0


async def test_a_slow_clone_cannot_outlive_the_last_deletion(stage: Stage) -> None:
    voice_id = await _failed_voice(stage, longest_clone_seconds=3600, deletable=True)
    assert not stage.provider.voices
    stage.provider.voices.add(voice_id)  # the provider has only now finished
    await _make_due(stage.database)
    await stage.cleanups.run_due()
    assert not stage.provider.voices
    assert await _left(stage.database) == 1, "the longest clone time is not over"
    stage.provider.voices.add(voice_id)
    await stage.database.execute("UPDATE provider_cleanups SET until = clock_timestamp(), due_at = clock_timestamp()")
    await stage.cleanups.run_due()
    assert not stage.provider.voices
    assert await _left(stage.database) == 0


async def test_pauses_grow_and_are_bounded(stage: Stage) -> None:
    await _failed_voice(stage, longest_clone_seconds=3600)
    pauses = []
    for _ in range(8):
        await _make_due(stage.database)
        await stage.cleanups.run_due()
        pauses.append(round(await stage.database.fetchval(DUE_IN)))
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_the_recording_goes_with_the_voice_and_others_stay(stage: Stage) -> None:
    stage.provider.uploads[9] = "kyma_ffffffffffffffff"
    voice_id = await _failed_voice(stage)
    stage.provider.uploads[7] = voice_id
    stage.provider.deletion_fault = None
    await _make_due(stage.database)
    await stage.cleanups.run_due()
    assert stage.provider.uploads == {9: "kyma_ffffffffffffffff"}


@pytest.mark.parametrize("account", ["default", "another"])
async def test_a_provider_that_is_no_longer_ours_is_never_asked(stage: Stage, account: str) -> None:
    voice_id = await _failed_voice(stage)
    stage.provider.deletion_fault = None
    stage.provider.provider_account = account
    providers = {"minimax": ProviderAccounts([(stage.provider, 1)])} if account == "another" else {}
    ended: list[str] = []
    calls = len(stage.provider.calls)
    await _make_due(stage.database)
    await ProviderCleanups(stage.database, providers, ended.append).run_due()
    assert ended == ["deletion_failed"]
    assert len(stage.provider.calls) == calls
    assert stage.provider.voices == {voice_id}
    assert await _left(stage.database) == 1


async def test_outcomes_are_told(stage: Stage) -> None:
    await _failed_voice(stage)
    ended: list[str] = []
    cleanups = ProviderCleanups(stage.database, {"minimax": stage.accounts}, ended.append)
    await _make_due(stage.database)
    await cleanups.run_due()
    stage.provider.deletion_fault = None
    await _make_due(stage.database)
    await cleanups.run_due()
    assert ended == ["deletion_failed", "deleted"]


async def test_recordings_left_by_a_dead_process_are_swept(stage: Stage) -> None:
    await stage.mint()
    await stage.mint(content="other")
    old, young = [row["voice_id"] for row in await stage.database.fetch("SELECT voice_id FROM voices ORDER BY 1")]
    await stage.database.execute(f"UPDATE voices SET status_since = now() - interval '1 hour' WHERE voice_id = '{old}'")
    stage.provider.uploads = {1: old, 2: young, 3: "kyma_ffffffffffffffff"}
    assert await stage.cleanups.sweep_uploads() == 1
    assert stage.provider.uploads == {2: young, 3: "kyma_ffffffffffffffff"}, "what may be in use, or another's, stays"
    assert await stage.cleanups.sweep_uploads() == 0
