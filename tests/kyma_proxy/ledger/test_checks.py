"""Each rule of the books: what breaks it is found, told of the right account, and nothing else is."""

import pytest

from books_kit import DAMAGES, Damage, damage, write_accounts
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.ledger.audit import audit, stream_audit
from kyma_proxy.ledger.checks import CHECKS, LEASED_MINTS, LEFT_OVER_SECONDS, TOTALS, of_accounts


async def problems_in_batches(database: Database, batch_accounts: int) -> list[str]:
    found: list[str] = []

    async def work(connection: Connection) -> None:
        await stream_audit(connection, found.append, batch_accounts=batch_accounts)

    await database.borrow(work)
    return sorted(found)


@pytest.mark.parametrize("case", DAMAGES, ids=str)
async def test_damage_is_found_and_nothing_else_however_the_accounts_are_batched(
    database: Database, case: Damage
) -> None:
    await write_accounts(database)
    await damage(database, case.statements)
    for batch_accounts in (1, 2, 5000):
        assert await problems_in_batches(database, batch_accounts) == sorted(case.problems)


async def test_books_with_every_kind_of_row_are_in_order(database: Database) -> None:
    await write_accounts(database)
    assert (await database.borrow(audit)).problems == ()


async def test_a_mint_is_left_over_once_its_lease_ran_out_long_ago(database: Database) -> None:
    await write_accounts(database)
    expire = "UPDATE mints SET lease_until = now() - interval '{} s' WHERE voice_id = 'kyma_2_pending'"
    await damage(database, expire.format(LEFT_OVER_SECONDS - 30))
    assert (await database.borrow(audit)).problems == ()
    await damage(database, expire.format(LEFT_OVER_SECONDS + 40))
    (problem,) = (await database.borrow(audit)).problems
    assert problem.startswith("voice kyma_2_pending of acct_2: left over, its lease ran out 10")
    assert problem.endswith("nobody reconciles")


async def test_a_row_that_breaks_several_rules_is_told_once(database: Database) -> None:
    await write_accounts(database)
    await damage(database, "UPDATE voices SET status = 'pending' WHERE voice_id = 'kyma_2_active'")
    (problem,) = (await database.borrow(audit)).problems
    assert problem == (
        "voice kyma_2_active of acct_2: pending, while hold active is posted; pending, without a lease;"
        " pending, but its mint is completed; pending, with a reply"
    )


async def test_no_check_reads_a_table_from_end_to_end(database: Database) -> None:
    """With many accounts on file, some of them are read through the index on its accounts, whichever table it is."""
    await database.execute("""
        INSERT INTO accounts (account_id, name) SELECT 'acct_' || n, 'Ada' FROM generate_series(1, 20000) AS n;
        INSERT INTO holds (account_id, hold_id, amount_micros, purpose, state, ended_at)
        SELECT account_id, 'hold', 1, 'clone', 'voided', now() FROM accounts;
        INSERT INTO entries (account_id, debit_account, credit_account, amount_micros, kind, actor)
        SELECT account_id, 'house:funding', account_id, 1, 'credit', 'test' FROM accounts;
        INSERT INTO voices (voice_id, account_id, status, kind, upstream, provider_account)
        SELECT md5(account_id), account_id, 'failed', 'clone', 'minimax', 'default' FROM accounts;
        INSERT INTO mints (account_id, voice_id, hold_id, lease_until)
        SELECT account_id, md5(account_id), 'hold', NULL FROM accounts;
        INSERT INTO idempotency_keys (account_id, endpoint, key, fingerprint, voice_id)
        SELECT account_id, 'clone', 'key', sha256('x'), md5(account_id) FROM accounts;
        ANALYZE
    """)
    batch, listed = "account_id > 'acct_11' AND account_id <= 'acct_12'", "account_id = ANY('{acct_1,acct_2}')"
    for statement in (TOTALS, *CHECKS, LEASED_MINTS):
        for condition in (batch, listed):
            plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {of_accounts(statement, condition)}"))
            # Of holders there is one a process.
            assert "Seq Scan" not in plan.replace("Seq Scan on holders", ""), plan


async def test_a_hold_is_left_over_once_the_lease_of_its_process_ran_out_long_ago(database: Database) -> None:
    await write_accounts(database)
    hold = (
        "INSERT INTO holds (account_id, hold_id, amount_micros, purpose, holder_id, created_at)"
        " VALUES ('acct_2', 'hold_left', 5, 'speech', 'holder_gone', now() - interval '{} s');"
        "UPDATE accounts SET held_micros = held_micros + 5 WHERE account_id = 'acct_2'"
    )
    await damage(database, hold.format(LEFT_OVER_SECONDS + 40))
    (problem,) = (await database.borrow(audit)).problems
    assert problem.startswith("hold hold_left of acct_2: left over")
    lease = "INSERT INTO holders VALUES ('holder_gone', now() - interval '{} s')"
    await damage(database, lease.format(LEFT_OVER_SECONDS - 30))
    assert (await database.borrow(audit)).problems == ()
