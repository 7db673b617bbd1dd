"""A stage for each test: an account with money for three voices."""

import pytest

from kyma_proxy.accounts.accounts import open_account
from kyma_proxy.database.pool import Database
from mint_kit import PRICE, Stage


@pytest.fixture
async def stage(database: Database) -> Stage:
    opened = await database.transact(lambda connection: open_account(connection, "Ada", 3 * PRICE, "test"))
    return Stage(database, opened.account_id)
