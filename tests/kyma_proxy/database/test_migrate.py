from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from kyma_proxy.database import migrate
from kyma_proxy.database.migrate import MigrationError, upgrade
from kyma_proxy.database.pool import Database
from kyma_proxy.database.schema import schema_state
from kyma_proxy.database.target import DatabaseTarget


@pytest.fixture
async def empty(postgres: Any) -> AsyncIterator[DatabaseTarget]:
    """A database without a schema."""
    target = await postgres.create_database("template1")
    yield target
    await postgres.drop_database(target)


async def test_two_upgrades_at_once_make_one_schema(empty: DatabaseTarget) -> None:
    await asyncio.gather(upgrade(empty), upgrade(empty))
    database = Database(empty)
    await database.start()
    assert await schema_state(database) == "current"
    await upgrade(empty)
    assert await schema_state(database) == "current"
    await database.stop()


async def test_an_external_url_works_too(empty: DatabaseTarget) -> None:
    given = empty.connect_arguments()
    url = f"postgresql://{given['user']}:{given['password']}@/{given['database']}?host={given['host']}&port=5432"
    await upgrade(DatabaseTarget.from_url(url))
    database = Database(DatabaseTarget.from_url(url))
    await database.start()
    assert await schema_state(database) == "current"
    await database.stop()


async def test_a_failure_is_one_clear_line_and_leaves_nothing(empty: DatabaseTarget) -> None:
    connection = await asyncpg.connect(**empty.connect_arguments())
    await connection.execute("CREATE TABLE voices (in_the_way int)")
    with pytest.raises(MigrationError, match=r'relation "voices" already exists') as failed:
        await upgrade(empty)
    assert "\n" not in str(failed.value)
    assert await connection.fetchval("SELECT to_regclass('accounts')") is None
    await connection.close()


async def test_a_database_that_is_away_is_a_clear_error_without_the_password() -> None:
    target = DatabaseTarget.from_socket("/nowhere", user="gate", password="s3cret", database="books")
    with pytest.raises(MigrationError, match="/nowhere/books") as failed:
        await upgrade(target)
    assert "s3cret" not in str(failed.value)


async def test_waiting_for_another_migration_ends(empty: DatabaseTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_LOCK_WAIT_SECONDS", 0.4)
    other = await asyncpg.connect(**empty.connect_arguments())
    await other.execute("SELECT pg_advisory_lock($1)", migrate._ADVISORY_LOCK)
    with pytest.raises(MigrationError, match="another migration"):
        await migrate._upgrade_here(empty.connect_arguments())
    await other.close()


async def test_cancelling_ends_the_child(empty: DatabaseTarget) -> None:
    other = await asyncpg.connect(**empty.connect_arguments())
    await other.execute("SELECT pg_advisory_lock($1)", migrate._ADVISORY_LOCK)
    task = asyncio.create_task(upgrade(empty))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(200):
        if await other.fetchval(waiting):
            break
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        if not await other.fetchval(waiting):
            break
        await asyncio.sleep(0.02)
    assert await other.fetchval(waiting) == 0
    await other.close()


def test_the_child_says_on_one_line_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"host": "/nowhere", "port": 5432, "user": "gate"})))
    assert migrate.main() == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_process_that_serves_does_not_load_sqlalchemy() -> None:
    script = "import sys, kyma_proxy.database.migrate, kyma_proxy.database.pool, kyma_proxy.database.schema;"
    script += "sys.exit(any(name.startswith(('sqlalchemy', 'alembic')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
