"""One connection of the pool: whether it is lost, and leaving it in a state that harms nobody."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import asyncpg
import asyncpg.pool

from kyma_proxy.database.errors import CLIENT_ERRORS, is_away

Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy
ROLLBACK_SECONDS = 2.0


def is_lost(error: BaseException, connection: Connection) -> bool:
    """Whether an error on a connection means "no database", so that nobody can be blamed but the server."""
    if is_away(error):
        return True
    # asyncpg tells of a closed connection with the error class it uses for misuse as well.
    return isinstance(error, asyncpg.InterfaceError) and is_closed(connection)


def is_demoted(error: BaseException) -> bool:
    """Whether a statement was refused because its server takes no writes: it was the primary, and is no more."""
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def is_read_only(connection: Connection) -> bool:
    """Whether the server has said, with its last answer or before, that new transactions here cannot write."""
    if is_closed(connection):
        return False
    told = connection.get_settings()
    return "on" in (getattr(told, "in_hot_standby", None), getattr(told, "default_transaction_read_only", None))


def is_closed(connection: Connection) -> bool:
    """Whether the connection is closed, or was taken away from its borrower for being so."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        # asyncpg takes a lost connection away from its borrower.
        return True


def drop(connection: Connection) -> None:
    """Close the connection at once, whatever it is doing; the server rolls back."""
    if not is_closed(connection):
        connection.terminate()


async def roll_back(connection: Connection) -> None:
    """Leave no open transaction on the connection, or no connection. Raises nothing of its own."""
    if is_closed(connection):
        return
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS):
            await connection.execute("ROLLBACK")
    except BaseException as error:
        drop(connection)
        if not isinstance(error, CLIENT_ERRORS):
            raise
