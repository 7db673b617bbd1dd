"""What may go wrong with the database, told apart by what the books may hold afterwards."""

from __future__ import annotations

import asyncpg

from kyma_proxy.errors import ErrorCode, GatewayError

CLIENT_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Everything that asyncpg raises, and what comes through it from the socket."""

# SQLSTATE classes and codes (PostgreSQL manual, appendix A) that say something about the server, not the statement.
_AWAY_CLASSES = frozenset({"08", "53", "57", "58"})
_AWAY_CODES = frozenset(
    {
        "25006",  # read only: the primary was demoted under us
        "25P03",  # the server ended a transaction that sat idle
        "40001",
        "40P01",  # serialisation failure and deadlock: rolled back, safe to repeat
        "55P03",  # a lock could not be had in time
    }
)
# The server answered COMMIT with an error, yet the transaction may have reached the disk.
_UNSURE_CLASSES = frozenset({"08", "57", "58", "XX"})
_UNSURE_CODES = frozenset({"40003"})


class DatabaseUnavailableError(GatewayError):
    """The database is away, too busy or not reachable in time. What was asked was not committed."""

    def __init__(self, message: str = "The service is busy or partly unavailable; try again shortly.") -> None:
        super().__init__(ErrorCode.UNAVAILABLE, message)

    @property
    def in_the_way(self) -> str:
        """The database."""
        return "database"


class CommitUnknownError(DatabaseUnavailableError):
    """COMMIT was sent and its answer was lost: the work may be committed or not. Read back before saying anything."""

    def __init__(self) -> None:
        super().__init__("The database's answer was lost: it is not known whether this was written.")


def is_away(error: BaseException) -> bool:
    """Whether an error of asyncpg or the socket means "no database now", rather than a fault of the statement."""
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or ""
        return sqlstate[:2] in _AWAY_CLASSES or sqlstate in _AWAY_CODES
    return isinstance(error, OSError | asyncpg.InternalClientError)


def is_refused_commit(error: BaseException) -> bool:
    """Whether an error in answer to COMMIT proves that nothing was committed (a deferred constraint, say)."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    sqlstate = error.sqlstate or ""
    # FATAL ends the session at any point, also after the commit record was written.
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return severity == "ERROR" and sqlstate[:2] not in _UNSURE_CLASSES and sqlstate not in _UNSURE_CODES
