"""The light audit: the same rules, for the accounts that something happened to just now. It costs milliseconds.

It is for running beside live traffic once a minute. What it cannot afford is left to the whole audit: accounts at rest,
and the history of accounts that have a long one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kyma_proxy.database.pool import Connection
from kyma_proxy.ledger.audit import snapshot
from kyma_proxy.ledger.checks import CHECKS, CLEANUPS, HELD, HOLDS_LEFT_OVER, LEASED_MINTS, of_accounts
from kyma_proxy.ledger.holds import open_holds

FIRST_PROBLEMS_MAX: Final = 20
"""How many problems are told in words."""
_STATEMENT_SECONDS: Final = 5
_SHORT_ROWS_MAX: Final = 1000
"""An account with more entries, holds and voices than this has a long history."""

# Nobody changes entries, so the newest stand at the end of their table: no index on their time has to be paid for.
_RECENT_ACCOUNTS = """
WITH recent AS (
    (SELECT account_id FROM holds WHERE state = 'held' ORDER BY created_at LIMIT 100)
    UNION (SELECT account_id FROM holds WHERE state = 'held' ORDER BY created_at DESC LIMIT 100)
    UNION (SELECT account_id FROM mints WHERE lease_until IS NOT NULL ORDER BY lease_until LIMIT 100)
    UNION (SELECT account_id FROM idempotency_keys ORDER BY created_at DESC LIMIT 50)
    UNION (SELECT v.account_id FROM (SELECT voice_id FROM provider_cleanups ORDER BY due_at LIMIT 50) AS c
           JOIN voices AS v ON v.voice_id = c.voice_id)
    UNION (SELECT account_id FROM entries
           WHERE ctid >= (SELECT format('(%s,0)', greatest(0, pg_relation_size('entries')
                                                              / current_setting('block_size')::bigint - 16))::tid)
           GROUP BY account_id ORDER BY max(entry_id) DESC LIMIT 100))
SELECT account_id,
       (SELECT count(*) FROM (SELECT FROM entries AS e WHERE e.account_id = recent.account_id LIMIT $1) AS capped)
       + (SELECT count(*) FROM (SELECT FROM holds AS h WHERE h.account_id = recent.account_id LIMIT $1) AS capped)
       + (SELECT count(*) FROM (SELECT FROM voices AS v WHERE v.account_id = recent.account_id LIMIT $1) AS capped)
       < $1 AS is_short
FROM recent
"""
_FIRST = """
SELECT found.problem, count(*) OVER () AS problems FROM ({check}) AS found (problem) LIMIT $1
"""
_LISTED = "account_id = ANY($2::text[])"
_CHECKS_OF_SHORT = tuple(_FIRST.replace("{check}", of_accounts(check, _LISTED)) for check in CHECKS)
_CHECKS_OF_LONG = tuple(
    _FIRST.replace("{check}", of_accounts(check, _LISTED)) for check in (HELD, HOLDS_LEFT_OVER, LEASED_MINTS)
)
_NEXT_CLEANUPS = "(SELECT * FROM provider_cleanups ORDER BY due_at LIMIT 500)"
_CHECK_OF_CLEANUPS = _FIRST.replace("{check}", CLEANUPS.replace("{cleanups}", _NEXT_CLEANUPS))


@dataclass(frozen=True, slots=True)
class LightAudit:
    """What the light audit found: how many problems, and at most 20 of them in words."""

    problems: int
    open_holds: int
    oldest_open_hold_seconds: float | None
    first_problems: tuple[str, ...]


async def light_audit(connection: Connection) -> LightAudit:
    """Check the accounts of open holds, running mints, new entries, new keys and due deletions, at most 500.

    All of an account that has a short history is checked, of others what is held and their running mints. Reads one
    snapshot; call it outside a transaction.
    """
    async with snapshot(connection, _STATEMENT_SECONDS):
        held = await open_holds(connection)
        recent = await connection.fetch(_RECENT_ACCOUNTS, _SHORT_ROWS_MAX + 1)
        short = [row["account_id"] for row in recent if row["is_short"]]
        long = [row["account_id"] for row in recent if not row["is_short"]]
        work = [(check, (short,)) for check in _CHECKS_OF_SHORT if short]
        work += [(check, (long,)) for check in _CHECKS_OF_LONG if long]
        problems = 0
        first_problems: list[str] = []
        for check, arguments in [*work, (_CHECK_OF_CLEANUPS, ())]:
            rows = await connection.fetch(check, FIRST_PROBLEMS_MAX, *arguments)
            problems += rows[0]["problems"] if rows else 0
            first_problems += [row["problem"] for row in rows]
    return LightAudit(problems, held.count, held.oldest_seconds, tuple(first_problems[:FIRST_PROBLEMS_MAX]))
