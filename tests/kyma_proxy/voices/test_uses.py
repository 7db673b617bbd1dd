"""Uses are noted in memory and written for all at once; none is lost while the database is away."""

from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.voices.uses import VoiceUses
from mint_kit import FaultyDatabase, Stage, voice_id_of

LIFE = "SELECT first_used_at, last_used_at, expires_at, lost_at FROM voices WHERE voice_id = $1"


async def voice(stage: Stage, own_id: str | None = None) -> str:
    stage.provider.unused_seconds = 3600
    return voice_id_of(await stage.mint(own_id=own_id))


async def test_the_first_use_ends_the_expiry_and_later_ones_move_the_last(stage: Stage) -> None:
    voice_id, uses = await voice(stage), VoiceUses(stage.database)
    uses.spoke([voice_id])
    await uses.flush()
    first = await stage.database.fetchrow(LIFE, voice_id)
    assert first["first_used_at"] == first["last_used_at"]
    assert first["expires_at"] is None
    await asyncio.sleep(0.01)
    uses.spoke([voice_id])
    await uses.flush()
    second = await stage.database.fetchrow(LIFE, voice_id)
    assert second["first_used_at"] == first["first_used_at"]
    assert second["last_used_at"] > first["last_used_at"]


async def test_a_voice_may_be_noted_by_either_of_its_ids(stage: Stage) -> None:
    voice_id, uses = await voice(stage, own_id="ttv-voice-1"), VoiceUses(stage.database)
    uses.spoke(["ttv-voice-1", voice_id, "not-on-file"])
    await uses.flush()
    assert (await stage.database.fetchrow(LIFE, voice_id))["last_used_at"] is not None


async def test_a_lost_voice_is_marked_until_it_speaks_again(stage: Stage) -> None:
    voice_id, uses = await voice(stage), VoiceUses(stage.database)
    uses.lost(voice_id)
    await uses.flush()
    assert (await stage.database.fetchrow(LIFE, voice_id))["lost_at"] is not None
    uses.lost(voice_id)
    uses.spoke([voice_id])
    await uses.flush()
    life = await stage.database.fetchrow(LIFE, voice_id)
    assert life["lost_at"] is None
    assert life["last_used_at"] is not None


async def test_nothing_is_written_where_nothing_was_noted() -> None:
    await VoiceUses(None).flush()  # type: ignore[arg-type]


async def test_what_could_not_be_written_is_written_later(stage: Stage) -> None:
    voice_id = await voice(stage)
    uses = VoiceUses(FaultyDatabase(stage.database, "before"))
    uses.spoke([voice_id])
    uses.lost("kyma_1")
    with pytest.raises(DatabaseUnavailableError):
        await uses.flush()
    assert repr(uses) == "VoiceUses(1 used and 1 lost voices to be written)"
    await uses.flush()
    assert (await stage.database.fetchrow(LIFE, voice_id))["last_used_at"] is not None
    assert repr(uses) == "VoiceUses(0 used and 0 lost voices to be written)"


async def test_processes_that_write_the_same_voices_at_once_do_not_wait_for_each_other_for_ever(stage: Stage) -> None:
    voices = [voice_id_of(await stage.mint(content=f"{number}")) for number in range(3)]
    writers = [VoiceUses(stage.database) for _ in range(4)]

    async def write(uses: VoiceUses, turn: int) -> None:
        for _ in range(20):
            uses.spoke(voices[::-1] if turn % 2 else voices)
            await uses.flush()

    async with asyncio.timeout(30):
        await asyncio.gather(*(write(uses, turn) for turn, uses in enumerate(writers)))
