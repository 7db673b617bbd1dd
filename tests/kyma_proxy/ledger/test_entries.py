"""Adjustments by hand."""

import asyncio

import pytest

from kyma_proxy.accounts.accounts import Account, adjust_account, get_account, open_account
from kyma_proxy.database.pool import Database
from kyma_proxy.ledger.audit import audit
from kyma_proxy.ledger.entries import Adjustment, RefReusedError
from kyma_proxy.ledger.holds import InsufficientFundsError


async def opened(database: Database, credit_micros: int = 5_000_000) -> str:
    made = await database.transact(lambda connection: open_account(connection, "test", credit_micros, "test"))
    return made.account_id


async def adjust(database: Database, account_id: str, adjustment: Adjustment) -> Account:
    return await database.transact(lambda connection: adjust_account(connection, account_id, adjustment))


async def test_credits_and_debits_move_the_balance_and_leave_entries(database: Database) -> None:
    account_id = await opened(database)
    await adjust(database, account_id, Adjustment("credit", 1_000_000, "ops", note="goodwill"))
    account = await adjust(database, account_id, Adjustment("debit", 500_000, "ops"))
    assert account.balance_micros == 5_500_000
    rows = await database.fetch("SELECT kind, amount_micros, actor, note FROM entries ORDER BY entry_id")
    assert [tuple(row) for row in rows] == [
        ("credit", 5_000_000, "test", "opening credit"),
        ("credit", 1_000_000, "ops", "goodwill"),
        ("debit", 500_000, "ops", None),
    ]
    assert not (await database.borrow(audit)).problems


async def test_the_same_ref_again_changes_nothing_even_in_parallel(database: Database) -> None:
    account_id = await opened(database)
    adjustment = Adjustment("credit", 1_000_000, "ops", ref="invoice-7")
    await asyncio.gather(*(adjust(database, account_id, adjustment) for _ in range(8)))
    account = await database.transact(lambda connection: get_account(connection, account_id))
    assert account.balance_micros == 6_000_000


@pytest.mark.parametrize("other", [Adjustment("credit", 2, "ops", ref="r"), Adjustment("debit", 1, "ops", ref="r")])
async def test_a_ref_for_something_else_is_refused(database: Database, other: Adjustment) -> None:
    account_id = await opened(database)
    await adjust(database, account_id, Adjustment("credit", 1, "ops", ref="r"))
    with pytest.raises(RefReusedError):
        await adjust(database, account_id, other)


async def test_refs_belong_to_an_account(database: Database) -> None:
    first, second = await opened(database), await opened(database)
    await adjust(database, first, Adjustment("credit", 1, "ops", ref="r"))
    account = await adjust(database, second, Adjustment("credit", 1, "ops", ref="r"))
    assert account.balance_micros == 5_000_001


async def test_a_debit_above_the_available_balance_leaves_nothing_behind(database: Database) -> None:
    account_id = await opened(database)
    with pytest.raises(InsufficientFundsError):
        await adjust(database, account_id, Adjustment("debit", 5_000_001, "ops", ref="r"))
    assert await database.fetchval("SELECT count(*) FROM entries") == 1


@pytest.mark.parametrize("amount_micros", [0, -1])
def test_an_adjustment_is_above_zero(amount_micros: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Adjustment("credit", amount_micros, "ops")
