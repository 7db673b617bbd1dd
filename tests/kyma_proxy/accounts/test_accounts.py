"""Opening accounts."""

import pytest

from kyma_proxy.accounts.accounts import get_account, list_accounts, open_account
from kyma_proxy.accounts.keys import UnknownAccountError
from kyma_proxy.database.pool import Database


async def test_an_account_opens_with_a_key_and_its_credit(database: Database) -> None:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 25_000_000, "test"))
    account = await database.transact(lambda connection: get_account(connection, opened.account_id))
    assert (account.name, account.balance_micros, account.held_micros) == ("Ada", 25_000_000, 0)
    assert opened.api_key.startswith("ky-")


async def test_an_account_may_open_without_credit(database: Database) -> None:
    await database.transact(lambda connection: open_account(connection, "Ada", 0, "test"))
    assert await database.fetchval("SELECT count(*) FROM entries") == 0
    (account,) = await database.transact(list_accounts)
    assert account.balance_micros == 0


@pytest.mark.parametrize(("name", "credit"), [("", 0), ("a\0b", 0), ("x" * 201, 0), ("Ada", -1)])
async def test_what_cannot_be_an_account_is_refused(database: Database, name: str, credit: int) -> None:
    with pytest.raises(ValueError, match=r"account|credit"):
        await database.transact(lambda connection: open_account(connection, name, credit, "test"))
    assert not await database.transact(list_accounts)


async def test_an_unknown_account_is_said_to_be_unknown(database: Database) -> None:
    with pytest.raises(UnknownAccountError):
        await database.transact(lambda connection: get_account(connection, "acct_no"))
