"""The command on a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget


@pytest.fixture
def environ(tmp_path: Path, database_target: DatabaseTarget) -> dict[str, str]:
    path = tmp_path / "gateway.yaml"
    path.write_text('version: 1\ndatabase: {url: "${TEST_DATABASE_URL}"}\n')
    return {"KYMA_CONFIG": str(path), "TEST_DATABASE_URL": database_url(database_target)}
