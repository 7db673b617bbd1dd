"""Fixtures that every test may use: a real PostgreSQL, and a fresh, migrated database of it for each test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from database_kit import Postgres, Relay, start_postgres
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget


@pytest.fixture(scope="session", autouse=True)
def _no_place_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Root's server cannot enter pytest's temporary folders and keeps its files elsewhere: they go with the run."""
    yield
    for record in tmp_path_factory.getbasetemp().rglob("postgres/place"):
        shutil.rmtree(record.read_text("utf-8"), ignore_errors=True)


@pytest.fixture(autouse=True)
def _log_as_at_first() -> Iterator[None]:
    """Commands configure the log of their process, which is this one."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """An embedded PostgreSQL for the whole run, gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="kyma-tests-"))
    # Root's server is another user and must pass; what it keeps there is closed to others by itself.
    folder.chmod(0o755)
    postgres = None
    try:
        # Its own loop: a test's loop must not own what outlives the test.
        postgres = asyncio.run(start_postgres(folder / "data"))
        yield postgres
    finally:
        if postgres is not None:
            asyncio.run(postgres.server.stop())
        shutil.rmtree(folder)


@pytest.fixture
async def database_target(postgres: Postgres) -> AsyncIterator[DatabaseTarget]:
    """A fresh, migrated database."""
    target = await postgres.create_database()
    yield target
    await postgres.drop_database(target)


@pytest.fixture
async def database(database_target: DatabaseTarget) -> AsyncIterator[Database]:
    """A started pool on a fresh, migrated database."""
    database = Database(database_target, pool_size=5, acquire_timeout_seconds=5)
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
async def relay(database_target: DatabaseTarget) -> AsyncIterator[Relay]:
    """A running relay to a fresh, migrated database."""
    folder = tempfile.mkdtemp(prefix="kyma-relay-")
    relay = Relay(database_target, folder)
    await relay.start()
    yield relay
    await relay.stop()
    shutil.rmtree(folder)
