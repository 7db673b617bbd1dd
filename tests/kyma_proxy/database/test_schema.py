from __future__ import annotations

from typing import Any

import pytest
from alembic.script import ScriptDirectory

from kyma_proxy.database.migrate import alembic_config
from kyma_proxy.database.pool import Database
from kyma_proxy.database.schema import HEAD, REVISIONS, schema_state


def test_the_revisions_named_are_those_of_alembic() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS
    assert scripts.get_current_head() == HEAD


async def test_a_migrated_database_is_current(database: Database) -> None:
    assert await schema_state(database) == "current"


async def test_a_revision_nobody_knows_is_newer(database: Database) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert await schema_state(database) == "newer"


async def test_an_earlier_revision_is_old(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kyma_proxy.database.schema.HEAD", "9999")
    assert await schema_state(database) == "old"


@pytest.mark.parametrize("statement", ["DELETE FROM alembic_version", "DROP TABLE alembic_version"])
async def test_a_database_without_a_revision_has_no_schema(database: Database, statement: str) -> None:
    await database.execute(statement)
    assert await schema_state(database) == "missing"


async def test_an_empty_database_has_no_schema(postgres: Any) -> None:
    target = await postgres.create_database("template1")
    database = Database(target)
    try:
        await database.start()
        assert await schema_state(database) == "missing"
    finally:
        await database.stop()
        await postgres.drop_database(target)
