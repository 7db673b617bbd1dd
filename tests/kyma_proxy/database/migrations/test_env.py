from __future__ import annotations

from typing import Any

from kyma_proxy.database.pool import Database
from kyma_proxy.database.schema import HEAD


async def test_the_revisions_ran_and_were_recorded(database: Database) -> None:
    rows: list[Any] = await database.fetch("SELECT version_num FROM alembic_version")
    assert [row["version_num"] for row in rows] == [HEAD]
