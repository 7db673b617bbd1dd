"""Which schema this version needs, and which one a database has: without SQLAlchemy, for processes that serve."""

from __future__ import annotations

from typing import Literal

from kyma_proxy.database.pool import Database

SchemaState = Literal["current", "old", "newer", "missing"]

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision under migrations/versions, oldest first."""
HEAD = REVISIONS[-1]
"""The revision this version of the gateway needs."""


async def schema_state(database: Database) -> SchemaState:
    """How the database's schema compares with `HEAD`; a revision nobody here knows is "newer".

    Raises DatabaseUnavailableError.
    """
    if await database.fetchval("SELECT to_regclass('alembic_version')") is None:
        return "missing"
    revision = await database.fetchval("SELECT version_num FROM alembic_version")
    if revision is None:
        return "missing"
    if revision == HEAD:
        return "current"
    return "old" if revision in REVISIONS else "newer"
