"""The audit: recomputes every balance from the entries and holds the books against each other.

It reads one snapshot, so it can run beside live traffic: nothing waits for it and half-done work is not seen. It goes
through the accounts in batches and collects nothing but sums, so its memory does not grow with the books.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from kyma_proxy.database.pool import Connection
from kyma_proxy.ledger.checks import CHECKS, CLEANUPS, TOTALS, of_accounts
from kyma_proxy.ledger.holds import open_holds

BATCH_ACCOUNTS: Final = 20_000
"""How many accounts are looked at together."""
_STATEMENT_SECONDS: Final = 600
_PROBLEMS_AT_ONCE: Final = 200

# The batches lie end to end, the first and the last open: every row is in one, whether its account is on file or not.
_OF_BATCH = "($1::text IS NULL OR account_id > $1) AND ($2::text IS NULL OR account_id <= $2)"
_NEXT_BATCH = """
SELECT count(*) AS accounts, max(account_id) AS last
FROM (SELECT account_id FROM accounts WHERE ($1::text IS NULL OR account_id > $1) ORDER BY account_id LIMIT $2) AS next
"""
_TOTALS_OF_BATCH = of_accounts(TOTALS, _OF_BATCH)
_CHECKS_OF_BATCH = tuple(of_accounts(check, _OF_BATCH) for check in CHECKS)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit found; `problems` is empty when every rule holds."""

    accounts: int
    entries: int
    open_holds: int
    oldest_open_hold_seconds: float | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """What the audit counted; `problems` is how many it told."""

    accounts: int
    entries: int
    open_holds: int
    oldest_open_hold_seconds: float | None
    problems: int


async def audit(connection: Connection) -> AuditReport:
    """Recompute everything in one read-only snapshot and collect the problems; call it outside a transaction."""
    problems: list[str] = []
    figures = await stream_audit(connection, problems.append)
    return AuditReport(
        figures.accounts, figures.entries, figures.open_holds, figures.oldest_open_hold_seconds, tuple(problems)
    )


async def stream_audit(
    connection: Connection,
    on_problem: Callable[[str], None],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    batch_accounts: int = BATCH_ACCOUNTS,
) -> AuditFigures:
    """Recompute everything in one read-only snapshot; call it outside a transaction.

    `on_problem` gets each problem's line as it is found, `on_progress` how many accounts are done and how many there
    are: once at the beginning, then after each batch. What they raise ends the audit and passes through.
    """
    async with snapshot(connection, _STATEMENT_SECONDS):
        run = _Audit(connection, on_problem)
        total = await connection.fetchval("SELECT count(*) FROM accounts", timeout=_STATEMENT_SECONDS)
        held = await open_holds(connection)
        on_progress(0, total)
        after: str | None = None
        is_full = True
        while is_full:
            batch = await connection.fetchrow(_NEXT_BATCH, after, batch_accounts, timeout=_STATEMENT_SECONDS)
            is_full = batch["accounts"] == batch_accounts
            await run.examine(after, batch["last"] if is_full else None)
            run.accounts += batch["accounts"]
            after = batch["last"]
            if batch["accounts"]:
                on_progress(run.accounts, total)
        await run.find(CLEANUPS.replace("{cleanups}", "provider_cleanups"))
        run.weigh()
    return AuditFigures(run.accounts, run.entries, held.count, held.oldest_seconds, run.problems)


@asynccontextmanager
async def snapshot(connection: Connection, statement_seconds: int) -> AsyncIterator[None]:
    """Everything read inside the block is of one moment; a statement may take `statement_seconds`.

    Reading takes no lock that a writer would wait for.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # Each batch deserves a plan of its own, because a plan for any batch knows nothing of its size; live traffic
        # needs the server's other processors. Whoever reads what is told may take a while.
        await connection.execute(
            f"SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off;"
            f" SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL work_mem = '16MB';"
            f" SET LOCAL statement_timeout = '{statement_seconds}s';"
            f" SET LOCAL idle_in_transaction_session_timeout = '{statement_seconds}s'"
        )
        yield


class _Audit:
    """One run: what was counted so far."""

    def __init__(self, connection: Connection, on_problem: Callable[[str], None]) -> None:
        self._connection = connection
        self._on_problem = on_problem
        self._customers_micros = 0
        self._house_micros = 0
        self.accounts = 0
        self.entries = 0
        self.problems = 0

    async def examine(self, after: str | None, last: str | None) -> None:
        """Check all that lies with accounts beyond `after`, up to and with `last`; None is no bound."""
        totals: asyncpg.Record = await self._connection.fetchrow(
            _TOTALS_OF_BATCH, after, last, timeout=_STATEMENT_SECONDS
        )
        self.entries += totals["entries"]
        self._customers_micros += int(totals["customers_micros"])
        self._house_micros += int(totals["house_micros"])
        for check in _CHECKS_OF_BATCH:
            await self.find(check, after, last)

    async def find(self, check: str, *arguments: str | None) -> None:
        """Tell every problem that a check finds."""
        found = self._connection.cursor(check, *arguments, prefetch=_PROBLEMS_AT_ONCE, timeout=_STATEMENT_SECONDS)
        async for (problem,) in found:
            self._tell(problem)

    def weigh(self) -> None:
        """Debits equal credits over the whole ledger: what customers have is what the house has given."""
        if self._customers_micros + self._house_micros != 0:
            self._tell(
                f"ledger: the entries give customers {self._customers_micros} micros"
                f" and the house {self._house_micros}, which do not cancel out"
            )

    def _tell(self, problem: str) -> None:
        self.problems += 1
        self._on_problem(problem)
