from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database import pool as pool_module
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.database.private import EmbeddedError
from kyma_proxy.database.target import DatabaseTarget

_COUNT = "SELECT count(*) FROM notes"


@pytest.fixture
async def notes(database: Database) -> Database:
    """A database with a table of its own, for tests about transactions alone."""
    await database.execute("CREATE TABLE notes (id int PRIMARY KEY, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)")
    return database


@pytest.fixture
async def relayed(relay: Any, notes: Database) -> AsyncIterator[Database]:
    """A second way to the same notes, through the relay."""
    database = Database(relay.target, pool_size=2, acquire_timeout_seconds=1)
    await database.start()
    yield database
    await database.stop()


def _insert(number: int) -> Any:
    async def work(connection: Connection) -> int:
        await connection.execute("INSERT INTO notes VALUES ($1)", number)
        return number

    return work


async def test_a_transaction_commits_and_returns_what_the_work_returned(notes: Database) -> None:
    assert await notes.transact(_insert(7)) == 7
    assert await notes.fetchval(_COUNT) == 1


async def test_an_exception_of_the_work_rolls_back_and_passes_through(notes: Database) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO notes VALUES (1)")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await notes.transact(work)
    assert await notes.fetchval(_COUNT) == 0


async def test_a_fault_of_the_statement_passes_unchanged(notes: Database) -> None:
    await notes.transact(_insert(1))
    with pytest.raises(asyncpg.UniqueViolationError):
        await notes.transact(_insert(1))
    with pytest.raises(asyncpg.UndefinedTableError):
        await notes.fetch("SELECT * FROM nowhere")
    with pytest.raises(asyncpg.DataError):
        await notes.execute("SELECT $1::int", "text")


async def test_a_constraint_that_fails_at_commit_is_known_not_to_be_committed(notes: Database) -> None:
    await notes.execute("CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")

    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO late VALUES (1), (1)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await notes.transact(work)
    assert await notes.fetchval("SELECT count(*) FROM late") == 0


async def test_a_swallowed_failure_is_never_a_silent_rollback(notes: Database) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO notes VALUES (1)")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1/0")

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await notes.transact(work)
    assert await notes.fetchval(_COUNT) == 0


async def test_transactions_are_read_committed_whatever_the_server_prefers(notes: Database) -> None:
    await notes.execute("ALTER ROLE kyma SET default_transaction_isolation = 'serializable'")
    try:
        fresh = Database(notes._target)
        await fresh.start()

        async def work(connection: Connection) -> Any:
            return await connection.fetchval("SHOW transaction_isolation")

        assert await fresh.transact(work) == "read committed"
        await fresh.stop()
    finally:
        await notes.execute("ALTER ROLE kyma RESET default_transaction_isolation")


async def test_waiting_too_long_for_a_connection_is_unavailable(database_target: DatabaseTarget) -> None:
    database = Database(database_target, pool_size=1, acquire_timeout_seconds=0.1)
    await database.start()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def work(_connection: Connection) -> None:
        entered.set()
        await leave.wait()

    busy = asyncio.create_task(database.transact(work))
    await entered.wait()
    began = monotonic_seconds()
    with pytest.raises(DatabaseUnavailableError) as refused:
        await database.fetchval("SELECT 1")
    assert monotonic_seconds() - began < 1
    assert refused.value.code.status == 503
    assert refused.value.should_retry
    assert await database.reachable(), "a pool that is busy is no database that is away"
    leave.set()
    await busy
    assert await database.fetchval("SELECT 1") == 1
    await database.stop()


async def test_the_pool_is_bounded(database_target: DatabaseTarget) -> None:
    database = Database(database_target, pool_size=3)
    await database.start()
    await asyncio.gather(*(database.fetchval("SELECT pg_sleep(0.01)") for _ in range(20)))
    backends = await database.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    assert backends == 3
    await database.stop()


async def test_starting_without_a_database_says_so_and_recovers_later(relay: Any) -> None:
    await relay.stop()
    database = Database(relay.target)
    with pytest.raises(DatabaseUnavailableError):
        await database.start()
    assert not await database.reachable()
    await relay.start()
    assert await database.reachable()
    assert await database.fetchval("SELECT 1") == 1
    await database.stop()


async def test_a_wrong_password_is_unavailable_and_is_not_printed(database_target: DatabaseTarget) -> None:
    arguments = database_target.connect_arguments()
    target = DatabaseTarget.from_socket(arguments["host"], user="kyma", password="wrong-word", database="postgres")
    database = Database(target)
    with pytest.raises(DatabaseUnavailableError) as refused:
        await database.start()
    assert "wrong-word" not in f"{refused.value!r} {database!r}"
    await database.stop()


async def test_connections_that_the_server_ended_fail_nobody(notes: Database) -> None:
    await asyncio.gather(*(notes.fetchval("SELECT pg_sleep(0.02)") for _ in range(5)))
    other = await asyncpg.connect(**notes._target.connect_arguments())
    ended = await other.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await other.close()
    assert ended >= 5
    await asyncio.gather(*(notes.transact(_insert(number)) for number in range(10)))
    assert await notes.fetchval(_COUNT) == 10


async def test_reading_on_a_connection_that_proves_dead_is_repeated_once(relay: Any, relayed: Database) -> None:
    relay.cut()
    assert await relayed.fetchval("SELECT 1") == 1
    relay.cut()
    assert await relayed.transact(_insert(1)) == 1
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await relayed.fetchval("SELECT 1")


async def test_what_writes_is_never_repeated(relay: Any, relayed: Database) -> None:
    relay.cut()
    with pytest.raises(DatabaseUnavailableError):
        await relayed.execute("INSERT INTO notes VALUES (1)")
    assert await relayed.execute("INSERT INTO notes VALUES (1)") == "INSERT 0 1"


async def test_a_silent_connection_is_replaced_at_begin(
    relay: Any, relayed: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_BEGIN_SECONDS", 0.2)
    relay.fall_silent()
    assert await relayed.transact(_insert(1)) == 1


async def test_a_connection_lost_during_the_work_is_unavailable_and_nothing_is_committed(
    relay: Any, relayed: Database, notes: Database
) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO notes VALUES (1)")
        relay.cut()
        await connection.execute("INSERT INTO notes VALUES (2)")

    with pytest.raises(DatabaseUnavailableError) as failed:
        await relayed.transact(work)
    assert not isinstance(failed.value, CommitUnknownError)
    assert await notes.fetchval(_COUNT) == 0
    assert await relayed.transact(_insert(3)) == 3


async def test_a_statement_that_takes_too_long_is_unavailable(notes: Database) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(5)", timeout=0.1)

    with pytest.raises(DatabaseUnavailableError):
        await notes.transact(work)
    assert await notes.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(("fault", "committed"), [("before the server", 0), ("after the server", 1)])
async def test_a_lost_answer_to_commit_is_unknown(
    relay: Any, relayed: Database, notes: Database, fault: Any, committed: int
) -> None:
    relay.commit_fault = fault
    with pytest.raises(CommitUnknownError):
        await relayed.transact(_insert(1))
    assert await notes.fetchval(_COUNT) == committed
    assert await relayed.transact(_insert(2)) == 2


async def test_a_commit_that_is_never_answered_is_unknown_in_bounded_time(
    relay: Any, notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_COMMAND_SECONDS", 0.3)
    database = Database(relay.target, pool_size=1, acquire_timeout_seconds=0.5)
    await database.start()

    async def work(connection: Connection) -> None:
        await connection.execute("INSERT INTO notes VALUES (1)")
        relay.fall_silent()

    began = monotonic_seconds()
    with pytest.raises(CommitUnknownError):
        await database.transact(work)
    assert monotonic_seconds() - began < 5
    relay.cut()
    await database.stop()


async def test_cancelling_leaves_no_open_transaction_and_no_lost_connection(database_target: DatabaseTarget) -> None:
    database = Database(database_target, pool_size=1, acquire_timeout_seconds=3)
    await database.start()
    entered = asyncio.Event()

    async def work(connection: Connection) -> None:
        await connection.execute("CREATE TABLE kept (id int)")
        entered.set()
        await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(database.transact(work))
    await entered.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.fetchval("SELECT to_regclass('kept')") is None
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert await database.fetchval(others) == 0
    await database.stop()


async def test_cancelling_those_who_wait_loses_no_connection(database_target: DatabaseTarget) -> None:
    database = Database(database_target, pool_size=1, acquire_timeout_seconds=3)
    await database.start()
    tasks = [asyncio.create_task(database.fetchval("SELECT pg_sleep(0.01)")) for _ in range(20)]
    await asyncio.sleep(0.02)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await database.fetchval("SELECT 1") == 1
    await database.stop()


async def test_reachable_is_bounded_and_tells_of_a_silent_database(relay: Any, relayed: Database) -> None:
    await asyncio.sleep(1.05)
    relay.fall_silent()
    began = monotonic_seconds()
    assert not await relayed.reachable()
    assert monotonic_seconds() - began < 3
    relay.cut()


async def test_a_failed_connect_revives_at_most_once_a_second(relay: Any) -> None:
    await relay.stop()
    revivals = 0

    async def revive() -> None:
        nonlocal revivals
        revivals += 1

    database = Database(relay.target, acquire_timeout_seconds=1, revive=revive)
    with pytest.raises(DatabaseUnavailableError):
        await database.start()
    failures = await asyncio.gather(*(database.fetchval("SELECT 1") for _ in range(8)), return_exceptions=True)
    assert all(isinstance(failure, DatabaseUnavailableError) for failure in failures)
    assert revivals == 1
    await database.stop()


async def test_reviving_brings_the_waiting_request_through(relay: Any) -> None:
    await relay.stop()
    database = Database(relay.target, revive=relay.start)
    await database.start()
    assert await database.fetchval("SELECT 1") == 1
    await database.stop()


async def test_a_stopped_pool_is_unavailable_and_stops_twice(database: Database) -> None:
    await database.stop()
    await database.stop()
    with pytest.raises(DatabaseUnavailableError):
        await database.fetchval("SELECT 1")


async def test_the_methods_for_one_statement(database: Database) -> None:
    assert [row["n"] for row in await database.fetch("SELECT generate_series(1, $1::int) AS n", 3)] == [1, 2, 3]
    row = await database.fetchrow("SELECT 1 AS one")
    assert row is not None
    assert row["one"] == 1
    assert await database.fetchrow("SELECT 1 WHERE false") is None
    assert await database.execute("CREATE TABLE made (id int)") == "CREATE TABLE"


async def test_lines_that_all_went_silent_cost_one_wait_and_not_one_each(relay: Any, notes: Database) -> None:
    database = Database(relay.target, pool_size=8)
    await database.start()

    async def nap(connection: Connection) -> None:
        await connection.fetchval("SELECT pg_sleep(0.2)")

    for attempt in (lambda: database.transact(_insert(1)), lambda: database.fetchval(_COUNT)):
        await asyncio.gather(*(database.transact(nap) for _ in range(8)))
        relay.fall_silent()
        started = monotonic_seconds()
        assert await attempt() == 1
        assert monotonic_seconds() - started < 4
    relay.cut()
    await database.stop()


async def test_an_embedded_server_that_cannot_be_brought_back_is_a_database_away(relay: Any) -> None:
    async def revive() -> None:
        raise EmbeddedError("the disk is full")

    database = Database(relay.target, acquire_timeout_seconds=1, revive=revive)
    await database.start()
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError):
        await database.transact(_insert(1))
    await database.stop()


async def test_one_writing_statement_is_a_transaction(notes: Database) -> None:
    row = await notes.write("INSERT INTO notes VALUES ($1) RETURNING id", 7)
    assert row is not None
    assert row["id"] == 7
    assert await notes.write("DELETE FROM notes WHERE id = 8 RETURNING id") is None
    assert [each["id"] for each in await notes.write_all("INSERT INTO notes VALUES (1), (2) RETURNING id")] == [1, 2]
    with pytest.raises(asyncpg.UniqueViolationError):
        await notes.write("INSERT INTO notes VALUES (7)")
    assert await notes.fetchval(_COUNT) == 3


async def test_a_statement_whose_answer_is_lost_may_be_committed(relay: Any, relayed: Database) -> None:
    await relayed.fetchval("SELECT 1")
    writing = asyncio.ensure_future(relayed.write("INSERT INTO notes SELECT 1 FROM pg_sleep(0.3)"))
    await asyncio.sleep(0.1)
    relay.cut()
    with pytest.raises(CommitUnknownError):
        await writing
    assert await relayed.write("INSERT INTO notes VALUES (2) RETURNING id")


async def test_writing_to_a_database_that_is_away_is_known_not_to_be_written(relay: Any, relayed: Database) -> None:
    await relay.stop()
    with pytest.raises(DatabaseUnavailableError) as caught:
        await relayed.write("INSERT INTO notes VALUES (1)")
    assert not isinstance(caught.value, CommitUnknownError)
