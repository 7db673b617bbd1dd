"""A private PostgreSQL that needs no installation and leaves nothing behind.

Whoever uses the server holds a shared lock on one file; the keeper (keeper.py) stops the server when no such lock is
left. So gateways and commands may share a data directory and come and go in any order, killed or not.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import structlog

from kyma_proxy.database import placement
from kyma_proxy.database.binaries import find_binaries
from kyma_proxy.database.cluster import (
    DATABASE,
    SUPERUSER,
    choose_binaries,
    make_cluster,
    own_cluster,
    server_command,
)
from kyma_proxy.database.errors import CLIENT_ERRORS
from kyma_proxy.database.placement import Place
from kyma_proxy.database.private import (
    EmbeddedError,
    is_free,
    is_shared,
    open_lock,
    read_private,
    try_exclusive,
    try_shared,
)
from kyma_proxy.database.target import DatabaseTarget

__all__ = ["EmbeddedError", "EmbeddedPostgres"]

_log = structlog.get_logger("kyma_proxy.database")

_KEEPER = Path(__file__).with_name("keeper.py")
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0  # a server that hangs is left to its keeper, which kills it in the end
_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.02


class EmbeddedPostgres:
    """One process's share in the embedded server of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._place: Place | None = None
        self._holding: int | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({self._data_dir}, {'stopped' if self._holding is None else 'held'})"

    @property
    def folder(self) -> Path:
        """Where the server's files lie: in the data directory, or outside it (see placement.py). Known once started."""
        if self._place is None:
            raise EmbeddedError("the embedded database was not started")
        return self._place.folder

    async def start(self) -> DatabaseTarget:
        """Join the running server or start one, and return how to connect. Starting twice is harmless.

        The first start makes the cluster. Raises EmbeddedError with a message that says what to do.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                place = await _find_place(self._data_dir)
                self._place = place
                if self._holding is None:
                    self._holding = await _locked(place.holders, exclusive=False)
                return await _reach(place)
        except BaseException as error:
            self._let_go()
            if isinstance(error, TimeoutError):
                raise EmbeddedError(
                    f"the embedded database in {self._data_dir} did not answer within {_START_SECONDS:.0f} s:"
                    " see its server.log"
                ) from error
            raise

    async def ensure_running(self) -> None:
        """Start the server again if it died while we use it.

        Raises EmbeddedError if that fails or we were stopped, TimeoutError if it does not answer in time.
        """
        if self._place is None or self._holding is None:
            raise EmbeddedError("the embedded database was stopped")
        async with asyncio.timeout(_START_SECONDS):
            await _reach(self._place)

    async def stop(self) -> None:
        """Leave the server. If nobody else uses it, returns when it has really gone. Stopping twice is harmless."""
        if self._place is None or self._holding is None:
            return
        self._let_go()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                while not is_free(self._place.server) and not is_shared(self._place.holders):  # noqa: ASYNC110
                    # No event tells of another process's lock.
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            _log.error("embedded_database_still_stopping", log=str(self._place.log))

    def _let_go(self) -> None:
        if self._holding is not None:
            os.close(self._holding)
            self._holding = None


async def _find_place(data_dir: Path) -> Place:
    """Where the server's files lie; made on first use, by one process at a time."""
    home = placement.make_home(data_dir)
    lock = await _locked(home / "place.lock", exclusive=True)
    try:
        return placement.locate(home)
    except OSError as error:
        raise EmbeddedError(f"the embedded database cannot be set up in {home}: {error}") from error
    finally:
        os.close(lock)


async def _locked(path: Path, *, exclusive: bool) -> int:
    """A descriptor that has the lock; the holders' lock cannot be had while a keeper stops the server."""
    descriptor = open_lock(path)
    attempt = try_exclusive if exclusive else try_shared
    try:
        while not attempt(descriptor):  # noqa: ASYNC110  # no event tells of another process's lock
            await asyncio.sleep(_POLL_SECONDS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


async def _reach(place: Place) -> DatabaseTarget:
    """A target that answers. Whoever gets the server lock starts the server; the others wait for it."""
    while True:
        target = _target(place)
        if target is not None and await _answers(target):
            return target
        lock = open_lock(place.server)
        try:
            if try_exclusive(lock):
                await asyncio.to_thread(_bring_up, place, os.dup(lock))
        finally:
            os.close(lock)
        await asyncio.sleep(_POLL_SECONDS)


def _bring_up(place: Place, lock: int) -> None:
    """Start the server, after making its cluster if there is none. Owns and closes `lock`, which is locked."""
    try:
        chosen = choose_binaries(place.cluster, find_binaries())
        binaries = placement.reachable_binaries(chosen, place)
        if not place.cluster.exists():
            make_cluster(place, binaries, lock)
        own_cluster(place, place.cluster)
        folder = placement.make_socket_folder(place)
        order = {
            "command": server_command(place, binaries, folder),
            "cluster": str(place.cluster),
            "holders": str(place.holders),
            "lock": lock,
            "log": str(place.log),
            "user": None if place.user is None else [place.user.uid, place.user.gid],
            "scratch": None if place.folder in folder.parents else str(folder),
        }
        _start_keeper(order, lock)
    except (OSError, shutil.Error) as error:
        raise EmbeddedError(f"the embedded database cannot be set up in {place.folder}: {error}") from error
    finally:
        os.close(lock)


def _start_keeper(order: dict[str, object], lock: int) -> None:
    # -I and -S: nothing of the environment or of site-packages is read, which makes the keeper safe and small.
    ran = subprocess.run(  # noqa: S603  # our own program, no shell
        [sys.executable, "-I", "-S", str(_KEEPER), json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        start_new_session=True,
        pass_fds=(lock,),
    )
    if ran.returncode != 0:
        raise EmbeddedError(ran.stdout.strip())


def _target(place: Place) -> DatabaseTarget | None:
    """How to connect, as far as somebody has made the cluster and its socket."""
    folder = placement.socket_folder(place)
    password = read_private(place.password)
    if folder is None or password is None:
        return None
    return DatabaseTarget.from_socket(str(folder), user=SUPERUSER, password=password, database=DATABASE)


async def _answers(target: DatabaseTarget) -> bool:
    """Whether the server accepts us; makes the database on first use."""
    try:
        connection = await asyncpg.connect(**target.connect_arguments(), timeout=_CONNECT_SECONDS)
    except asyncpg.InvalidCatalogNameError:
        await _make_database(target)
        return True
    except asyncpg.TooManyConnectionsError:
        return True
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise EmbeddedError("the database refuses the password kept beside it: restore the file `password`") from error
    except CLIENT_ERRORS:
        return False
    await connection.close(timeout=_CONNECT_SECONDS)
    return True


async def _make_database(target: DatabaseTarget) -> None:
    arguments = target.with_database("postgres").connect_arguments()
    connection = await asyncpg.connect(**arguments, timeout=_CONNECT_SECONDS)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        _log.debug("embedded_database_made_by_another")
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)
