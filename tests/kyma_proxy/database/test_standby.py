"""The warning that a failover could lose commits, from real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog.testing

from kyma_proxy.database.pool import Database
from kyma_proxy.database.standby import log_standby_warnings, standby_warnings
from kyma_proxy.database.target import DatabaseTarget
from postgres_kit import Server, multi_host_url, until


@pytest.fixture
async def primary() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


def target_of(primary: Server, standby: Server, attributes: str | None = "read-write") -> DatabaseTarget:
    return DatabaseTarget.from_url(multi_host_url([primary, standby], "postgres", attributes))


@asynccontextmanager
async def opened(target: DatabaseTarget) -> AsyncIterator[Database]:
    database = Database(target)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


async def warnings_of(target: DatabaseTarget) -> tuple[str, ...]:
    async with opened(target) as database:
        return await standby_warnings(database, target)


async def test_only_a_standby_that_commits_wait_for_is_beyond_reproach(primary: Server) -> None:
    standby = await primary.make_standby(synchronous=False)
    target = target_of(primary, standby)
    [warning] = await warnings_of(target)
    assert "synchronous_standby_names is empty" in warning

    await primary.configure(synchronous_standby_names="standby")
    await primary.await_standby()
    assert await warnings_of(target) == ()
    await primary.configure(synchronous_standby_names="ANY 1 (standby, another)")
    await primary.await_standby(state="quorum")
    assert await warnings_of(target) == ()

    await primary.configure(synchronous_standby_names="another")
    await primary.await_standby(state="async")
    [warning] = await warnings_of(target)
    assert "no standby of synchronous_standby_names is connected" in warning
    await standby.stop()
    assert await warnings_of(target) == (warning,)


@pytest.mark.parametrize("level", ["off", "local"])
async def test_a_session_that_does_not_wait_is_told_of(primary: Server, level: str) -> None:
    standby = await primary.make_standby(synchronous=False)
    await primary.run(f"ALTER ROLE kyma SET synchronous_commit = {level}")
    [first, second] = await warnings_of(target_of(primary, standby))
    assert f"synchronous_commit is {level}" in first
    assert "synchronous_standby_names is empty" in second
    await primary.run("ALTER ROLE kyma RESET synchronous_commit")
    await primary.configure(synchronous_standby_names="standby")
    await primary.await_standby()
    assert await warnings_of(target_of(primary, standby)) == ()


async def test_a_url_that_may_lead_to_a_standby_is_told_of(primary: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    standby = await primary.make_standby()
    for attributes in (None, "any", "read-only", "prefer-standby"):
        [warning] = await warnings_of(target_of(standby, primary, attributes))
        assert "target_session_attrs=read-write" in warning
    for attributes in ("read-write", "primary"):
        assert await warnings_of(target_of(standby, primary, attributes)) == ()
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "primary")
    assert await warnings_of(target_of(standby, primary, None)) == ()


async def test_a_role_that_may_not_look_is_not_told_what_it_cannot_see(primary: Server) -> None:
    standby = await primary.make_standby()
    await primary.run("CREATE ROLE gate LOGIN PASSWORD 'gate'")
    url = f"postgresql://gate:gate@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
    target = DatabaseTarget.from_url(f"{url}?target_session_attrs=read-write")
    assert await warnings_of(target) == ()
    await primary.configure(synchronous_standby_names="another")
    await primary.await_standby(state="async")
    assert await warnings_of(target) == (), "the standby may be the right one, for all that this role knows"
    await standby.stop()

    async def gone() -> bool:
        return not await primary.value("SELECT count(*) FROM pg_stat_replication")

    await until(gone)
    [warning] = await warnings_of(target)
    assert "no standby of synchronous_standby_names is connected" in warning
    await primary.configure(synchronous_standby_names="")
    [warning] = await warnings_of(target)
    assert "synchronous_standby_names is empty" in warning


async def test_a_single_host_is_nobody_elses_business(primary: Server) -> None:
    for target in (primary.target, DatabaseTarget.from_url(primary.url("postgres"))):
        assert await warnings_of(target) == ()


async def test_a_database_that_cannot_be_asked_fails_nothing(primary: Server) -> None:
    target = DatabaseTarget.from_url(multi_host_url([primary, primary], "postgres"))
    async with opened(target) as database:
        await primary.run("REVOKE SELECT ON pg_stat_replication FROM PUBLIC")
        await primary.stop()
        async with asyncio.timeout(10):
            await log_standby_warnings(database, target)
        await primary.start()
    await primary.run("CREATE ROLE gate LOGIN PASSWORD 'gate'")
    arguments = {**target.connect_arguments(), "user": "gate", "password": "gate"}
    assert await warnings_of(DatabaseTarget("two hosts", arguments)) == ()


async def test_each_warning_is_logged(primary: Server) -> None:
    target = DatabaseTarget.from_url(multi_host_url([primary, primary], "postgres"))
    async with opened(target) as database:
        with structlog.testing.capture_logs() as logged:
            await log_standby_warnings(database, target)
    [event] = [each for each in logged if each["event"] == "database_warning"]
    assert event["log_level"] == "warning"
    assert "synchronous_standby_names is empty" in event["message"]
    assert "@" not in event["target"]
