"""A real PostgreSQL for tests, and a way to it with switchable faults."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import asyncpg

from kyma_proxy.database.embedded import EmbeddedPostgres
from kyma_proxy.database.migrate import upgrade
from kyma_proxy.database.target import DatabaseTarget

TEMPLATE = "kyma_template"


@dataclass(eq=False)
class _Line:
    """One relayed connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    moving: asyncio.Event
    deaf: bool = False

    def abort(self) -> None:
        self.moving.set()
        self.client.transport.abort()
        self.server.transport.abort()


class Relay:
    """A way to a database with switchable faults; `target` leads through it."""

    def __init__(self, beyond: DatabaseTarget, folder: str) -> None:
        arguments = beyond.connect_arguments()
        self._beyond = f"{arguments['host']}/.s.PGSQL.5432"
        self._own = Path(folder, ".s.PGSQL.5432")
        self._lines: set[_Line] = set()
        self._server: asyncio.Server | None = None
        login = {name: arguments[name] for name in ("user", "password", "database")}
        self.target = DatabaseTarget.from_socket(folder, **login)
        self.commit_fault: Literal["before the server", "after the server"] | None = None
        """Where the next COMMIT is lost, and the line with it: its request, or its answer."""
        self.connections = 0
        """How many were ever made."""

    async def start(self) -> None:
        """Accept connections (again)."""
        self._server = await asyncio.start_unix_server(self._relay, self._own)

    async def stop(self) -> None:
        """Refuse new connections and cut those there are: as if the database were gone."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._own.unlink(missing_ok=True)
        self.cut()
        for _ in range(200):
            if not self._lines:
                return
            await asyncio.sleep(0.01)

    def cut(self) -> None:
        """Cut every connection."""
        for line in self._lines:
            line.abort()

    def fall_silent(self) -> None:
        """Keep the connections there are but let nothing pass: half-open lines to a machine that vanished."""
        for line in self._lines:
            line.moving.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        beyond_reader, beyond_writer = await asyncio.open_unix_connection(self._beyond)
        line = _Line(writer, beyond_writer, asyncio.Event())
        line.moving.set()
        self._lines.add(line)
        try:
            await asyncio.gather(self._ask(line, reader), self._answer(line, beyond_reader), return_exceptions=True)
        finally:
            line.abort()
            self._lines.discard(line)

    async def _ask(self, line: _Line, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            await line.moving.wait()
            fault = self.commit_fault if data.startswith(b"Q") and b"COMMIT\0" in data else None
            if fault is not None:
                self.commit_fault = None
                line.deaf = True
            if fault != "before the server":
                line.server.write(data)
                await line.server.drain()
            if fault is not None:
                await asyncio.sleep(0.2)
                break
        line.abort()

    async def _answer(self, line: _Line, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            await line.moving.wait()
            if not line.deaf:
                line.client.write(data)
                await line.client.drain()
        line.abort()


@dataclass
class Postgres:
    """The server of this test run; `target` is a migrated database that tests leave alone."""

    server: EmbeddedPostgres
    target: DatabaseTarget
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    async def run(self, sql: str) -> None:
        """Run a statement that is about databases, such as CREATE DATABASE."""
        connection = await asyncpg.connect(**self.target.with_database("postgres").connect_arguments())
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def create_database(self, template: str = TEMPLATE) -> DatabaseTarget:
        """A database of one's own: migrated, or empty with the template `template1`."""
        name = f"test_{next(self._numbers)}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.target.with_database(name)

    async def drop_database(self, target: DatabaseTarget) -> None:
        """Remove it, whoever is still connected."""
        name = target.label.rpartition("/")[2]
        await self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def start_postgres(data_dir: Path) -> Postgres:
    """An embedded server with a migrated template database."""
    server = EmbeddedPostgres(data_dir)
    target = await server.start()
    postgres = Postgres(server, target.with_database(TEMPLATE))
    # A test run need not survive a power cut.
    await postgres.run("ALTER SYSTEM SET fsync = off")
    await postgres.run("SELECT pg_reload_conf()")
    await postgres.run(f"CREATE DATABASE {TEMPLATE}")
    await upgrade(postgres.target)
    return postgres
