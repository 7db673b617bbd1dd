"""The audit goes through all there is, tells what it finds at once, and is not disturbed by live traffic."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import pytest

from books_kit import BALANCE_MICROS, damage, write_accounts
from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.flow import Reply
from kyma_proxy.ledger import holds
from kyma_proxy.ledger.audit import AuditFigures, AuditReport, audit, snapshot, stream_audit
from kyma_proxy.ledger.checks import CHECKS, of_accounts
from kyma_proxy.ledger.entries import Adjustment, adjust, list_entries, reverse
from kyma_proxy.ledger.light_audit import light_audit
from kyma_proxy.voices import claims, mints, replies
from kyma_proxy.voices.attempts import Attempt, Repetition, fingerprint_of
from kyma_proxy.voices.mints import Mint, Terms
from kyma_proxy.voices.registry import NewVoice, VoiceHome

PRICE = 2_100_000


async def stream(database: Database, *told: Any, batch_accounts: int = 5000) -> AuditFigures:
    """Audit, with what is to be told of problems and of progress."""
    return await database.borrow(
        lambda connection: stream_audit(connection, *told, batch_accounts=batch_accounts),
    )


async def test_everything_is_counted(database: Database) -> None:
    await write_accounts(database)
    report = await database.borrow(audit)
    assert (report.accounts, report.entries, report.open_holds, report.problems) == (3, 18, 3, ())
    assert report.oldest_open_hold_seconds is not None
    assert report.oldest_open_hold_seconds >= 0


async def test_empty_books_are_in_order(database: Database) -> None:
    assert await database.borrow(audit) == AuditReport(0, 0, 0, None, ())


@pytest.mark.parametrize("batch_accounts", [1, 2, 3, 4])
async def test_figures_do_not_depend_on_the_batches(database: Database, batch_accounts: int) -> None:
    await write_accounts(database)
    problems: list[str] = []
    figures = await stream(database, problems.append, batch_accounts=batch_accounts)
    assert (figures.accounts, figures.entries, figures.open_holds, figures.problems) == (3, 18, 3, 0)
    assert problems == []


async def test_what_it_finds_is_told_before_it_looks_further(database: Database) -> None:
    await write_accounts(database)
    await damage(database, "UPDATE accounts SET balance_micros = balance_micros + 1 WHERE account_id <> 'acct_2'")
    told: list[str | tuple[int, int]] = []
    figures = await stream(database, told.append, lambda *progress: told.append(progress), batch_accounts=1)
    wrong = f"balance is {BALANCE_MICROS + 1} micros, its entries make {BALANCE_MICROS}"
    assert told == [(0, 3), f"account acct_1: {wrong}", (1, 3), (2, 3), f"account acct_3: {wrong}", (3, 3)]
    assert figures.problems == 2


@pytest.mark.parametrize("account_id", ["acct_0", "acct_11", "acct_9"])
async def test_rows_between_before_and_after_the_accounts_on_file_are_seen(database: Database, account_id: str) -> None:
    await write_accounts(database)
    await damage(
        database,
        "INSERT INTO holds (account_id, hold_id, amount_micros, purpose, state, ended_at)"
        f" VALUES ('{account_id}', 'hold', 1, 'clone', 'voided', now())",
    )
    for batch_accounts in (1, 2, 3, 4):
        problems: list[str] = []
        await stream(database, problems.append, batch_accounts=batch_accounts)
        assert problems == [f"account {account_id}: not on file, with 1 holds"]


async def test_one_account_may_have_more_problems_than_are_fetched_at_once(database: Database) -> None:
    await write_accounts(database)
    await damage(
        database,
        "INSERT INTO holds (account_id, hold_id, amount_micros, purpose, state, ended_at)"
        " SELECT 'acct_2', 'extra_' || n, 1, 'clone', 'posted', now() FROM generate_series(1, 1001) AS n",
    )
    problems: set[str] = set()
    assert (await stream(database, problems.add)).problems == 1001
    assert problems == {
        f"hold extra_{n} of acct_2: posted, with 0 entries of 0 micros for 1 held" for n in range(1, 1002)
    }


async def test_a_listener_that_fails_ends_the_audit_and_leaves_the_connection_usable(database: Database) -> None:
    await write_accounts(database)
    await damage(database, "UPDATE accounts SET balance_micros = balance_micros + 1")

    def refuse(problem: str) -> None:
        raise KeyError(problem)

    async def work(connection: Connection) -> Any:
        with pytest.raises(KeyError, match="acct_1"):
            await stream_audit(connection, refuse)
        return await audit(connection), await connection.fetchval("SHOW plan_cache_mode")

    report, plan_cache_mode = await database.borrow(work)
    assert len(report.problems) == 3
    # What was set for the audit went with its transaction.
    assert plan_cache_mode == "auto"


async def test_it_waits_for_nobody_who_writes_and_sees_nothing_half_done(database: Database) -> None:
    await write_accounts(database)

    async def write(connection: Connection) -> None:
        await connection.execute("UPDATE accounts SET balance_micros = balance_micros + 1")
        assert (await database.borrow(audit)).problems == ()
        await connection.execute("UPDATE accounts SET balance_micros = balance_micros - 1")

    async with asyncio.timeout(10):
        await database.transact(write)


async def test_nobody_who_writes_waits_for_it_or_shows_in_it(database: Database) -> None:
    await write_accounts(database)

    async def read(connection: Connection) -> None:
        async with snapshot(connection, 60):
            for account_id, voice_id in (("acct_1", "kyma_1_pending"), ("acct_2", "kyma_2_pending")):
                for check in CHECKS:
                    assert await connection.fetch(of_accounts(check, "true")) == []
                assert await connection.fetchval("SELECT count(*) FROM entries") == 18
                await database.transact(partial(end_mint, account_id=account_id, voice_id=voice_id, hold_id="pending"))
            modes = await connection.fetch(
                "SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'"
            )
            assert [row["mode"] for row in modes] == ["AccessShareLock"]

    async with asyncio.timeout(10):
        await database.borrow(read)
    report = await database.borrow(audit)
    assert (report.entries, report.open_holds, report.problems) == (20, 1, ())


async def end_mint(connection: Connection, account_id: str, hold_id: str, voice_id: str) -> None:
    mint = mint_of(account_id, voice_id, hold_id)
    assert await mints.complete(connection, mint)
    await holds.post(connection, account_id, hold_id)
    await replies.store(connection, account_id, voice_id, Reply.json(b"{}"))


def mint_of(account_id: str, voice_id: str, hold_id: str) -> Mint:
    home = VoiceHome("minimax", "default")
    return Mint(NewVoice(voice_id, account_id, None, "clone", home), hold_id)


class Customer:
    """Somebody who mints, is charged, credited and refunded at random, all through the gateway's own statements."""

    def __init__(self, database: Database, account_ids: list[str], seed: int) -> None:
        self.transact = database.transact
        self._account_ids = account_ids
        self._random = random.Random(seed)
        self._name = f"kyma_{seed}"

    async def act(self, number: int) -> None:
        """Do one of the things that move money or voices, in the transactions in which the gateway does it."""
        account_id = self._random.choice(self._account_ids)
        kind = self._random.choice(["mint", "mint", "fail", "charge", "void", "correct"])
        if kind in ("mint", "fail"):
            await self._mint(account_id, f"{self._name}_{number}", fails=kind == "fail")
        elif kind == "correct":
            await self._correct(account_id)
        else:
            hold_id = holds.new_hold_id()
            end = holds.post if kind == "charge" else holds.void
            await self.transact(lambda connection: holds.hold(connection, account_id, hold_id, PRICE, "other"))
            await self.transact(lambda connection: end(connection, account_id, hold_id))

    async def _mint(self, account_id: str, voice_id: str, *, fails: bool) -> None:
        hold_id = holds.new_hold_id()
        mint = mint_of(account_id, voice_id, hold_id)
        content = fingerprint_of(voice_id)
        attempt = Attempt("clone", content, Repetition(voice_id))

        async def begin(connection: Connection) -> None:
            assert await claims.claim(connection, mint, attempt) is None
            await mints.add(connection, mint, Terms(content, claims.content_lock(account_id, content), 30))
            await holds.hold(connection, account_id, hold_id, PRICE, "clone")

        await self.transact(begin)
        await self.transact(lambda connection: mints.renew(connection, [voice_id], 30))
        if fails:
            await self.transact(lambda connection: mints.fail(connection, mint, 60))
        else:
            await self.transact(lambda connection: end_mint(connection, account_id, hold_id, voice_id))

    async def _correct(self, account_id: str) -> None:
        await self.transact(lambda connection: adjust(connection, account_id, Adjustment("credit", 5, "test")))
        entry = (await self.transact(lambda connection: list_entries(connection, account_id)))[-1]
        if entry.kind != "reversal":
            await self.transact(lambda connection: reverse(connection, account_id, entry.entry_id, "test"))


async def test_live_traffic_never_looks_like_a_problem(database: Database) -> None:
    """Money moves in every way there is while the audit runs again and again: what it sees is always exact."""
    opened = [
        await database.transact(lambda connection: open_account(connection, "Ada", 1_000_000_000, "test"))
        for _ in range(4)
    ]
    customers = [Customer(database, [each.account_id for each in opened], seed) for seed in range(3)]

    audited = asyncio.Event()

    async def work(customer: Customer) -> None:
        for number in range(2000):
            if audited.is_set():
                return
            await customer.act(number)

    working = asyncio.gather(*map(work, customers))
    seen: set[tuple[int, int]] = set()
    try:
        for _ in range(10):
            problems: list[str] = []
            figures = await stream(database, problems.append, batch_accounts=1)
            assert problems == []
            assert (await database.borrow(light_audit)).first_problems == ()
            seen.add((figures.entries, figures.open_holds))
    finally:
        audited.set()
        await working
    assert len(seen) >= 5
    assert any(open_holds for _, open_holds in seen)
    assert (await database.borrow(audit)).open_holds == 0
