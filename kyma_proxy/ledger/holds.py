"""Holds: money set aside for something, then posted (charged) or voided (given back), once.

Each function is one statement inside the caller's transaction, because a hold shares its transaction with what it
pays for. The account's row is locked last and for the shortest time: it is what concurrent requests queue on.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from kyma_proxy.database.pool import Connection

_HOLD = """
WITH funded AS (
    UPDATE accounts SET held_micros = held_micros + $3
    WHERE account_id = $1 AND balance_micros - held_micros >= $3
    RETURNING account_id)
INSERT INTO holds (account_id, hold_id, amount_micros, purpose)
SELECT account_id, $2, $3, $4 FROM funded
RETURNING hold_id
"""

_POST = """
WITH ended AS (
    UPDATE holds SET state = 'posted', ended_at = now()
    WHERE account_id = $1 AND hold_id = $2 AND state = 'held'
    RETURNING account_id, hold_id, amount_micros),
entered AS (
    INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, hold_id, actor)
    SELECT account_id, account_id, 'house:revenue', amount_micros, 'charge', hold_id, 'gateway' FROM ended)
UPDATE accounts
SET balance_micros = balance_micros - ended.amount_micros, held_micros = held_micros - ended.amount_micros
FROM ended WHERE accounts.account_id = ended.account_id
RETURNING balance_micros
"""

_VOID = """
WITH ended AS (
    UPDATE holds SET state = 'voided', ended_at = now()
    WHERE account_id = $1 AND hold_id = $2 AND state = 'held'
    RETURNING account_id, amount_micros)
UPDATE accounts SET held_micros = held_micros - ended.amount_micros
FROM ended WHERE accounts.account_id = ended.account_id
RETURNING accounts.account_id
"""


_OPEN = """
SELECT count(*) AS count, extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_seconds
FROM holds WHERE state = 'held'
"""


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """How many holds are open, and the age of the oldest in seconds; None without one."""

    count: int
    oldest_seconds: float | None


class InsufficientFundsError(Exception):
    """The available balance (posted balance minus open holds) does not cover the amount; nothing was held."""


class HoldEndedError(Exception):
    """The hold was posted, voided or expired before, or never existed; nothing was changed."""


def new_hold_id() -> str:
    """A fresh hold id: `hold_` and 24 hex digits."""
    return f"hold_{secrets.token_hex(12)}"


async def hold(connection: Connection, account_id: str, hold_id: str, amount_micros: int, purpose: str) -> None:
    """Set `amount_micros` of the available balance aside.

    One guarded statement decides: no balance read earlier admits anyone. Raises InsufficientFundsError.
    """
    if await connection.fetchval(_HOLD, account_id, hold_id, amount_micros, purpose) is None:
        raise InsufficientFundsError


async def post(connection: Connection, account_id: str, hold_id: str) -> int:
    """Charge a hold in full and return the posted balance after it, in micro-dollars. Raises HoldEndedError."""
    balance_micros: int | None = await connection.fetchval(_POST, account_id, hold_id)
    if balance_micros is None:
        raise HoldEndedError(hold_id)
    return balance_micros


async def void(connection: Connection, account_id: str, hold_id: str) -> bool:
    """Give a hold back. False if it had ended before or never existed, and then nothing was changed."""
    return await connection.fetchval(_VOID, account_id, hold_id) is not None


async def open_holds(connection: Connection) -> OpenHolds:
    """What is held at this moment, from an index of open holds alone."""
    row = await connection.fetchrow(_OPEN)
    return OpenHolds(row["count"], row["oldest_seconds"])
