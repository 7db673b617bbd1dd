"""Opening the configured database: the embedded server or an external one, its schema, a pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kyma_proxy.database.embedded import EmbeddedPostgres
from kyma_proxy.database.migrate import upgrade
from kyma_proxy.database.pool import Database, DatabaseTarget
from kyma_proxy.database.schema import HEAD, schema_state
from kyma_proxy.settings import DatabaseSettings

EMBEDDED = "embedded"


class SchemaMismatchError(Exception):
    """The database's schema is not the one this version needs; the message says what to run."""


@asynccontextmanager
async def database_server(settings: DatabaseSettings) -> AsyncIterator[tuple[DatabaseTarget, EmbeddedPostgres | None]]:
    """Where the configured database is; an embedded server is started, or joined, and left again at the end.

    Raises EmbeddedError when an embedded server cannot be started.
    """
    if settings.url.get_secret_value() != EMBEDDED:
        yield DatabaseTarget.from_url(settings.url), None
        return
    server = EmbeddedPostgres(settings.data_dir)
    try:
        yield await server.start(), server
    finally:
        await server.stop()


@asynccontextmanager
async def open_database(
    settings: DatabaseSettings, *, migrate: bool = False
) -> AsyncIterator[tuple[Database, DatabaseTarget]]:
    """A started pool on the configured database, with the schema this version needs.

    An embedded database is migrated as needed, an external one only with `migrate`. Raises EmbeddedError,
    DatabaseUnavailableError, MigrationError, SchemaMismatchError.
    """
    async with database_server(settings) as (target, server):
        database = Database(
            target,
            pool_size=settings.pool_size,
            acquire_timeout_seconds=settings.acquire_timeout_seconds,
            revive=server.ensure_running if server is not None else None,
        )
        try:
            await database.start()
            await _bring_up_to_date(database, target, migrate=migrate or server is not None)
            yield database, target
        finally:
            await database.stop()


async def _bring_up_to_date(database: Database, target: DatabaseTarget, *, migrate: bool) -> None:
    state = await schema_state(database)
    if state == "current":
        return
    if state == "newer":
        raise SchemaMismatchError(
            f"the database's schema is newer than this version of kyma-proxy needs ({HEAD}): upgrade kyma-proxy"
        )
    if not migrate:
        raise SchemaMismatchError(
            f"the database's schema is {state} (this version needs {HEAD}): run `kyma-proxy migrate`,"
            " or start with `kyma-proxy serve --migrate`"
        )
    await upgrade(target)
