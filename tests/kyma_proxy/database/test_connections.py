"""One connection of the pool."""

import asyncio

import asyncpg
import pytest

from kyma_proxy.database.connections import drop, is_closed, is_demoted, is_lost, is_read_only, roll_back
from kyma_proxy.database.pool import Connection, Database


async def test_a_dropped_connection_is_closed_and_dropping_it_again_is_harmless(database: Database) -> None:
    async def work(connection: Connection) -> None:
        assert not is_closed(connection)
        drop(connection)
        drop(connection)
        assert is_closed(connection)

    await database.borrow(work)


async def test_misuse_is_a_fault_and_a_closed_connection_is_a_loss(database: Database) -> None:
    async def work(connection: Connection) -> None:
        assert not is_lost(asyncpg.InterfaceError("misuse"), connection)
        assert not is_lost(ValueError(), connection)
        assert is_lost(ConnectionResetError(), connection)
        drop(connection)
        assert is_lost(asyncpg.InterfaceError("closed"), connection)

    await database.borrow(work)


async def test_rolling_back_leaves_no_transaction_behind(database: Database) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("BEGIN")
        await roll_back(connection)
        assert not connection.is_in_transaction()

    await database.borrow(work)


async def test_a_rollback_that_is_cancelled_closes_the_connection(database: Database) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("BEGIN")
        task = asyncio.get_running_loop().create_task(roll_back(connection))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_closed(connection)

    await database.borrow(work)


async def test_a_session_that_can_only_read_is_known_from_the_server_s_answers(database: Database) -> None:
    async def work(connection: Connection) -> None:
        assert not is_read_only(connection)
        await connection.execute("SET default_transaction_read_only = on")
        assert is_read_only(connection)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError) as refused:
            await connection.execute("CREATE TABLE notes (id int)")
        assert is_demoted(refused.value)
        assert not is_demoted(ConnectionResetError())
        drop(connection)
        assert not is_read_only(connection)

    await database.borrow(work)
