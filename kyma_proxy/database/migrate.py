"""Bringing a schema up to date, in a child process, so that a process that serves never loads SQLAlchemy.

The child is `python -m kyma_proxy.database.migrate`. It reads the target as JSON from stdin, because arguments and
environment can be read by others.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyma_proxy.database.target import DatabaseTarget

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

_MIGRATIONS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x6B796D61  # "kyma"
_LOCK_WAIT_SECONDS = 120
_LOCK_POLL_SECONDS = 0.2
_CONNECT_SECONDS = 10


class MigrationError(Exception):
    """The schema could not be brought up to date; nothing of the failed step remains. The message says why."""


async def upgrade(target: DatabaseTarget) -> None:
    """Bring the database to the newest schema; nothing to do if it is there. Safe from several processes at once.

    Raises MigrationError.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kyma_proxy.database.migrate",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await child.communicate(json.dumps(target.connect_arguments()).encode())
    except asyncio.CancelledError:
        child.kill()
        await child.wait()
        raise
    if child.returncode != 0:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        raise MigrationError(f"migrating {target.label} failed: {lines[-1] if lines else 'the migration died'}")


def alembic_config() -> Config:
    """Alembic's configuration; there is no ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def run_script(connection: Connection, script: str) -> None:
    """For revisions: run several statements, divided by semicolons, inside the connection's transaction."""
    # SQLAlchemy sends BEGIN with its first statement, and it prepares statements, which PostgreSQL allows singly only.
    connection.exec_driver_sql("SELECT 1")
    driver: Any = connection.connection.dbapi_connection
    driver.run_async(lambda bare: bare.execute(script))


async def _upgrade_here(arguments: dict[str, Any]) -> None:
    """Upgrade within this process, alone by an advisory lock."""
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    async def connect() -> Any:
        # asyncpg reads its own URLs: several hosts and `target_session_attrs` mean the same as to the gateway.
        return await asyncpg.connect(**arguments, timeout=_CONNECT_SECONDS)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await _lock(connection)
            await connection.run_sync(_run_alembic)
            await connection.commit()
    finally:
        await engine.dispose()


async def _lock(connection: AsyncConnection) -> None:
    """Wait for other migrations of this database; the lock goes with the session."""
    from sqlalchemy import text

    for _ in range(round(_LOCK_WAIT_SECONDS / _LOCK_POLL_SECONDS)):
        locked = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        await connection.commit()
        if locked:
            return
        await asyncio.sleep(_LOCK_POLL_SECONDS)
    raise MigrationError(f"another migration has been running for {_LOCK_WAIT_SECONDS} s")


def _run_alembic(connection: Any) -> None:
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def main() -> int:
    """Read the target from stdin and upgrade it; the last line of stderr says what failed."""
    try:
        asyncio.run(_upgrade_here(json.load(sys.stdin)))
    except Exception as error:  # noqa: BLE001  # whatever it is, it must reach the parent as one line
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        sys.stderr.write(f"{first_line}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
