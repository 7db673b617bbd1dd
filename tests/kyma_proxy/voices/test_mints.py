"""The rows of mints, and what the schema itself refuses to do with them."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.ledger import holds
from kyma_proxy.voices import mints, registry
from kyma_proxy.voices.attempts import fingerprint_of
from kyma_proxy.voices.mints import LeaseLostError, Mint, Terms
from kyma_proxy.voices.registry import NewVoice, VoiceHome
from mint_kit import PRICE

TERMS = Terms(fingerprint_of("content"), 7, 30.0)


@pytest.fixture
async def mint(database: Database) -> Mint:
    """A mint that has begun."""
    opened = await database.transact(lambda connection: open_account(connection, "Ada", PRICE, "test"))
    voice = NewVoice("kyma_0123456789abcdef", opened.account_id, None, "clone", VoiceHome("minimax", "default"))
    begun = Mint(voice, holds.new_hold_id())

    async def begin(connection: Connection) -> None:
        await mints.add(connection, begun, TERMS)
        await holds.hold(connection, begun.account_id, begun.hold_id, PRICE, "clone")

    await database.transact(begin)
    return begun


async def test_a_mint_ends_once(database: Database, mint: Mint) -> None:
    async def complete(connection: Connection) -> bool:
        done = await mints.complete(connection, mint)
        if done:
            await holds.post(connection, mint.account_id, mint.hold_id)
        return done

    assert await database.transact(complete)
    assert not await database.transact(complete)
    assert await database.transact(lambda connection: mints.fail(connection, mint, None)) == "active"
    assert await database.fetchval("SELECT held_micros FROM accounts") == 0


async def test_a_mint_fails_once_and_gives_back_once(database: Database, mint: Mint) -> None:
    for _ in range(2):
        assert await database.transact(lambda connection: mints.fail(connection, mint, 60.0)) == "failed"
    assert not await database.transact(lambda connection: mints.complete(connection, mint))
    row = await database.fetchrow("SELECT balance_micros, held_micros FROM accounts")
    assert row is not None
    assert (row["balance_micros"], row["held_micros"]) == (PRICE, 0)
    assert await database.fetchval("SELECT count(*) FROM provider_cleanups") == 1


async def test_only_what_ran_out_is_left_over_and_one_process_gets_it(database: Database, mint: Mint) -> None:
    assert await database.transact(mints.find_left_over) is None
    await database.execute("UPDATE mints SET lease_until = clock_timestamp()")
    taken, seen = asyncio.Event(), asyncio.Event()

    async def take(connection: Connection) -> Mint | None:
        found = await mints.find_left_over(connection)
        taken.set()
        await seen.wait()
        return found

    taker = asyncio.get_running_loop().create_task(database.transact(take))
    await taken.wait()
    assert await database.transact(mints.find_left_over) is None, "the row is another's, and is not waited for"
    seen.set()
    assert await taker == mint


async def test_a_mint_that_an_earlier_version_failed_is_not_left_over_for_ever(database: Database, mint: Mint) -> None:
    await database.execute("UPDATE voices SET status = 'failed'")
    await database.execute("UPDATE holds SET state = 'voided', ended_at = now()")
    await database.execute("UPDATE accounts SET held_micros = 0")
    await database.execute("UPDATE mints SET lease_until = clock_timestamp()")
    assert await database.transact(lambda connection: mints.fail(connection, mint, 60.0)) == "failed"
    assert await database.transact(mints.find_left_over) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE mints SET completed_at = now()", "KY006"),
        ("UPDATE mints SET lease_until = now() + interval '1 hour'", "KY005"),
    ],
)
async def test_the_schema_refuses_to_revive_what_has_ended(
    database: Database, mint: Mint, change: str, code: str
) -> None:
    await database.transact(lambda connection: mints.fail(connection, mint, None))
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute(change)
    assert caught.value.sqlstate == code


async def test_the_schema_refuses_to_complete_after_the_lease(database: Database, mint: Mint) -> None:
    await database.execute("UPDATE mints SET lease_until = clock_timestamp()")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await database.execute("UPDATE mints SET lease_until = NULL, completed_at = now()")
    assert caught.value.sqlstate == "KY006"


async def test_a_lease_that_ends_in_the_very_moment_is_lost(
    database: Database, mint: Mint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.execute("UPDATE mints SET lease_until = clock_timestamp()")
    unguarded = mints._COMPLETE.replace("AND lease_until > clock_timestamp()", "")
    assert unguarded != mints._COMPLETE
    monkeypatch.setattr(mints, "_COMPLETE", unguarded)
    with pytest.raises(LeaseLostError):
        await database.transact(lambda connection: mints.complete(connection, mint))
    assert await database.transact(lambda connection: registry.status_of(connection, mint.voice_id)) == "pending"


async def test_renewing_counts_from_the_databases_now(database: Database, mint: Mint) -> None:
    await database.transact(lambda connection: mints.renew(connection, [mint.voice_id, "kyma_other"], 500.0))
    left = await database.fetchval("SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 FROM mints")
    assert 490 < left <= 500
