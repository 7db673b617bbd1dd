"""Opening the configured database."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from e2e_kit.world import database_url
from kyma_proxy.database.access import SchemaMismatchError, open_database
from kyma_proxy.database.pool import DatabaseTarget
from kyma_proxy.database.schema import HEAD, schema_state
from kyma_proxy.settings import DatabaseSettings


def settings(url: str, data_dir: Path = Path(".kyma")) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(url), data_dir=data_dir)


async def test_an_external_database_with_the_right_schema_is_opened(database_target: DatabaseTarget) -> None:
    async with open_database(settings(database_url(database_target))) as (database, _):
        assert await schema_state(database) == "current"


async def test_an_external_database_is_migrated_only_when_told_to(postgres: Any) -> None:
    target = await postgres.create_database("template1")
    external = settings(database_url(target))
    with pytest.raises(SchemaMismatchError, match="kyma-proxy migrate"):
        async with open_database(external):
            pytest.fail("an old schema was served")
    async with open_database(external, migrate=True) as (database, _):
        assert await schema_state(database) == "current"
    await postgres.drop_database(target)


async def test_a_schema_from_the_future_is_refused(database_target: DatabaseTarget) -> None:
    external = settings(database_url(database_target))
    async with open_database(external) as (database, _):
        await database.execute("UPDATE alembic_version SET version_num = '9999'")
    for migrate in (False, True):
        with pytest.raises(SchemaMismatchError, match=f"newer than this version .*{HEAD}"):
            async with open_database(external, migrate=migrate):
                pytest.fail("a newer schema was served")


async def test_an_embedded_database_is_started_migrated_and_stopped(tmp_path: Path) -> None:
    async with open_database(settings("embedded", tmp_path / "data")) as (database, _):
        assert await schema_state(database) == "current"
    assert not await database.reachable()
