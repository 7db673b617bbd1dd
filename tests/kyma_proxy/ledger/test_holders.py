"""Holders: what a process held that is not heard of any more is given back by any other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kyma_proxy.accounts.accounts import get_account, open_account
from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.pool import Database
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.audit import audit
from kyma_proxy.ledger.holders import Holder, expire_left_over
from kyma_proxy.ledger.holds import NewHold, new_hold_id

PRICE = 1_000


async def funded(database: Database) -> str:
    opened = await database.transact(lambda connection: open_account(connection, "test", 10 * PRICE, "test"))
    return opened.account_id


async def held_by(database: Database, holder: Holder, account_id: str) -> str:
    await holder.require_lease()
    hold = NewHold(new_hold_id(), PRICE, "speech")
    assert await holds.hold_all(database, account_id, [hold], holder.holder_id) is not None
    return hold.hold_id


async def standing(database: Database, account_id: str) -> tuple[int, int]:
    account = await database.transact(lambda connection: get_account(connection, account_id))
    return account.balance_micros, account.held_micros


async def run_out(database: Database, holder: Holder) -> None:
    """The process was not heard of for as long as its lease."""
    await database.execute(
        "UPDATE holders SET lease_until = clock_timestamp() - interval '1 second' WHERE holder_id = $1",
        holder.holder_id,
    )


async def test_the_holds_of_a_process_without_a_lease_are_given_back(database: Database) -> None:
    first, second = await funded(database), await funded(database)
    dead, alive = Holder(database), Holder(database)
    for account_id in (first, first, second):
        await held_by(database, dead, account_id)
    kept = await held_by(database, alive, second)
    await run_out(database, dead)
    expired: list[None] = []
    assert await expire_left_over(database, lambda: expired.append(None)) == len(expired) == 3
    assert await standing(database, first) == (10 * PRICE, 0)
    assert await standing(database, second) == (10 * PRICE, PRICE)
    assert await expire_left_over(database) == 0
    assert await holds.end_all(database, second, {kept: True}) == {kept}
    assert not (await database.borrow(audit)).problems


async def test_what_expired_cannot_be_posted(database: Database) -> None:
    account_id, holder = await funded(database), Holder(database)
    hold_id = await held_by(database, holder, account_id)
    await run_out(database, holder)
    await expire_left_over(database)
    assert await holds.end_all(database, account_id, {hold_id: True}) == frozenset()
    assert await standing(database, account_id) == (10 * PRICE, 0)


async def test_a_renewed_lease_keeps_what_was_not_expired_yet(database: Database) -> None:
    account_id, holder = await funded(database), Holder(database)
    await held_by(database, holder, account_id)
    await run_out(database, holder)
    await holder.renew()
    assert await expire_left_over(database) == 0
    assert await standing(database, account_id) == (10 * PRICE, PRICE)


async def test_a_process_that_leaves_is_not_waited_for(database: Database) -> None:
    account_id, holder = await funded(database), Holder(database)
    await held_by(database, holder, account_id)
    await holder.leave()
    assert await expire_left_over(database) == 1
    assert await standing(database, account_id) == (10 * PRICE, 0)


async def test_the_holds_of_mints_are_left_alone(database: Database) -> None:
    account_id = await funded(database)
    hold_id = new_hold_id()
    await database.transact(lambda connection: holds.hold(connection, account_id, hold_id, PRICE, "clone"))
    assert await expire_left_over(database) == 0
    assert await standing(database, account_id) == (10 * PRICE, PRICE)


async def test_two_processes_that_expire_and_one_that_posts_agree(database: Database) -> None:
    account_id, holder = await funded(database), Holder(database)
    held = [await held_by(database, holder, account_id) for _ in range(8)]
    await run_out(database, holder)
    ended = await asyncio.gather(
        expire_left_over(database),
        holds.end_all(database, account_id, dict.fromkeys(reversed(held), True)),
        expire_left_over(database),
    )
    posted = len(ended[1])
    assert ended[0] + ended[2] + posted == 8
    assert await standing(database, account_id) == ((10 - posted) * PRICE, 0)
    assert not (await database.borrow(audit)).problems


async def test_a_lease_is_asked_for_only_when_there_is_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Holder(database)
    asked: list[Any] = []
    real = database.execute

    async def counted(*arguments: Any) -> str:
        asked.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(database, "execute", counted)
    for _ in range(3):
        await holder.require_lease()
    assert len(asked) == 1


async def test_leaving_without_a_database_raises_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_arguments: Any) -> str:
        raise DatabaseUnavailableError

    holder = Holder(database)
    monkeypatch.setattr(database, "execute", away)
    with pytest.raises(DatabaseUnavailableError):
        await holder.require_lease()
    await holder.leave()


async def test_holders_of_long_ago_are_forgotten(database: Database) -> None:
    await database.execute("INSERT INTO holders VALUES ('holder_old', now() - interval '2 days')")
    await expire_left_over(database)
    assert await database.fetchval("SELECT count(*) FROM holders WHERE holder_id = 'holder_old'") == 0
