"""The library's books: whose voices are listed, in which order, and what a deletion leaves to be done."""

from __future__ import annotations

import asyncio

import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.voices import registry
from kyma_proxy.voices.library import UnknownCursorError, VoiceLibrary
from kyma_proxy.voices.provider import ProviderError
from kyma_proxy.voices.registry import VoiceHome
from kyma_proxy.voices.uses import VoiceUses
from mint_kit import Stage, voice_id_of


def library_of(stage: Stage) -> VoiceLibrary:
    return VoiceLibrary(stage.database, stage.cleanups, VoiceUses(stage.database), stage.tasks)


async def made(stage: Stage, count: int) -> list[str]:
    return [voice_id_of(await stage.mint(content=f"recording {number}")) for number in range(count)]


async def other_account(stage: Stage) -> str:
    opened = await stage.database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))
    return opened.account_id


async def test_pages_are_of_the_account_and_the_newest_come_first(stage: Stage) -> None:
    voices, library = await made(stage, 3), library_of(stage)
    first = await library.page(stage.account_id, 2)
    assert ([voice.voice_id for voice in first.voices], first.has_more) == (voices[:0:-1], True)
    second = await library.page(stage.account_id, 2, after=voices[1])
    assert ([voice.voice_id for voice in second.voices], second.has_more) == ([voices[0]], False)
    assert [voice.state for voice in first.voices] == ["active", "active"]
    assert not (await library.page(await other_account(stage), 10)).voices


async def test_a_cursor_is_good_after_its_voice_was_deleted_and_never_for_others(stage: Stage) -> None:
    voices, library = await made(stage, 2), library_of(stage)
    assert await library.delete(stage.account_id, voices[1])
    assert [voice.voice_id for voice in (await library.page(stage.account_id, 9, voices[1])).voices] == [voices[0]]
    for account_id, after in ((await other_account(stage), voices[0]), (stage.account_id, "kyma_0")):
        with pytest.raises(UnknownCursorError):
            await library.page(account_id, 9, after)


@pytest.mark.parametrize("text", ["\0", "kyma_\0", "\ud800", "", "a" * 300])
async def test_what_can_be_no_id_is_no_voice(stage: Stage, text: str) -> None:
    library = library_of(stage)
    assert await library.find(text) is None
    with pytest.raises(UnknownCursorError):
        await library.page(stage.account_id, 9, text)


async def test_a_deleted_voice_is_nobodys_at_once_and_gone_at_the_provider_soon(stage: Stage) -> None:
    (voice_id,), library = await made(stage, 1), library_of(stage)
    assert await library.delete(stage.account_id, voice_id)
    assert await stage.statuses() == ["revoked"]
    found = await library.find(voice_id)
    assert found is not None
    assert not found.is_there_for(stage.account_id)
    assert await stage.tasks.drain(5)
    assert not stage.provider.voices
    assert await stage.database.fetchval("SELECT count(*) FROM provider_cleanups") == 0
    assert not await library.delete(stage.account_id, voice_id)
    assert await library.rename(stage.account_id, voice_id, "Ada") is None


async def test_a_deletion_is_tried_until_it_is_done_by_whichever_process_lives(stage: Stage) -> None:
    (voice_id,), library = await made(stage, 1), library_of(stage)
    stage.provider.deletion_fault = ProviderError("away")
    assert await library.delete(stage.account_id, voice_id)
    assert await stage.tasks.drain(5)
    assert stage.provider.voices == {voice_id}
    stage.provider.deletion_fault = None
    await stage.database.execute("UPDATE provider_cleanups SET due_at = now()")
    await stage.reconciler.run()
    assert not stage.provider.voices


async def test_a_crash_behind_the_revocation_leaves_the_deletion_on_file(stage: Stage) -> None:
    (voice_id,) = await made(stage, 1)
    dying = VoiceLibrary(stage.database, stage.cleanups, VoiceUses(stage.database), _Dead())
    assert await dying.delete(stage.account_id, voice_id)
    assert stage.provider.voices == {voice_id}
    await stage.reconciler.run()
    assert not stage.provider.voices


async def test_two_who_delete_the_same_voice_delete_it_once(stage: Stage) -> None:
    (voice_id,), library = await made(stage, 1), library_of(stage)
    done = await asyncio.gather(*(library.delete(stage.account_id, voice_id) for _ in range(5)))
    assert sorted(done) == [False] * 4 + [True]


async def test_others_can_neither_rename_nor_delete(stage: Stage) -> None:
    (voice_id,), library, other = await made(stage, 1), library_of(stage), await other_account(stage)
    assert await library.rename(other, voice_id, "mine") is None
    assert not await library.delete(other, voice_id)
    renamed = await library.rename(stage.account_id, voice_id, "Näme")
    assert renamed is not None
    assert (renamed.name, renamed.kind) == ("Näme", "clone")
    assert await stage.statuses() == ["active"]


async def test_a_voice_that_its_provider_calls_otherwise_is_found_by_both_ids_and_deleted_by_that(stage: Stage) -> None:
    voice_id = voice_id_of(await stage.mint(own_id="ttv-voice-1"))
    library = library_of(stage)
    for each in (voice_id, "ttv-voice-1"):
        found = await library.find(each)
        assert found is not None
        assert found.voice_id == voice_id
    assert await library.delete(stage.account_id, "ttv-voice-1")
    assert await stage.tasks.drain(5)
    assert stage.provider.calls[-1] == "delete ttv-voice-1"


async def test_an_adopted_voice_is_deleted_too(stage: Stage) -> None:
    home = VoiceHome("minimax", "default")
    await stage.database.transact(
        lambda connection: registry.adopt(connection, "Narrator (deep)", stage.account_id, None, home)
    )
    assert await library_of(stage).delete(stage.account_id, "Narrator (deep)")
    assert await stage.tasks.drain(5)
    assert stage.provider.calls == ["delete Narrator (deep)"]


async def test_states_tell_what_became_of_a_voice(stage: Stage) -> None:
    stage.provider.unused_seconds = 3600
    (voice_id,), library = await made(stage, 1), library_of(stage)
    found = await library.find(voice_id)
    assert found is not None
    assert found.expires_at is not None
    assert 3590 < (found.expires_at - found.created_at).total_seconds() <= 3600
    for change, state in (("expires_at = now()", "expired"), ("lost_at = now()", "lost")):
        await stage.database.execute(f"UPDATE voices SET {change}")
        found = await library.find(voice_id)
        assert found is not None
        assert found.state == state


class _Dead:
    """The tasks of a process that dies now."""

    def oblige(self, work: object, name: str) -> None:
        work.close()  # type: ignore[attr-defined]
