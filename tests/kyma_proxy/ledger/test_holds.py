"""Holds against real PostgreSQL: the guard, the states, a model."""

import asyncio
from typing import Any

import asyncpg
import pytest

from kyma_proxy.accounts.accounts import get_account, open_account
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.audit import audit
from kyma_proxy.ledger.holds import HoldEndedError, InsufficientFundsError

PRICE = 2_100_000


async def account_with(database: Database, credit_micros: int) -> str:
    opened = await database.transact(lambda connection: open_account(connection, "test", credit_micros, "test"))
    return opened.account_id


async def hold(database: Database, account_id: str, amount_micros: int = PRICE) -> str:
    hold_id = holds.new_hold_id()
    await database.transact(lambda connection: holds.hold(connection, account_id, hold_id, amount_micros, "clone"))
    return hold_id


async def standing(database: Database, account_id: str) -> tuple[int, int]:
    account = await database.transact(lambda connection: get_account(connection, account_id))
    return account.balance_micros, account.held_micros


async def test_a_hold_sets_money_aside_and_posting_charges_it(database: Database) -> None:
    account_id = await account_with(database, 25_000_000)
    hold_id = await hold(database, account_id)
    assert await standing(database, account_id) == (25_000_000, PRICE)
    assert await database.transact(lambda connection: holds.post(connection, account_id, hold_id)) == 22_900_000
    assert await standing(database, account_id) == (22_900_000, 0)
    assert not (await database.borrow(audit)).problems


async def test_a_void_gives_the_money_back_once(database: Database) -> None:
    account_id = await account_with(database, PRICE)
    hold_id = await hold(database, account_id)
    assert await database.transact(lambda connection: holds.void(connection, account_id, hold_id))
    assert not await database.transact(lambda connection: holds.void(connection, account_id, hold_id))
    assert await standing(database, account_id) == (PRICE, 0)


@pytest.mark.parametrize("first", [holds.post, holds.void])
async def test_a_hold_that_has_ended_cannot_be_posted(database: Database, first: Any) -> None:
    account_id = await account_with(database, 3 * PRICE)
    hold_id = await hold(database, account_id)
    await database.transact(lambda connection: first(connection, account_id, hold_id))
    before = await standing(database, account_id)
    with pytest.raises(HoldEndedError):
        await database.transact(lambda connection: holds.post(connection, account_id, hold_id))
    assert await standing(database, account_id) == before


async def test_exactly_the_available_balance_can_be_held(database: Database) -> None:
    account_id = await account_with(database, PRICE)
    await hold(database, account_id)
    with pytest.raises(InsufficientFundsError):
        await hold(database, account_id, 1)


async def test_one_micro_dollar_short_is_short(database: Database) -> None:
    account_id = await account_with(database, PRICE - 1)
    with pytest.raises(InsufficientFundsError):
        await hold(database, account_id)
    assert await standing(database, account_id) == (PRICE - 1, 0)


async def test_parallel_holds_never_overspend(database: Database) -> None:
    account_id = await account_with(database, 3 * PRICE + 1)
    outcomes = await asyncio.gather(*(hold(database, account_id) for _ in range(30)), return_exceptions=True)
    assert sum(isinstance(each, str) for each in outcomes) == 3
    assert sum(isinstance(each, InsufficientFundsError) for each in outcomes) == 27
    assert await standing(database, account_id) == (3 * PRICE + 1, 3 * PRICE)


async def test_the_schema_itself_refuses_what_the_code_must_not_do(database: Database) -> None:
    account_id = await account_with(database, 2 * PRICE)
    hold_id = await hold(database, account_id)
    await database.transact(lambda connection: holds.post(connection, account_id, hold_id))
    for statement in (
        "UPDATE accounts SET balance_micros = held_micros - 1",
        "UPDATE holds SET state = 'held', ended_at = NULL",
        "UPDATE holds SET state = 'voided'",
        "UPDATE entries SET amount_micros = 1",
        "DELETE FROM entries",
        "TRUNCATE entries",
        (
            "INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, hold_id, actor)"
            " SELECT account_id, account_id, 'house:revenue', amount_micros, 'charge', hold_id, 'test' FROM holds"
        ),
    ):
        with pytest.raises(asyncpg.PostgresError):
            await database.execute(statement)
    assert not (await database.borrow(audit)).problems


async def test_a_hold_vanishes_with_the_transaction_it_was_made_in(database: Database) -> None:
    account_id = await account_with(database, PRICE)

    async def fail(connection: Connection) -> None:
        await holds.hold(connection, account_id, holds.new_hold_id(), PRICE, "clone")
        raise KeyError

    with pytest.raises(KeyError):
        await database.transact(fail)
    assert await standing(database, account_id) == (PRICE, 0)
