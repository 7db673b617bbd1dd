"""Connections to a database on several hosts, and the pool that follows a failover by them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg
import pytest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database import pool as pool_module
from kyma_proxy.database.connector import Connector
from kyma_proxy.database.errors import CommitUnknownError, DatabaseUnavailableError
from kyma_proxy.database.pool import Connection, Database
from kyma_proxy.database.target import DatabaseTarget
from postgres_kit import Server, multi_host_url, until


@pytest.fixture
async def primary() -> AsyncIterator[Server]:
    async with Server() as server:
        await server.run("CREATE TABLE notes (id int)")
        yield server


@pytest.fixture
async def standby(primary: Server) -> Server:
    return await primary.make_standby()


@contextlib.contextmanager
def silent_host() -> Iterator[int]:
    """A port where connections are made by the system and nobody ever answers, as at a machine that has died."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def target_of(*servers: Server, attributes: str | None = "read-write") -> DatabaseTarget:
    return DatabaseTarget.from_url(multi_host_url(servers, "postgres", attributes))


def with_first_port(target: DatabaseTarget, server: Server, port: int) -> DatabaseTarget:
    """The same URL with another port in the place of a server's."""
    url = target.connect_arguments()["dsn"].replace(f":{server.port}", f":{port}")
    return DatabaseTarget.from_url(url)


async def port_of(connection: Any) -> int:
    found: int = await connection.fetchval("SHOW port")
    return int(found)


def insert(connection: Connection) -> Awaitable[str]:
    tag: Awaitable[str] = connection.execute("INSERT INTO notes VALUES (1)")
    return tag


@contextlib.asynccontextmanager
async def opened(target: DatabaseTarget, **options: Any) -> AsyncIterator[Database]:
    database = Database(target, **{"pool_size": 3, "acquire_timeout_seconds": 2, **options})
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


async def tolerate_outage(work: Callable[[], Awaitable[Any]]) -> Any:
    """What the work returns, once the database is back."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await work()
            except DatabaseUnavailableError:
                await asyncio.sleep(0.02)


async def test_only_a_server_of_the_wanted_kind_is_connected_to(primary: Server, standby: Server) -> None:
    for servers in ((primary, standby), (standby, primary)):
        for attributes, expected in (("read-write", primary), ("primary", primary), ("any", servers[0])):
            connection = await Connector(target_of(*servers, attributes=attributes)).connect(5)
            assert await port_of(connection) == expected.port
            await connection.close()


async def test_a_host_that_is_silent_leaves_time_for_the_others_and_is_asked_last_from_then_on(
    primary: Server,
) -> None:
    with silent_host() as port:
        both = with_first_port(target_of(primary, primary), primary, port)
        url = both.connect_arguments()["dsn"].replace(f",127.0.0.1:{port}", f",127.0.0.1:{primary.port}")
        target = DatabaseTarget.from_url(url)
        assert [each for _, each in target.hosts] == [port, primary.port]
        connector = Connector(target)
        connection = await connector.connect(0.8)
        assert await port_of(connection) == primary.port
        await connection.close()
        began = monotonic_seconds()
        for _ in range(5):
            await (await connector.connect(10)).close()
        assert monotonic_seconds() - began < 5, "the silent one would have cost five seconds each time"


async def test_hosts_that_are_all_silent_cost_the_time_given_and_not_more(primary: Server) -> None:
    with silent_host() as port:
        target = with_first_port(target_of(primary, primary), primary, port)
        began = monotonic_seconds()
        with pytest.raises(TimeoutError):
            await Connector(target).connect(0.3)
        assert monotonic_seconds() - began < 3


async def test_what_would_be_refused_anywhere_is_told_at_once(primary: Server) -> None:
    arguments = target_of(primary, primary).connect_arguments()
    for wrong, refusal in (
        ({"password": "another"}, asyncpg.InvalidPasswordError),
        ({"database": "nowhere"}, asyncpg.InvalidCatalogNameError),
    ):
        target = DatabaseTarget("two hosts", {**arguments, **wrong})
        with pytest.raises(refusal):
            await Connector(target).connect(5)


async def test_hosts_of_which_none_is_a_primary_are_a_database_away(primary: Server, standby: Server) -> None:
    primary.kill()
    target = target_of(primary, standby)
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await Connector(target).connect(2)
    with pytest.raises(DatabaseUnavailableError):
        async with opened(target):
            pass


async def test_the_pool_follows_a_primary_that_was_killed(primary: Server, standby: Server) -> None:
    async with opened(target_of(primary, standby)) as database:
        await asyncio.gather(*(database.fetchval("SELECT pg_sleep(0.02)") for _ in range(3)))
        await database.transact(insert)
        primary.kill()
        with pytest.raises(DatabaseUnavailableError):
            await database.transact(insert)
        await standby.promote()
        await tolerate_outage(lambda: database.transact(insert))
        assert await database.fetchval("SHOW port") == str(standby.port)
        assert await database.fetchval("SELECT count(*) FROM notes") == 2


async def test_the_pool_follows_a_primary_that_fell_silent(
    primary: Server, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_BEGIN_SECONDS", 0.3)
    async with opened(target_of(primary, standby)) as database:
        await asyncio.gather(*(database.fetchval("SELECT pg_sleep(0.02)") for _ in range(3)))
        primary.freeze()
        await standby.promote()
        assert await database.transact(insert) == "INSERT 0 1"
        assert await database.fetchval("SHOW port") == str(standby.port)
        # Or the pool would wait for the farewell of the lines that are still open.
        primary.kill()


async def test_the_pool_follows_when_a_primary_becomes_a_standby(primary: Server, standby: Server) -> None:
    async with opened(target_of(primary, standby)) as database:
        await database.transact(insert)
        await primary.stop()
        await standby.promote()
        await primary.follow(standby)
        assert await tolerate_outage(lambda: database.transact(insert)) == "INSERT 0 1"
        assert await database.fetchval("SHOW port") == str(standby.port)


@pytest.mark.parametrize("how", ["writing", "reading"])
async def test_a_primary_that_was_fenced_but_answers_is_left(primary: Server, standby: Server, how: str) -> None:
    async with opened(target_of(primary, standby)) as database:
        await asyncio.gather(*(database.fetchval("SELECT pg_sleep(0.02)") for _ in range(3)))
        await standby.promote()
        await primary.configure(default_transaction_read_only="on")
        if how == "writing":
            assert await database.transact(insert) == "INSERT 0 1"
        for _ in range(6):
            assert await database.fetchval("SHOW port") == str(standby.port)


async def test_a_connection_on_which_nothing_can_be_written_is_not_used_again(primary: Server) -> None:
    """With one host there is nothing to prefer, but a fresh connection may lead to another server, behind a name."""
    async with opened(primary.target, pool_size=1) as database:

        async def turn_read_only(connection: Connection) -> None:
            await connection.execute("SET TRANSACTION READ ONLY")
            await insert(connection)

        before = await database.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(DatabaseUnavailableError):
            await database.transact(turn_read_only)
        assert await database.fetchval("SELECT pg_backend_pid()") != before


async def _waiting_commits(primary: Server) -> int:
    found: int = await primary.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return found


async def test_giving_up_on_a_commit_that_waits_for_its_standby_does_not_make_it_count(
    primary: Server, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that is asked to cancel is done, seen by all, and gone with its primary."""
    async with opened(target_of(primary, standby)) as database:
        standby.freeze()
        monkeypatch.setattr(pool_module, "_COMMAND_SECONDS", 0.3)
        async with opened(target_of(primary, standby)) as hasty:
            with pytest.raises(CommitUnknownError):
                await hasty.transact(insert)
        cancelled = asyncio.create_task(database.transact(insert))

        async def both_wait() -> bool:
            return await _waiting_commits(primary) == 2

        await until(both_wait)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await asyncio.sleep(0.2)
        assert await _waiting_commits(primary) == 2
        assert await database.fetchval("SELECT count(*) FROM notes") == 0
        standby.thaw()

        async def both_count() -> bool:
            return bool(await primary.value("SELECT count(*) = 2 FROM notes"))

        await until(both_count)
