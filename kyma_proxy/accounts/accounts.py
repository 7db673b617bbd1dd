"""Accounts: opening them, showing them, moving money by hand."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from kyma_proxy.accounts.keys import UnknownAccountError, add_key, new_api_key
from kyma_proxy.database.pool import Connection
from kyma_proxy.ledger.entries import Adjustment, adjust

_COLUMNS = "account_id, name, balance_micros, held_micros"


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its posted balance and what open holds set aside of it, in micro-dollars."""

    account_id: str
    name: str
    balance_micros: int
    held_micros: int


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """A new account and its first key, which is not shown again."""

    account_id: str
    api_key: str


async def open_account(connection: Connection, name: str, credit_micros: int, actor: str) -> OpenedAccount:
    """Open an account with a first key and an opening credit, inside the caller's transaction.

    `name` is 1–200 characters; `credit_micros` may be zero. Raises ValueError for a bad name or a negative credit.
    """
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise ValueError("an account's name is 1 to 200 printable characters")
    if credit_micros < 0:
        raise ValueError("the opening credit cannot be negative")
    account_id = f"acct_{secrets.token_hex(8)}"
    await connection.execute("INSERT INTO accounts (account_id, name) VALUES ($1, $2)", account_id, name)
    api_key = new_api_key()
    await add_key(connection, account_id, api_key)
    if credit_micros:
        await adjust(connection, account_id, Adjustment("credit", credit_micros, actor, note="opening credit"))
    return OpenedAccount(account_id, api_key)


async def list_accounts(connection: Connection) -> Sequence[Account]:
    """Every account, oldest first."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM accounts ORDER BY created_at, account_id")  # noqa: S608
    return [Account(**row) for row in rows]


async def get_account(connection: Connection, account_id: str) -> Account:
    """One account. Raises UnknownAccountError."""
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM accounts WHERE account_id = $1", account_id)  # noqa: S608
    if row is None:
        raise UnknownAccountError(account_id)
    return Account(**row)


async def adjust_account(connection: Connection, account_id: str, adjustment: Adjustment) -> Account:
    """Credit or debit an account by hand and return it as it then is, inside the caller's transaction.

    Raises UnknownAccountError, and what `kyma_proxy.ledger.entries.adjust` raises.
    """
    await get_account(connection, account_id)
    await adjust(connection, account_id, adjustment)
    return await get_account(connection, account_id)
