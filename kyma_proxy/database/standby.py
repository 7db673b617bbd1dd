"""Whether a failover could lose what was told to a client as done: asked once, when the gateway starts."""

from __future__ import annotations

import asyncpg
import structlog

from kyma_proxy.database.errors import DatabaseUnavailableError
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget

_log = structlog.get_logger("kyma_proxy.database")

# Who may not look at replication sees a row for each standby, with NULL in every column that matters.
_STATE = """
SELECT current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS standby_names,
       count(pid) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS waited_for,
       count(pid) FILTER (WHERE sync_state IS NULL) AS hidden
FROM pg_stat_replication
"""
_MAY_LEAD_TO_STANDBY = (
    "database.url names several hosts and does not say target_session_attrs=read-write:"
    " connections may lead to a standby, which takes no writes"
)
# These acknowledge a commit before any standby has it, whatever synchronous_standby_names says.
_LOCAL_LEVELS = ("off", "local")


async def log_standby_warnings(database: Database, target: DatabaseTarget) -> None:
    """Log every standby warning as an event `database_warning`. Raises nothing of the database's."""
    for message in await standby_warnings(database, target):
        _log.warning("database_warning", target=target.label, message=message)


async def standby_warnings(database: Database, target: DatabaseTarget) -> tuple[str, ...]:
    """What is wrong with a database on several hosts, one sentence each; nothing for a single host.

    A failover loses nothing only if connections lead to the primary, and every commit waits for a standby. Where the
    database cannot be asked, or does not tell this role, that part is left out.
    """
    if len(target.hosts) < 2:
        return ()
    if not target.wants_primary:
        return (_MAY_LEAD_TO_STANDBY,)
    try:
        state = await database.fetchrow(_STATE)
    except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
        _log.info("standby_not_asked", error=type(error).__name__)
        return ()
    return () if state is None else _judge(state)


def _judge(state: asyncpg.Record) -> tuple[str, ...]:
    warnings = []
    if state["synchronous_commit"] in _LOCAL_LEVELS:
        warnings.append(
            f"synchronous_commit is {state['synchronous_commit']}: a failover can lose voices that were paid for;"
            " set it to on for this role and database"
        )
    if not state["standby_names"].strip():
        warnings.append(
            "synchronous_standby_names is empty, so commits do not wait for a standby:"
            " a failover can lose voices that were paid for"
        )
    elif not state["waited_for"] and not state["hidden"]:
        warnings.append(
            "no standby of synchronous_standby_names is connected: commits wait until one is,"
            " and requests that write are answered with 503"
        )
    return tuple(warnings)
