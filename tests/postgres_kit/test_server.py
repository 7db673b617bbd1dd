"""The servers that tests stop and start."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.pool import Database
from kyma_proxy.database.schema import schema_state
from postgres_kit import Server, clusters, multi_host_url, processes


async def test_what_was_committed_outlives_every_way_of_stopping() -> None:
    async with Server() as server:
        await server.run("CREATE TABLE notes (id int)")
        for number in range(12):
            await server.run(f"INSERT INTO notes VALUES ({number})")
            if number % 3 == 0:
                server.kill()
            else:
                await server.stop("fast" if number % 3 == 1 else "immediate")
            assert not server.running
            with pytest.raises(OSError):
                await server.run("SELECT 1")
            await server.start()
            assert await server.value("SELECT count(*) FROM notes") == number + 1


async def test_it_listens_on_a_socket_and_on_a_port_and_wants_a_password_on_both() -> None:
    async with Server() as server:
        for login in ({"dsn": server.url("postgres")}, server.target.connect_arguments()):
            connection = await asyncpg.connect(**login)
            await connection.close()
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(**{**login, "password": "another"})


async def test_migrated_databases_are_separate_and_alike_however_they_were_made() -> None:
    dumps = []
    for _ in range(2):
        async with Server(fsync=True) as server:
            assert await server.value("SHOW fsync") == "on"
            one, two = await server.migrated(), await server.migrated()
            assert one.label != two.label
            for target in (one, two):
                database = Database(target)
                await database.start()
                assert await schema_state(database) == "current"
                await database.stop()
                name = target.label.rpartition("/")[2]
                dumps.append(clusters.dump(server._on_disk, name, server._password))
    assert len(dumps[0]) > 1000
    assert dumps == [dumps[0]] * 4


async def test_a_standby_follows_and_takes_over() -> None:
    async with Server() as primary:
        await primary.run("CREATE TABLE notes (id int)")
        standby = await primary.make_standby()
        await primary.run("INSERT INTO notes VALUES (1)")
        primary.kill()
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await standby.run("INSERT INTO notes VALUES (2)")
        await standby.promote()
        await standby.run("INSERT INTO notes VALUES (2)")
        assert await standby.value("SELECT count(*) FROM notes") == 2
        connection = await asyncpg.connect(multi_host_url([primary, standby], "postgres"))
        assert await connection.fetchval("SELECT count(*) FROM notes") == 2
        await connection.close()


async def test_a_frozen_synchronous_standby_holds_every_commit_up() -> None:
    async with Server() as primary:
        standby = await primary.make_standby()
        standby.freeze()
        writing = asyncio.create_task(primary.run("CREATE TABLE notes (id int)"))
        await asyncio.sleep(0.2)
        assert not writing.done()
        standby.thaw()
        async with asyncio.timeout(5):
            await writing


async def test_nothing_is_left_when_a_test_fails() -> None:
    left = []

    async def fail() -> None:
        async with Server() as primary:
            standby = await primary.make_standby()
            for each in (primary, standby):
                yard, process = each._yard, each._process
                assert yard is not None
                assert process is not None
                left.append((process.pid, yard.root, yard.place.folder, yard.sockets))
            standby.freeze()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert len(left) == 2
    for pid, *folders in left:
        assert not processes.is_running(pid)
        assert not any(folder.exists() for folder in folders)


async def test_a_server_that_cannot_start_says_why() -> None:
    async with Server() as server:
        await server.stop()
        server._settings["shared_buffers"] = "none"
        began = monotonic_seconds()
        with pytest.raises(AssertionError, match="shared_buffers"):
            await server.start()
        assert monotonic_seconds() - began < 10
