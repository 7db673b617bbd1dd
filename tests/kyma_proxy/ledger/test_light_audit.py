"""The light audit finds what the whole one finds, of the accounts that something happened to, and looks no further."""

import pytest

from books_kit import DAMAGES, Damage, damage, write_accounts
from kyma_proxy.database.pool import Database
from kyma_proxy.ledger.audit import audit
from kyma_proxy.ledger.light_audit import FIRST_PROBLEMS_MAX, LightAudit, light_audit

# Books with more accounts than it looks at, each with one entry, the last ones the newest.
_MANY = """
INSERT INTO accounts (account_id, name, balance_micros)
SELECT 'acct_' || n, 'Ada', 5 FROM generate_series(1, 3000) AS n;
INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, actor)
SELECT 'acct_' || n, 'house:funding', 'acct_' || n, 5, 'credit', 'test' FROM generate_series(1, 3000) AS n
"""
_LONG_HISTORY = """
INSERT INTO entries (account_id, entry_id, debit_account, credit_account, amount_micros, kind, actor)
OVERRIDING SYSTEM VALUE
SELECT 'acct_2', 1000 + n, 'house:funding', 'acct_2', 1, 'credit', 'test' FROM generate_series(1, 1001) AS n;
UPDATE accounts SET balance_micros = balance_micros + 1001 WHERE account_id = 'acct_2'
"""


@pytest.mark.parametrize("case", DAMAGES, ids=str)
async def test_what_the_whole_audit_finds_it_finds_too(database: Database, case: Damage) -> None:
    await write_accounts(database)
    await damage(database, case.statements)
    # Only the whole ledger can be weighed.
    expected = sorted(each for each in case.problems if not each.startswith("ledger:"))
    found = await database.borrow(light_audit)
    assert (found.problems, sorted(found.first_problems)) == (len(expected), expected)


async def test_books_in_order_have_no_problem_and_holds_are_counted(database: Database) -> None:
    assert await database.borrow(light_audit) == LightAudit(0, 0, None, ())
    await write_accounts(database)
    await damage(database, "UPDATE holds SET created_at = now() - interval '50 seconds' WHERE account_id = 'acct_2'")
    found = await database.borrow(light_audit)
    assert (found.problems, found.open_holds, found.first_problems) == (0, 3, ())
    assert found.oldest_open_hold_seconds is not None
    assert found.oldest_open_hold_seconds >= 50


async def test_every_problem_is_counted_and_the_first_are_told(database: Database) -> None:
    await write_accounts(database)
    await damage(
        database,
        "INSERT INTO holds (account_id, hold_id, amount_micros, purpose, state, ended_at)"
        " SELECT 'acct_2', 'extra_' || n, 1, 'clone', 'posted', now() FROM generate_series(1, 100) AS n;"
        " UPDATE accounts SET balance_micros = balance_micros + 1",
    )
    found = await database.borrow(light_audit)
    assert (found.problems, len(found.first_problems)) == (103, FIRST_PROBLEMS_MAX)
    assert sum("extra_" in each for each in found.first_problems) == FIRST_PROBLEMS_MAX - 3


async def test_it_looks_at_the_newest_entries_and_not_at_accounts_at_rest(database: Database) -> None:
    await database.execute(_MANY)
    await damage(database, "UPDATE accounts SET balance_micros = 6")
    assert len((await database.borrow(audit)).problems) == 3000
    found = await database.borrow(light_audit)
    assert found.problems == 100
    newest = {f"acct_{n}" for n in range(2901, 3001)}
    assert {each.split()[1].rstrip(":") for each in found.first_problems} <= newest


@pytest.mark.parametrize(
    ("happening", "problem"),
    [
        (
            "INSERT INTO holds (account_id, hold_id, amount_micros, purpose) VALUES ('acct_1', 'hold', 5, 'clone')",
            "account acct_1: held is 0 micros, its open holds make 5",
        ),
        (
            "INSERT INTO mints (account_id, voice_id, hold_id, lease_until) VALUES ('acct_1', 'kyma', 'hold', now())",
            "voice kyma of acct_1: not on file, but minted; hold hold is not on file",
        ),
        (
            """INSERT INTO idempotency_keys (account_id, endpoint, key, fingerprint, voice_id)
            VALUES ('acct_1', 'clone', 'key', sha256('x'), 'kyma')""",
            "idempotency key of acct_1 for voice kyma: the voice is not on file",
        ),
        (
            """INSERT INTO voices (voice_id, account_id, status, kind, upstream, provider_account)
            VALUES ('kyma', 'acct_1', 'active', 'clone', 'minimax', 'default');
            INSERT INTO provider_cleanups (voice_id, due_at, until) VALUES ('kyma', now(), now())""",
            "voice kyma of acct_1: active without a mint",
        ),
    ],
)
async def test_whatever_happens_brings_an_account_to_its_notice(
    database: Database, happening: str, problem: str
) -> None:
    await database.execute(_MANY)
    await damage(database, happening)
    assert problem in (await database.borrow(light_audit)).first_problems


async def test_of_a_long_history_only_what_is_open_is_checked(database: Database) -> None:
    await write_accounts(database)
    await database.execute(_LONG_HISTORY)
    await damage(database, "UPDATE accounts SET balance_micros = balance_micros + 1 WHERE account_id = 'acct_2'")
    assert len((await database.borrow(audit)).problems) == 1
    assert (await database.borrow(light_audit)).first_problems == ()
    await damage(
        database,
        "UPDATE accounts SET held_micros = held_micros + 1 WHERE account_id = 'acct_2';"
        " UPDATE holds SET state = 'voided', ended_at = now() WHERE account_id = 'acct_2' AND hold_id = 'pending'",
    )
    assert (await database.borrow(light_audit)).first_problems == (
        "account acct_2: held is 2100001 micros, its open holds make 0",
        "voice kyma_2_pending of acct_2: pending, while hold pending is voided",
    )
