"""The key directory: cached, bounded, and never fooled about a revoked key."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kyma_proxy.accounts.accounts import OpenedAccount, open_account
from kyma_proxy.accounts.directory import KeyDirectory
from kyma_proxy.accounts.keys import list_keys, revoke_key
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.feed import ChangeFeed
from kyma_proxy.database.outage import Outage
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.tasks import Tasks


@pytest.fixture
async def opened(database: Database) -> OpenedAccount:
    return await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))


@pytest.fixture
async def directory(database: Database, database_target: DatabaseTarget) -> AsyncIterator[KeyDirectory]:
    tasks = Tasks()
    feed = ChangeFeed(database_target, tasks)
    made = KeyDirectory(database, feed, max_entries=2)
    await feed.start()
    for _ in range(200):
        if feed.connected:
            break
        await asyncio.sleep(0.01)
    assert feed.connected
    yield made
    await feed.stop()
    await tasks.close()


@pytest.fixture
async def behind(relay: Any) -> AsyncIterator[KeyDirectory]:
    """A directory whose way to the database is the relay."""
    tasks = Tasks()
    feed = ChangeFeed(relay.target, tasks)
    pool = Database(relay.target, pool_size=2, acquire_timeout_seconds=1)
    made = KeyDirectory(pool, feed, outage=Outage(feed, tasks, believe_seconds=60))
    await pool.start()
    await feed.start()
    assert feed.connected
    yield made
    await feed.stop()
    await pool.stop()
    await tasks.close()


async def revoke_all(database: Database, account_id: str) -> None:
    for key in await database.transact(lambda connection: list_keys(connection, account_id)):
        await database.transact(lambda connection, key_id=key.key_id: revoke_key(connection, key_id))


async def test_a_key_seen_before_costs_no_round_trip(
    database: Database, directory: KeyDirectory, opened: OpenedAccount
) -> None:
    first = await directory.identify(opened.api_key)
    await database.stop()
    assert await directory.identify(opened.api_key) == first
    assert first is not None
    assert first.account_id == opened.account_id


async def test_a_key_that_cannot_be_looked_up_is_not_called_invalid(
    database: Database, directory: KeyDirectory, opened: OpenedAccount
) -> None:
    await database.stop()
    with pytest.raises(DatabaseUnavailableError):
        await directory.identify(opened.api_key)


async def test_unknown_keys_are_none_and_never_cached(database: Database, directory: KeyDirectory) -> None:
    assert await directory.identify("ky-unknown") is None
    assert repr(directory) == "KeyDirectory(0 keys cached)"


async def test_a_revocation_is_heard(database: Database, directory: KeyDirectory, opened: OpenedAccount) -> None:
    assert await directory.identify(opened.api_key)
    await revoke_all(database, opened.account_id)
    async with asyncio.timeout(2):
        while await directory.identify(opened.api_key) is not None:
            await asyncio.sleep(0.01)


async def test_a_look_up_that_overlaps_a_revocation_does_not_bring_the_key_back(
    database: Database, directory: KeyDirectory, opened: OpenedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = database.fetchrow

    async def slow(sql: str, *args: object) -> object:
        row = await answered(sql, *args)
        await revoke_all(database, opened.account_id)
        await asyncio.sleep(0.3)
        return row

    monkeypatch.setattr(database, "fetchrow", slow)
    assert await directory.identify(opened.api_key)
    monkeypatch.undo()
    assert await directory.identify(opened.api_key) is None


async def test_the_cache_is_bounded(database: Database, directory: KeyDirectory) -> None:
    for name in ("a", "b", "c"):
        made = await database.transact(lambda connection, name=name: open_account(connection, name, 0, "test"))
        assert await directory.identify(made.api_key)
    assert repr(directory) == "KeyDirectory(2 keys cached)"


async def test_while_the_database_is_away_a_key_seen_before_goes_on_and_no_other(
    behind: KeyDirectory, database: Database, relay: Any, opened: OpenedAccount
) -> None:
    seen = await behind.identify(opened.api_key)
    other = await database.transact(lambda connection: open_account(connection, "Bob", 0, "test"))
    await relay.stop()
    for _ in range(3):
        assert await behind.identify(opened.api_key) == seen
        for api_key in (other.api_key, "ky-unknown"):
            with pytest.raises(DatabaseUnavailableError):
                await behind.identify(api_key)
    assert await behind.identify("") is None, "what no key can be needs no database"


async def test_a_key_revoked_in_an_outage_is_refused_after_it_and_in_the_next(
    behind: KeyDirectory, database: Database, relay: Any, opened: OpenedAccount
) -> None:
    assert await behind.identify(opened.api_key)
    await relay.stop()
    assert await behind.identify(opened.api_key)
    await revoke_all(database, opened.account_id)
    await relay.start()
    async with asyncio.timeout(2):
        while await behind.identify(opened.api_key) is not None:
            await asyncio.sleep(0.01)
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await behind.identify(opened.api_key)


async def test_a_line_that_listens_again_is_enough_to_forget(
    behind: KeyDirectory, relay: Any, opened: OpenedAccount
) -> None:
    assert await behind.identify(opened.api_key)
    relay.cut()
    async with asyncio.timeout(2):
        while repr(behind) != "KeyDirectory(0 keys cached)":
            await asyncio.sleep(0.01)
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await behind.identify(opened.api_key)


async def test_a_key_that_was_revoked_is_not_known_once_the_news_came(
    behind: KeyDirectory, database: Database, relay: Any, opened: OpenedAccount
) -> None:
    assert await behind.identify(opened.api_key)
    await revoke_all(database, opened.account_id)
    async with asyncio.timeout(2):
        while repr(behind) != "KeyDirectory(0 keys cached)":
            await asyncio.sleep(0.01)
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await behind.identify(opened.api_key)
