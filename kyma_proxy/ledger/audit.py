"""The audit: recomputes every balance from the entries and holds the books against each other.

It reads one snapshot, so it can run beside live traffic: nothing waits for it and half-done work is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from kyma_proxy.database.pool import Connection

_STATEMENT_SECONDS = 600

_FIGURES = """
SELECT (SELECT count(*) FROM accounts) AS accounts,
       (SELECT count(*) FROM entries) AS entries,
       (SELECT count(*) FROM holds WHERE state = 'held') AS open_holds,
       (SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float8 FROM holds WHERE state = 'held')
           AS oldest_open_hold_seconds
"""

# Each check yields one line of text for every row that breaks a rule.
_CHECKS = (
    """
    SELECT format('account %s: balance is %s micros, its entries make %s', account_id, balance_micros, entered)
    FROM (SELECT a.account_id, a.balance_micros,
                 coalesce(sum(CASE WHEN e.credit_account = a.account_id THEN e.amount_micros
                                   ELSE -e.amount_micros END), 0) AS entered
          FROM accounts a LEFT JOIN entries e USING (account_id) GROUP BY a.account_id) AS sums
    WHERE balance_micros <> entered
    """,
    """
    SELECT format('account %s: held is %s micros, its open holds make %s', account_id, held_micros, open)
    FROM (SELECT a.account_id, a.held_micros, coalesce(sum(h.amount_micros), 0) AS open
          FROM accounts a LEFT JOIN holds h ON h.account_id = a.account_id AND h.state = 'held'
          GROUP BY a.account_id) AS sums
    WHERE held_micros <> open
    """,
    """
    SELECT format('hold %s of %s: %s, with an entry of %s micros for %s held', hold_id, h.account_id, h.state,
                  coalesce(e.amount_micros, 0), h.amount_micros)
    FROM holds h LEFT JOIN entries e USING (account_id, hold_id)
    WHERE (h.state = 'posted') <> (e.entry_id IS NOT NULL) OR e.amount_micros <> h.amount_micros
    """,
    """
    SELECT format('voice %s of %s: %s, while hold %s is %s', v.voice_id, v.account_id, v.status, h.hold_id, h.state)
    FROM mints m JOIN voices v USING (voice_id)
    JOIN holds h ON h.account_id = m.account_id AND h.hold_id = m.hold_id
    WHERE v.account_id <> m.account_id
       OR (v.status IN ('active', 'revoked')) <> (h.state = 'posted')
       OR (v.status = 'pending') <> (h.state = 'held')
       OR (v.status IN ('active', 'revoked') AND m.reply_body IS NULL)
    """,
    """
    SELECT format('voice %s of %s: %s without a mint', v.voice_id, v.account_id, v.status)
    FROM voices v LEFT JOIN mints m USING (voice_id)
    WHERE v.kind <> 'adopted' AND v.status <> 'failed' AND m.voice_id IS NULL
    """,
)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit found; `problems` is empty when every rule holds."""

    accounts: int
    entries: int
    open_holds: int
    oldest_open_hold_seconds: float | None
    problems: tuple[str, ...]


async def audit(connection: Connection) -> AuditReport:
    """Recompute everything in one read-only snapshot; call it outside a transaction."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        figures = await connection.fetchrow(_FIGURES, timeout=_STATEMENT_SECONDS)
        problems = [row[0] for check in _CHECKS for row in await connection.fetch(check, timeout=_STATEMENT_SECONDS)]
    return AuditReport(**dict(figures), problems=tuple(problems))
