"""One PostgreSQL server as a child of the test process, and a standby of it."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

import asyncpg

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.cluster import SUPERUSER, server_command
from kyma_proxy.database.migrate import upgrade
from kyma_proxy.database.target import DatabaseTarget
from postgres_kit import clusters, processes
from postgres_kit.clusters import Yard
from postgres_kit.settling import until

_POLL_SECONDS = 0.005
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_TEMPLATE = "kyma_template"
# What the migrations come to, once they have run in this process: a child that loads Alembic takes a second.
_schema: str | None = None
_STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A walsender that waits for a frozen standby must not hold up a stop.
    "wal_sender_timeout": "2s",
    "wal_receiver_timeout": "2s",
    # A standby follows again at once, when its primary or another one is back.
    "wal_retrieve_retry_interval": "50ms",
    "max_wal_senders": "6",
    "autovacuum": "off",
    # In the data directory, because a killed server leaves it behind.
    "dynamic_shared_memory_type": "mmap",
}


class Server:
    """A PostgreSQL server of one's own, on a unix socket and on a loopback port: `async with Server() as server`.

    It keeps its port and its data through every stop, kill and start. Without `fsync` a kill of the server still
    loses nothing: what was written is in the system's memory. With it the data is on a disk, as in production.
    Leaving the context ends the server and its standbys and removes their files, whatever happened inside.
    """

    def __init__(self, *, fsync: bool = False, settings: dict[str, str] | None = None) -> None:
        self._settings = {**_SETTINGS, "fsync": "on" if fsync else "off", **(settings or {})}
        self._fsync = fsync
        self._yard: Yard | None = None
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        self._standbys: list[Server] = []
        self._numbers = itertools.count()

    async def __aenter__(self) -> Server:
        try:
            self._yard = await asyncio.to_thread(clusters.make_yard, on_disk=self._fsync)
            self._password = await asyncio.to_thread(clusters.fresh_cluster, self._yard)
            await self.start()
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Server({'running' if self.running else 'stopped'})"

    @property
    def running(self) -> bool:
        """Whether its postmaster is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def port(self) -> int:
        """Its loopback port, the same for its whole life."""
        return self._on_disk.port

    @property
    def target(self) -> DatabaseTarget:
        """The database `postgres`, through the unix socket."""
        folder = str(self._on_disk.sockets)
        return DatabaseTarget.from_socket(folder, user=SUPERUSER, password=self._password, database="postgres")

    def url(self, database: str) -> str:
        """The URL of a database through the loopback port."""
        return multi_host_url([self], database, attributes=None)

    async def start(self) -> None:
        """Start it, if it does not run; returns when it accepts connections."""
        if self.running:
            return
        yard = self._on_disk
        command = server_command(yard.place, yard.binaries, yard.sockets)
        for name, value in {**self._settings, "port": str(yard.port)}.items():
            command += ["-c", f"{name}={value}"]
        # `target` knows one name only; the socket of a stopped server is not there behind either.
        alias = yard.sockets / ".s.PGSQL.5432"
        if not alias.is_symlink():
            alias.symlink_to(f".s.PGSQL.{yard.port}")
        self._process = processes.spawn(command, yard.place.user, yard.place.log)
        began = monotonic_seconds()
        while not self._is_ready():
            if self._process.poll() is not None or monotonic_seconds() - began > _START_SECONDS:
                self.kill()
                raise AssertionError(f"PostgreSQL did not start: {self.log()[-2000:]}")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it: `fast` ends every session and writes a checkpoint, `immediate` is a crash that says so."""
        if self._process is None:
            return
        self.thaw()
        if self.running:
            self._process.send_signal(_STOP_SIGNALS[mode])
        began = monotonic_seconds()
        while self.running:
            if monotonic_seconds() - began > _STOP_SECONDS:
                self.kill()
                raise AssertionError(f"PostgreSQL did not stop: {self.log()[-2000:]}")
            await asyncio.sleep(_POLL_SECONDS)
        self._process = None

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL for all its processes at once. Returns when they are gone."""
        if self._process is not None:
            processes.kill_family(self._process)
            self._process = None
            self._frozen = False
            pid_file = self._on_disk.place.cluster / "postmaster.pid"
            processes.remove_shared_memory(pid_file)
            # Its number may belong to any process by now, and PostgreSQL would then refuse to start.
            pid_file.unlink(missing_ok=True)

    async def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it and start it again."""
        await self.stop(mode)
        await self.start()

    def freeze(self) -> None:
        """Let all its processes stand still: connections stay open, new ones are accepted, and nobody answers."""
        if self._process is not None and not self._frozen:
            self._frozen = True
            processes.freeze_family(self._process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        if self._process is not None and self._frozen:
            self._frozen = False
            processes.freeze_family(self._process, signal.SIGCONT)

    async def run(self, sql: str, *arguments: Any, database: str = "postgres") -> list[Any]:
        """Run a statement on a connection of its own and return its rows; without arguments, several statements."""
        target = self.target.with_database(database)
        connection = await asyncpg.connect(**target.connect_arguments(), timeout=_CONNECT_SECONDS)
        try:
            if arguments or sql.lstrip().upper().startswith(("SELECT", "SHOW", "WITH")):
                return list(await connection.fetch(sql, *arguments))
            await connection.execute(sql)
            return []
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)

    async def value(self, sql: str, *arguments: Any, database: str = "postgres") -> Any:
        """The first value of the first row of a statement."""
        rows = await self.run(sql, *arguments, database=database)
        return rows[0][0] if rows else None

    async def configure(self, **settings: str) -> None:
        """Change settings that take effect without a restart; returns when the server has read them."""
        for name, value in settings.items():
            quoted = value.replace("'", "''")
            await self.run(f"ALTER SYSTEM SET {name} = '{quoted}'")
        loaded = await self.value("SELECT pg_conf_load_time()")
        await self.run("SELECT pg_reload_conf()")

        async def has_read() -> bool:
            return bool(await self.value("SELECT pg_conf_load_time() > $1", loaded))

        await until(has_read, what="reading the settings")

    async def migrated(self) -> DatabaseTarget:
        """A new database with the newest schema. The first of a test run takes a second, the others are copies."""
        if not await self.value("SELECT count(*) FROM pg_database WHERE datname = $1", _TEMPLATE):
            await self.run(f"CREATE DATABASE {_TEMPLATE}")
            await self._make_schema(_TEMPLATE)
        name = f"test_{next(self._numbers)}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.target.with_database(name)

    async def _make_schema(self, database: str) -> None:
        global _schema
        if _schema is not None:
            await self.run(_schema, database=database)
            return
        await upgrade(self.target.with_database(database))
        _schema = await asyncio.to_thread(clusters.dump, self._on_disk, database, self._password)

    async def make_standby(self, name: str = "standby", *, synchronous: bool = True) -> Server:
        """A running standby that streams from this server under `name`; it ends with this server's context.

        If it is to be synchronous, from now on no commit is acknowledged here that it does not have on its disk.
        """
        standby = Server(fsync=self._fsync)
        standby._settings = dict(self._settings)
        self._standbys.append(standby)
        standby._yard = await asyncio.to_thread(clusters.make_yard, on_disk=self._fsync)
        standby._password = self._password
        mine = self._on_disk
        await asyncio.to_thread(clusters.base_backup, standby._yard, mine.sockets, mine.port, self._password)
        await standby.follow(self, name)
        if synchronous:
            await self.configure(synchronous_standby_names=f'"{name}"')
        await self.await_standby(name, "sync" if synchronous else "async")
        return standby

    async def follow(self, primary: Server, name: str = "standby") -> None:
        """Start this stopped server as a standby of another, from which it must not have parted."""
        way = f"host=127.0.0.1 port={primary.port} user={SUPERUSER} password={self._password} application_name={name}"
        clusters.write_settings(self._on_disk, {"primary_conninfo": way, "synchronous_standby_names": ""})
        (self._on_disk.place.cluster / "standby.signal").touch()
        await self.start()

    async def await_standby(self, name: str = "standby", state: str = "sync", seconds: float = 10) -> None:
        """Wait until the standby of that name streams in that `sync_state`."""
        query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming'"

        async def streams() -> bool:
            return bool(await self.value(f"{query} AND sync_state = $2", name, state))

        await until(streams, seconds, f"streaming to {name} as {state}")

    async def promote(self) -> None:
        """Make this standby a primary; returns when it accepts writes."""
        assert await self.value("SELECT pg_promote(true, 10)"), self.log()[-2000:]

    def log(self) -> str:
        """What it has said, all of it."""
        log = self._on_disk.place.log
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def close(self) -> None:
        """End the server and its standbys and remove their files. Doing it again is harmless."""
        for each in self._standbys:
            each.close()
        self.kill()
        if self._yard is not None:
            self._yard.remove()
            self._yard = None

    @property
    def _on_disk(self) -> Yard:
        assert self._yard is not None, "the server's context is not open"
        return self._yard

    def _is_ready(self) -> bool:
        """By the status line that pg_ctl reads too."""
        try:
            lines = (self._on_disk.place.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        process = self._process
        return process is not None and len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready"


def multi_host_url(servers: Sequence[Server], database: str, attributes: str | None = "read-write") -> str:
    """One URL for a primary and its standbys, as an operator would write it."""
    arguments = servers[0].target.connect_arguments()
    login = f"{quote(arguments['user'])}:{quote(arguments['password'], safe='')}"
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    options = "" if attributes is None else f"?target_session_attrs={attributes}"
    return f"postgresql://{login}@{hosts}/{database}{options}"
