from __future__ import annotations

import asyncpg
import pytest

from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError, is_away, is_refused_commit
from kyma_proxy.errors import ErrorCode


def _answer(error_class: type[asyncpg.PostgresError], severity: str = "ERROR") -> asyncpg.PostgresError:
    fields = {"S": severity, "V": severity, "C": error_class.sqlstate, "M": "told by the server"}
    return asyncpg.PostgresError.new(fields)


def test_both_errors_are_a_503_that_may_be_repeated() -> None:
    for error in (DatabaseUnavailableError(), CommitUnknownError()):
        assert error.code is ErrorCode.UNAVAILABLE
        assert error.should_retry
    assert issubclass(CommitUnknownError, DatabaseUnavailableError)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.AdminShutdownError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.QueryCanceledError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.DiskFullError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.InternalClientError(),
    ],
)
def test_what_says_that_the_database_is_away(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError(),
        asyncpg.CheckViolationError(),
        asyncpg.UndefinedTableError(),
        asyncpg.RaiseError(),
        asyncpg.DataError("argument"),
        LookupError(),
    ],
)
def test_what_is_the_fault_of_the_statement_or_of_the_work(error: Exception) -> None:
    assert not is_away(error)


@pytest.mark.parametrize(
    "error_class", [asyncpg.UniqueViolationError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError]
)
def test_an_answer_that_refuses_a_commit(error_class: type[asyncpg.PostgresError]) -> None:
    assert is_refused_commit(_answer(error_class))


@pytest.mark.parametrize(
    "error",
    [
        _answer(asyncpg.AdminShutdownError, "FATAL"),
        _answer(asyncpg.UniqueViolationError, "FATAL"),
        _answer(asyncpg.QueryCanceledError),
        _answer(asyncpg.StatementCompletionUnknownError),
        _answer(asyncpg.InternalServerError),
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError(),
    ],
)
def test_what_leaves_a_commit_unknown(error: Exception) -> None:
    assert not is_refused_commit(error)
