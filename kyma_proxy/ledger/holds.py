"""Holds: money set aside for something, then posted (charged), voided (given back) or expired, once.

The hold of a mint shares its transaction with what it pays for, so each of those functions is one statement inside the
caller's transaction. Holds for speech stand alone, many at once, each time in one statement that is a transaction. The
account's row is locked last and for the shortest time: it is what concurrent requests queue on.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kyma_proxy.database.pool import Connection, Database

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

# Of one account: all of what is asked for is granted, or nothing.
_HOLD_ALL = """
WITH asked AS (
    SELECT * FROM unnest($2::text[], $3::bigint[], $4::text[]) AS t (hold_id, amount_micros, purpose)),
funded AS (
    UPDATE accounts SET held_micros = held_micros + (SELECT sum(amount_micros) FROM asked)
    WHERE account_id = $1 AND balance_micros - held_micros >= (SELECT sum(amount_micros) FROM asked)
    RETURNING account_id, balance_micros),
written AS (
    INSERT INTO holds (account_id, hold_id, amount_micros, purpose, holder_id)
    SELECT account_id, hold_id, amount_micros, purpose, $5 FROM funded, asked)
SELECT balance_micros FROM funded
"""

# The rows are locked in their order, as whoever expires them does, so that two who end the same never deadlock.
_END_ALL = """
WITH asked AS (SELECT * FROM unnest($2::text[], $3::boolean[]) AS t (hold_id, is_post)),
open AS MATERIALIZED (
    SELECT h.hold_id FROM holds AS h JOIN asked USING (hold_id)
    WHERE h.account_id = $1 AND h.state = 'held' ORDER BY h.hold_id FOR UPDATE OF h),
ended AS (
    UPDATE holds AS h SET state = CASE WHEN asked.is_post THEN 'posted' ELSE 'voided' END, ended_at = now()
    FROM open JOIN asked USING (hold_id)
    WHERE h.account_id = $1 AND h.hold_id = open.hold_id AND h.state = 'held'
    RETURNING h.account_id, h.hold_id, h.amount_micros, asked.is_post),
entered AS (
    INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, hold_id, actor)
    SELECT account_id, account_id, 'house:revenue', amount_micros, 'charge', hold_id, 'gateway'
    FROM ended WHERE is_post),
moved AS (
    UPDATE accounts
    SET balance_micros = balance_micros - coalesce((SELECT sum(amount_micros) FROM ended WHERE is_post), 0),
        held_micros = held_micros - (SELECT sum(amount_micros) FROM ended)
    WHERE account_id = $1 AND EXISTS (SELECT FROM ended))
SELECT hold_id FROM ended
"""

_BURN = """
INSERT INTO holds (account_id, hold_id, amount_micros, purpose, state, ended_at)
VALUES ($1, $2, $3, $4, 'voided', now())
ON CONFLICT (account_id, hold_id) DO NOTHING
RETURNING hold_id
"""

_LEASE = "SELECT FROM holders AS o WHERE o.holder_id = h.holder_id AND o.lease_until > clock_timestamp()"

_LEFT_OVER_ACCOUNT = f"""
SELECT h.account_id FROM holds AS h
WHERE h.state = 'held' AND h.holder_id IS NOT NULL AND NOT EXISTS ({_LEASE})
ORDER BY h.created_at LIMIT 1
"""  # noqa: S608

_EXPIRE = f"""
WITH dead AS MATERIALIZED (
    SELECT h.hold_id FROM holds AS h
    WHERE h.account_id = $1 AND h.state = 'held' AND h.holder_id IS NOT NULL AND NOT EXISTS ({_LEASE})
    ORDER BY h.hold_id FOR UPDATE OF h),
ended AS (
    UPDATE holds AS h SET state = 'expired', ended_at = now()
    FROM dead WHERE h.account_id = $1 AND h.hold_id = dead.hold_id AND h.state = 'held'
    RETURNING h.hold_id, h.amount_micros),
moved AS (
    UPDATE accounts SET held_micros = held_micros - (SELECT sum(amount_micros) FROM ended)
    WHERE account_id = $1 AND EXISTS (SELECT FROM ended))
SELECT hold_id FROM ended
"""  # noqa: S608

_OPEN = """
SELECT count(*) AS count, extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_seconds
FROM holds WHERE state = 'held'
"""


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """How many holds are open, and the age of the oldest in seconds; None without one."""

    count: int
    oldest_seconds: float | None


HoldState = Literal["held", "posted", "voided", "expired"]


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold that is to be placed: its id, how much in micro-dollars, and what for, in a word."""

    hold_id: str
    amount_micros: int
    purpose: str


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


async def hold_all(database: Database, account_id: str, wanted: Sequence[NewHold], holder_id: str) -> int | None:
    """Place several holds of one account, for a process to end; all of them or none.

    One statement that is its own transaction. Returns the posted balance, or None if the available balance does not
    cover their sum. Raises DatabaseUnavailableError, CommitUnknownError.
    """
    columns = ([each.hold_id for each in wanted], [each.amount_micros for each in wanted])
    row = await database.write(_HOLD_ALL, account_id, *columns, [each.purpose for each in wanted], holder_id)
    return None if row is None else int(row["balance_micros"])


async def end_all(database: Database, account_id: str, posted: Mapping[str, bool]) -> frozenset[str]:
    """Post (true) or void (false) several holds of one account, by hold id; returns those that were ended by this.

    The others had ended before, or never existed. One statement that is its own transaction; done again, it changes
    nothing. Raises DatabaseUnavailableError, CommitUnknownError.
    """
    rows = await database.write_all(_END_ALL, account_id, list(posted), list(posted.values()))
    return frozenset(row["hold_id"] for row in rows)


async def burn(connection: Connection, account_id: str, unsure: NewHold) -> None:
    """Make sure that a hold whose statement may or may not have arrived never stays open.

    The insert waits for a transaction that is still writing the same hold, and stops one that comes later.
    """
    values = (unsure.hold_id, unsure.amount_micros, unsure.purpose)
    if await connection.fetchval(_BURN, account_id, *values) is None:
        await void(connection, account_id, unsure.hold_id)


async def state_of(database: Database, account_id: str, hold_id: str) -> HoldState | None:
    """The state of a hold; None if it never existed. Raises DatabaseUnavailableError."""
    state: HoldState | None = await database.fetchval(
        "SELECT state FROM holds WHERE account_id = $1 AND hold_id = $2", account_id, hold_id
    )
    return state


async def find_left_over_account(connection: Connection) -> str | None:
    """An account with an open hold whose process has lost its lease; None if there is none."""
    account_id: str | None = await connection.fetchval(_LEFT_OVER_ACCOUNT)
    return account_id


async def expire_left_over(connection: Connection, account_id: str) -> Sequence[str]:
    """Give back the holds of an account that processes without a lease left open; returns their ids."""
    return [row["hold_id"] for row in await connection.fetch(_EXPIRE, account_id)]


async def open_holds(connection: Connection) -> OpenHolds:
    """What is held at this moment, from an index of open holds alone."""
    row = await connection.fetchrow(_OPEN)
    return OpenHolds(row["count"], row["oldest_seconds"])
