"""Adjustments by hand."""

import asyncio

import pytest

from kyma_proxy.accounts.accounts import Account, adjust_account, get_account, open_account
from kyma_proxy.database.pool import Database
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.audit import audit
from kyma_proxy.ledger.entries import (
    Adjustment,
    RefReusedError,
    ReversalError,
    UnknownEntryError,
    list_entries,
    reverse,
)
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


async def reversal(database: Database, account_id: str, entry_id: int) -> bool:
    return await database.transact(lambda connection: reverse(connection, account_id, entry_id, "ops", "mistake"))


async def test_a_charge_reversed_is_a_refund_and_happens_once(database: Database) -> None:
    account_id = await opened(database)
    await database.transact(lambda connection: holds.hold(connection, account_id, "hold_1", 2_100_000, "clone"))
    await database.transact(lambda connection: holds.post(connection, account_id, "hold_1"))
    charge = (await database.transact(lambda connection: list_entries(connection, account_id)))[-1]
    assert (charge.kind, charge.amount_micros) == ("charge", -2_100_000)
    outcomes = await asyncio.gather(*(reversal(database, account_id, charge.entry_id) for _ in range(6)))
    assert sorted(outcomes) == [False] * 5 + [True]
    account = await database.transact(lambda connection: get_account(connection, account_id))
    assert account.balance_micros == 5_000_000
    assert not (await database.borrow(audit)).problems
    last = (await database.transact(lambda connection: list_entries(connection, account_id)))[-1]
    assert (last.kind, last.amount_micros, last.note) == ("reversal", 2_100_000, "mistake")
    with pytest.raises(ReversalError):
        await reversal(database, account_id, last.entry_id)


async def test_a_credit_that_is_spent_cannot_be_reversed(database: Database) -> None:
    account_id = await opened(database)
    await adjust(database, account_id, Adjustment("debit", 1, "ops"))
    (credit, _) = await database.transact(lambda connection: list_entries(connection, account_id))
    with pytest.raises(InsufficientFundsError):
        await reversal(database, account_id, credit.entry_id)
    assert len(await database.transact(lambda connection: list_entries(connection, account_id))) == 2


async def test_an_entry_of_another_account_cannot_be_reversed(database: Database) -> None:
    first, second = await opened(database), await opened(database)
    (entry,) = await database.transact(lambda connection: list_entries(connection, first))
    with pytest.raises(UnknownEntryError):
        await reversal(database, second, entry.entry_id)
