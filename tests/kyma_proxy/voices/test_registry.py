"""The register of voices."""

import asyncpg
import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.accounts.keys import UnknownAccountError
from kyma_proxy.database.pool import Database
from kyma_proxy.voices import registry
from kyma_proxy.voices.registry import NewVoice, VoiceHome, VoiceTakenError

VOICE = "kyma_0123456789abcdef"
ORIGIN = VoiceHome("minimax", "default")


@pytest.fixture
async def account_id(database: Database) -> str:
    return (await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))).account_id


async def add(database: Database, account_id: str) -> None:
    await database.transact(
        lambda connection: registry.add_pending(connection, NewVoice(VOICE, account_id, "n", "clone", ORIGIN))
    )


async def status(database: Database) -> str | None:
    return await database.transact(lambda connection: registry.status_of(connection, VOICE))


async def test_states_move_by_compare_and_set(database: Database, account_id: str) -> None:
    await add(database, account_id)
    assert await database.transact(lambda connection: registry.activate(connection, VOICE))
    assert not await database.transact(lambda connection: registry.activate(connection, VOICE))
    assert await database.transact(lambda connection: registry.revoke(connection, VOICE)) == "revoked"
    assert await database.transact(lambda connection: registry.revoke(connection, VOICE)) == "revoked"


async def test_a_failed_voice_stays_failed(database: Database, account_id: str) -> None:
    await add(database, account_id)
    await database.execute("UPDATE voices SET status = 'failed'")
    assert not await database.transact(lambda connection: registry.activate(connection, VOICE))
    with pytest.raises(asyncpg.PostgresError, match="cannot go from failed to active"):
        await database.execute("UPDATE voices SET status = 'active'")


async def test_a_voice_never_changes_hands(database: Database, account_id: str) -> None:
    await add(database, account_id)
    other = await database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))
    with pytest.raises(asyncpg.PostgresError, match="keeps its ids and its owner"):
        await database.execute("UPDATE voices SET account_id = $1", other.account_id)


@pytest.mark.parametrize(("before", "burnt"), [(None, True), ("pending", True), ("active", False)])
async def test_burning_stops_what_is_not_yet_active(
    database: Database, account_id: str, before: str | None, burnt: bool
) -> None:
    if before is not None:
        await add(database, account_id)
    if before == "active":
        await database.transact(lambda connection: registry.activate(connection, VOICE))
    done = await database.transact(
        lambda connection: registry.burn(connection, NewVoice(VOICE, account_id, None, "clone", ORIGIN))
    )
    assert done is burnt
    assert await status(database) == ("failed" if burnt else "active")
    if before is None:
        with pytest.raises(asyncpg.UniqueViolationError):
            await add(database, account_id)


async def test_adopting_twice_changes_nothing_and_another_account_is_refused(
    database: Database, account_id: str
) -> None:
    other = await database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))
    for _ in range(2):
        await database.transact(lambda connection: registry.adopt(connection, VOICE, account_id, "old", ORIGIN))
    with pytest.raises(VoiceTakenError):
        await database.transact(lambda connection: registry.adopt(connection, VOICE, other.account_id, None, ORIGIN))
    (voice,) = await database.transact(registry.list_voices)
    assert (voice.account_id, voice.name, voice.status) == (account_id, "old", "active")


async def test_a_revoked_voice_cannot_be_adopted_again(database: Database, account_id: str) -> None:
    await database.transact(lambda connection: registry.adopt(connection, VOICE, account_id, None, ORIGIN))
    await database.transact(lambda connection: registry.revoke(connection, VOICE))
    with pytest.raises(VoiceTakenError):
        await database.transact(lambda connection: registry.adopt(connection, VOICE, account_id, None, ORIGIN))


async def test_what_a_provider_calls_a_voice_cannot_be_adopted_by_another_account(
    database: Database, account_id: str
) -> None:
    other = await database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))
    await add(database, account_id)
    await database.execute("UPDATE voices SET provider_voice_id = 'ttv-voice-1', status = 'active'")
    with pytest.raises(VoiceTakenError):
        await database.transact(
            lambda connection: registry.adopt(connection, "ttv-voice-1", other.account_id, None, ORIGIN)
        )
    await database.transact(lambda connection: registry.adopt(connection, "ttv-voice-1", account_id, "own", ORIGIN))
    (voice,) = await database.transact(registry.list_voices)
    assert (voice.voice_id, voice.account_id, voice.name) == (VOICE, account_id, "n")
    await database.transact(lambda connection: registry.revoke(connection, VOICE))
    with pytest.raises(VoiceTakenError):
        await database.transact(lambda connection: registry.adopt(connection, "ttv-voice-1", account_id, None, ORIGIN))


@pytest.mark.parametrize("voice_id", ["", "x" * 257, "a\0b"])
async def test_what_cannot_be_a_voice_id_is_refused(database: Database, account_id: str, voice_id: str) -> None:
    with pytest.raises(ValueError, match="cannot be a voice id"):
        await database.transact(lambda connection: registry.adopt(connection, voice_id, account_id, None, ORIGIN))


async def test_adopting_for_an_unknown_account_is_refused(database: Database) -> None:
    with pytest.raises(UnknownAccountError):
        await database.transact(lambda connection: registry.adopt(connection, VOICE, "acct_no", None, ORIGIN))


async def test_a_voice_that_is_not_on_file_has_no_state(database: Database) -> None:
    assert await status(database) is None
    assert await database.transact(lambda connection: registry.revoke(connection, VOICE)) is None


async def test_voices_are_listed_by_account(database: Database, account_id: str) -> None:
    await add(database, account_id)
    listed = await database.transact(lambda connection: registry.list_voices(connection, account_id))
    assert [each.voice_id for each in listed] == [VOICE]
    assert not await database.transact(lambda connection: registry.list_voices(connection, "acct_no"))
