"""Entries made by people: opening credit, top-ups, debits, reversals. Append-only: a correction is a reversal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kyma_proxy.database.pool import Connection
from kyma_proxy.ledger.holds import InsufficientFundsError

EntryKind = Literal["credit", "debit"]

_ENTER = """
INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, ref, note, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (account_id, ref) DO NOTHING
RETURNING entry_id
"""

_MOVE = """
UPDATE accounts SET balance_micros = balance_micros + $2
WHERE account_id = $1 AND balance_micros - held_micros + $2 >= 0
RETURNING balance_micros
"""


_REVERSE = """
INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, reverses, note, actor)
SELECT account_id, credit_account, debit_account, amount_micros, 'reversal', entry_id, $4, $3
FROM entries WHERE account_id = $1 AND entry_id = $2
ON CONFLICT (account_id, reverses) DO NOTHING
RETURNING entry_id
"""

_LIST = """
SELECT entry_id, created_at, kind, CASE WHEN credit_account = account_id THEN amount_micros ELSE -amount_micros END
    AS amount_micros, actor, note
FROM entries WHERE account_id = $1 ORDER BY entry_id
"""


class UnknownEntryError(Exception):
    """The account has no entry of this id."""


class ReversalError(Exception):
    """The entry is a reversal: what it took back is given again by an entry of its own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as its account sees it: `amount_micros` is what it added to the balance, below zero if it took."""

    entry_id: int
    created_at: datetime
    kind: str
    amount_micros: int
    actor: str
    note: str | None


class RefReusedError(Exception):
    """The `ref` already names another entry of this account; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Money that a person moves: how much in micro-dollars, who did it and why.

    `ref` makes it happen once: the same ref again, with the same kind and amount, changes nothing.
    """

    kind: EntryKind
    amount_micros: int
    actor: str
    note: str | None = None
    ref: str | None = None

    def __post_init__(self) -> None:
        if self.amount_micros <= 0:
            raise ValueError("the amount must be above zero")


async def adjust(connection: Connection, account_id: str, adjustment: Adjustment) -> bool:
    """Enter an adjustment and move the balance, inside the caller's transaction.

    True if it was entered, False if its ref was entered before. Raises RefReusedError, and InsufficientFundsError when
    a debit is above the available balance. The account must exist.
    """
    sides = ("house:funding", account_id) if adjustment.kind == "credit" else (account_id, "house:funding")
    values = (adjustment.amount_micros, adjustment.kind, adjustment.ref, adjustment.note, adjustment.actor)
    if await connection.fetchval(_ENTER, account_id, *sides, *values) is None:
        await _require_same(connection, account_id, adjustment)
        return False
    signed_micros = adjustment.amount_micros if adjustment.kind == "credit" else -adjustment.amount_micros
    if await connection.fetchval(_MOVE, account_id, signed_micros) is None:
        raise InsufficientFundsError
    return True


async def reverse(connection: Connection, account_id: str, entry_id: int, actor: str, note: str | None = None) -> bool:
    """Correct an entry by one the other way round, inside the caller's transaction: a charge reversed is a refund.

    True if it was entered, False if the entry had been reversed before. Raises UnknownEntryError, ReversalError for an
    entry that is itself a reversal, and InsufficientFundsError when what a credit gave is spent already.
    """
    entry = await connection.fetchrow(
        "SELECT kind, credit_account, amount_micros FROM entries WHERE account_id = $1 AND entry_id = $2",
        *(account_id, entry_id),
    )
    if entry is None:
        raise UnknownEntryError(entry_id)
    if entry["kind"] == "reversal":
        raise ReversalError(entry_id)
    if await connection.fetchval(_REVERSE, account_id, entry_id, actor, note) is None:
        return False
    gave = entry["credit_account"] == account_id
    signed_micros = -entry["amount_micros"] if gave else entry["amount_micros"]
    if await connection.fetchval(_MOVE, account_id, signed_micros) is None:
        raise InsufficientFundsError
    return True


async def list_entries(connection: Connection, account_id: str) -> Sequence[Entry]:
    """An account's entries, oldest first."""
    rows = await connection.fetch(_LIST, account_id)
    return [Entry(**row) for row in rows]


async def _require_same(connection: Connection, account_id: str, adjustment: Adjustment) -> None:
    entered = await connection.fetchrow(
        "SELECT kind, amount_micros FROM entries WHERE account_id = $1 AND ref = $2", account_id, adjustment.ref
    )
    if entered is None or (entered["kind"], entered["amount_micros"]) != (adjustment.kind, adjustment.amount_micros):
        raise RefReusedError(adjustment.ref)
