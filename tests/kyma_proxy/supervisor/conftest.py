"""A database for gateways in processes of their own."""

from __future__ import annotations

import pytest

from e2e_kit.world import database_url
from kyma_proxy.database.pool import DatabaseTarget


@pytest.fixture
def environ(database_target: DatabaseTarget) -> dict[str, str]:
    return {"TEST_DATABASE_URL": database_url(database_target)}
