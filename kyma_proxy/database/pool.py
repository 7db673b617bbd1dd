"""The one way to the books: a bounded pool of connections, transactions, and errors that say what may be committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg
import asyncpg.pool
import structlog

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.connections import (
    ROLLBACK_SECONDS,
    Connection,
    drop,
    is_demoted,
    is_lost,
    is_read_only,
    roll_back,
)
from kyma_proxy.database.connector import Connector
from kyma_proxy.database.errors import (
    CLIENT_ERRORS,
    CommitUnknownError,
    DatabaseUnavailableError,
    is_away,
    is_refused_commit,
)
from kyma_proxy.database.private import EmbeddedError
from kyma_proxy.database.target import DatabaseTarget

T = TypeVar("T")

__all__ = ["Connection", "Database", "DatabaseTarget", "Revive"]

Revive: TypeAlias = Callable[[], Awaitable[None]]

_log = structlog.get_logger("kyma_proxy.database")

_COMMAND_SECONDS = 10.0
_READ_SECONDS = 2.0
_BEGIN_SECONDS = 2.0
_CLOSE_SECONDS = 5.0
_REACHABLE_SECONDS = 1.0
_REVIVE_INTERVAL_SECONDS = 1.0
# A client machine that vanishes must not keep a row locked for as long as TCP takes to notice.
_PREPARE_SESSION = "SET idle_in_transaction_session_timeout = '30s'"


class Database:
    """A bounded pool of connections to one database.

    It recovers by itself: dead connections are dropped and fresh ones opened. With `revive` (the embedded server's
    `ensure_running`) a failed connect first asks for the server to be brought back, at most once a second.
    """

    def __init__(
        self,
        target: DatabaseTarget,
        *,
        pool_size: int = 10,
        acquire_timeout_seconds: float = 5.0,
        revive: Revive | None = None,
    ) -> None:
        self._target = target
        self._pool_size = pool_size
        self._acquire_timeout_seconds = acquire_timeout_seconds
        self._revive = revive
        self._reviving = asyncio.Lock()
        self._revived_at = float("-inf")
        self._connector = Connector(target)
        self._answered_at = float("-inf")
        self._pool: asyncpg.pool.Pool | None = None

    def __repr__(self) -> str:
        state = "stopped" if self._pool is None else f"{self._pool.get_size()} of {self._pool_size} open"
        return f"Database({self._target.label}, {state})"

    @property
    def open(self) -> int:
        """Connections there are, as far as is known."""
        return 0 if self._pool is None else self._pool.get_size()

    @property
    def idle(self) -> int:
        """Those of them that nobody uses."""
        return 0 if self._pool is None else self._pool.get_idle_size()

    async def start(self) -> None:
        """Open the pool and prove that the database answers.

        Raises DatabaseUnavailableError if it does not; the pool is open all the same and connects when it can.
        """
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                min_size=0,
                max_size=self._pool_size,
                command_timeout=_COMMAND_SECONDS,
                connect=self._connect,
                init=_prepare_session,
                reset=_keep_session,
            )
        await self.fetchval("SELECT 1")

    async def stop(self) -> None:
        """Close every connection, waiting at most 5 s for those in use. Stopping twice is harmless."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._pool.close()
        except CLIENT_ERRORS:
            self._pool.terminate()
        finally:
            self._pool = None
            self._answered_at = float("-inf")

    async def transact(
        self, work: Callable[[Connection], Awaitable[T]], on_committed: Callable[[], Awaitable[None]] | None = None
    ) -> T:
        """Run `work` between BEGIN (read committed) and COMMIT on one connection and return its result.

        `work` does nothing but SQL, leaves no session state and uses no `connection.transaction()`. Whatever it raises
        rolls back and passes through, except what means that the database is gone: that becomes
        DatabaseUnavailableError, and nothing was committed. Once COMMIT was sent and no clear answer came,
        CommitUnknownError. A failed statement that `work` swallowed is an error too, never a silent rollback.
        Cancelling rolls back, unless COMMIT was under way: then the outcome is unknown as well, so run what must be
        known inside `Tasks.finish`.

        `on_committed` is called when the server has committed and nobody here knows yet: raising there is losing the
        answer. It is for tests that put a fault in this place.
        """
        async with self._transaction() as connection:
            try:
                result = await work(connection)
            except BaseException as error:
                await roll_back(connection)
                if is_lost(error, connection):
                    if is_demoted(error):
                        await self._give_up(connection)
                    raise self._away(error) from error
                raise
            await self._commit(connection, on_committed)
            return result

    async def borrow(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Lend a connection to `work`, which runs its own read-only transactions. Raises DatabaseUnavailableError."""
        async with self._connection() as connection:
            try:
                return await work(connection)
            except Exception as error:
                if is_lost(error, connection):
                    drop(connection)
                    raise self._away(error) from error
                raise

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of one reading statement. Raises DatabaseUnavailableError.

        Only for quick reading: on a connection that proves dead, or silent for 2 s, it is repeated once on a fresh one.
        What writes goes through `transact`.
        """
        rows: list[asyncpg.Record] = await self._single("fetch", sql, *args, repeat=True)
        return rows

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row of one reading statement, or None. Otherwise as `fetch`."""
        return await self._single("fetchrow", sql, *args, repeat=True)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first value of the first row of one reading statement, or None. Otherwise as `fetch`."""
        return await self._single("fetchval", sql, *args, repeat=True)

    async def execute(self, sql: str, *args: Any) -> str:
        """The command tag (`UPDATE 1`) of one statement that is its own transaction. Raises DatabaseUnavailableError.

        It is never repeated, and a lost answer does not tell whether it ran: what must be known to be written goes
        through `transact`.
        """
        tag: str = await self._single("execute", sql, *args, repeat=False)
        return tag

    async def write(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row of one writing statement that is its own transaction, or None: one round trip.

        It is never repeated. Raises DatabaseUnavailableError when nothing was committed, CommitUnknownError when the
        statement was sent and its answer lost.
        """
        rows = await self.write_all(sql, *args)
        return rows[0] if rows else None

    async def write_all(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of one writing statement that is its own transaction. Otherwise as `write`."""
        async with self._connection() as connection:
            try:
                rows: list[asyncpg.Record] = await connection.fetch(sql, *args, timeout=_COMMAND_SECONDS)
            except Exception as error:
                if not is_lost(error, connection):
                    raise
                if is_refused_commit(error):
                    await self._give_up(connection)
                    raise self._away(error) from error
                await self._give_up(connection)
                _log.error("commit_answer_lost", error=type(error).__name__)
                raise CommitUnknownError from error
            except BaseException:
                # Given back open, it would first be asked to cancel.
                drop(connection)
                raise
            self._answered_at = monotonic_seconds()
            return rows

    async def reachable(self) -> bool:
        """Whether the database answers, found out within a second.

        An answer to anybody in the last second counts, so a pool that is busy is not mistaken for a database that is
        away, and asking often costs nothing.
        """
        if self._pool is None:
            return False
        if self._answered_within(_REACHABLE_SECONDS):
            return True
        try:
            async with asyncio.timeout(_REACHABLE_SECONDS):
                await self._ping()
        except (DatabaseUnavailableError, *CLIENT_ERRORS):
            return self._answered_within(_REACHABLE_SECONDS)
        return True

    async def _ping(self) -> None:
        async with self._connection() as connection:
            try:
                await connection.fetchval("SELECT 1")
            except BaseException:
                # Given back open, it would first wait for the answer that does not come.
                drop(connection)
                raise
            self._answered_at = monotonic_seconds()

    def _answered_within(self, seconds: float) -> bool:
        return monotonic_seconds() - self._answered_at < seconds

    async def _single(self, method: str, sql: str, *args: Any, repeat: bool) -> Any:
        async with self._connection() as connection:
            try:
                seconds = _READ_SECONDS if repeat else _COMMAND_SECONDS
                result = await getattr(connection, method)(sql, *args, timeout=seconds)
            except Exception as error:
                if not is_lost(error, connection):
                    raise
                await self._give_up(connection)
                if not repeat:
                    raise self._away(error) from error
                _log.info("dead_connection_dropped", error=type(error).__name__)
            else:
                self._answered_at = monotonic_seconds()
                if not (repeat and self._was_demoted(connection)):
                    return result
                await self._give_up(connection)
        return await self._single(method, sql, *args, repeat=False)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        connection = await self._acquire()
        try:
            yield connection
        finally:
            await self._release(connection)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        """A connection on which BEGIN was answered; a connection found dead at BEGIN is replaced once."""
        connection = await self._acquire()
        try:
            if not await self._begin(connection):
                await self._release(connection)
                connection = await self._acquire()
                if not await self._begin(connection):
                    raise DatabaseUnavailableError
            yield connection
        finally:
            await self._release(connection)

    async def _begin(self, connection: Connection) -> bool:
        """True once the transaction is open; False if the connection proved dead, which is then closed."""
        try:
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED", timeout=_BEGIN_SECONDS)
        except BaseException as error:
            lost = is_lost(error, connection)
            await self._give_up(connection)
            if not lost:
                raise
            _log.info("dead_connection_dropped", error=type(error).__name__)
            return False
        self._answered_at = monotonic_seconds()
        if self._was_demoted(connection):
            await self._give_up(connection)
            return False
        return True

    def _was_demoted(self, connection: Connection) -> bool:
        """Whether a connection would not be opened now: its server takes no writes any more, and the target wants that.

        A server that was fenced stays up and answers, so nothing else would ever lead away from it.
        """
        return self._target.wants_primary and is_read_only(connection)

    async def _commit(self, connection: Connection, on_committed: Callable[[], Awaitable[None]] | None) -> None:
        try:
            tag = await connection.execute("COMMIT")
            if on_committed is not None:
                await on_committed()
        except Exception as error:
            if is_refused_commit(error):
                if is_away(error):
                    raise self._away(error) from error
                raise
            # Whatever it is: COMMIT is out, and nothing has said what became of it.
            await self._give_up(connection)
            _log.error("commit_answer_lost", error=type(error).__name__)
            raise CommitUnknownError from error
        except BaseException:
            # Given back open, it would first be asked to cancel, and a commit that waits for its standby and is
            # cancelled counts without it.
            drop(connection)
            raise
        self._answered_at = monotonic_seconds()
        if tag != "COMMIT":
            # PostgreSQL answers COMMIT of a failed transaction with the tag ROLLBACK and no error.
            raise asyncpg.InFailedSQLTransactionError("a statement failed before COMMIT: all was rolled back")

    async def _acquire(self) -> Connection:
        try:
            async with asyncio.timeout(self._acquire_timeout_seconds):
                return await self._connect_or_revive()
        except TimeoutError as error:
            _log.warning("database_busy", waited_seconds=self._acquire_timeout_seconds)
            raise DatabaseUnavailableError from error
        except (EmbeddedError, *CLIENT_ERRORS) as error:
            raise self._away(error) from error

    async def _give_up(self, connection: Connection) -> None:
        """Close a connection that proved dead, and trust no other that was opened before now.

        When a line goes silent (a failover, a firewall) all of them do: trying them one by one would cost each
        request a time-out.
        """
        drop(connection)
        if self._pool is not None:
            await self._pool.expire_connections()

    async def _connect(self, _dsn: str | None = None, **options: Any) -> Any:
        """For asyncpg's pool: every connection of it is opened here."""
        return await self._connector.connect(self._acquire_timeout_seconds, **options)

    async def _connect_or_revive(self) -> Connection:
        if self._pool is None:
            raise DatabaseUnavailableError
        try:
            return await self._pool.acquire()
        except CLIENT_ERRORS as error:
            if self._revive is None:
                raise
            async with self._reviving:
                if monotonic_seconds() - self._revived_at >= _REVIVE_INTERVAL_SECONDS:
                    _log.warning("database_revived", error=type(error).__name__)
                    await self._revive()
                    self._revived_at = monotonic_seconds()
        if self._pool is None:
            raise DatabaseUnavailableError
        return await self._pool.acquire()

    async def _release(self, connection: Connection) -> None:
        if self._pool is None:
            return
        try:
            await self._pool.release(connection, timeout=ROLLBACK_SECONDS)
        except CLIENT_ERRORS as error:
            # The connection is closed by now; what the transaction came to was decided before.
            _log.info("connection_dropped_on_release", error=type(error).__name__)

    def _away(self, error: BaseException) -> DatabaseUnavailableError:
        _log.warning("database_unavailable", target=self._target.label, error=f"{type(error).__name__}: {error}")
        return DatabaseUnavailableError()


async def _prepare_session(connection: Any) -> None:
    await connection.execute(_PREPARE_SESSION)


async def _keep_session(_connection: Any) -> None:
    """Instead of asyncpg's reset query: nobody leaves session state, so a round trip per release is saved."""
