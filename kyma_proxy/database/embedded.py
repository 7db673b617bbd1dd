"""A private PostgreSQL that needs no installation and leaves nothing behind.

Whoever uses the server holds a shared lock on one file; the keeper (keeper.py) stops the server when no such lock is
left. So gateways and commands may share a data directory and come and go in any order, killed or not.
"""

from __future__ import annotations

import asyncio
import fcntl
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
from kyma_proxy.database.placement import EmbeddedError
from kyma_proxy.database.target import DatabaseTarget

__all__ = ["EmbeddedError", "EmbeddedPostgres"]

_log = structlog.get_logger("kyma_proxy.database")

_KEEPER = Path(__file__).with_name("keeper.py")
_START_SECONDS = 120.0
_STOP_SECONDS = 90.0
_CONNECT_SECONDS = 5.0
_POLL_SECONDS = 0.02


class EmbeddedPostgres:
    """One process's share in the embedded server of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._home: Path | None = None
        self._holding: int | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({self._data_dir}, {'stopped' if self._holding is None else 'held'})"

    async def start(self) -> DatabaseTarget:
        """Join the running server or start one, and return how to connect. Starting twice is harmless.

        The first start makes the cluster. Raises EmbeddedError with a message that says what to do.
        """
        self._home = placement.make_home(self._data_dir)
        try:
            async with asyncio.timeout(_START_SECONDS):
                if self._holding is None:
                    self._holding = await _hold(self._home / "holders.lock")
                return await self._reach(self._home)
        except BaseException as error:
            self._let_go()
            if isinstance(error, TimeoutError):
                raise EmbeddedError(
                    f"the embedded database did not answer within {_START_SECONDS:.0f} s:"
                    f" see {self._home / 'server.log'}"
                ) from error
            raise

    async def ensure_running(self) -> None:
        """Start the server again if it died while we use it.

        Raises EmbeddedError if that fails or we were stopped, TimeoutError if it does not answer in time.
        """
        if self._home is None or self._holding is None:
            raise EmbeddedError("the embedded database was stopped")
        async with asyncio.timeout(_START_SECONDS):
            await self._reach(self._home)

    async def stop(self) -> None:
        """Leave the server. If nobody else uses it, returns when it has really gone. Stopping twice is harmless."""
        if self._home is None or self._holding is None:
            return
        self._let_go()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                while not _is_free(self._home / "server.lock") and not _is_shared(self._home / "holders.lock"):  # noqa: ASYNC110
                    # No event tells of another process's lock.
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            _log.error("embedded_database_still_stopping", log=str(self._home / "server.log"))

    def _let_go(self) -> None:
        if self._holding is not None:
            os.close(self._holding)
            self._holding = None

    async def _reach(self, home: Path) -> DatabaseTarget:
        """A target that answers. Whoever gets the server lock starts the server; the others wait for it."""
        while True:
            target = _recorded_target(home)
            if target is not None and await _answers(target):
                return target
            lock = _open_lock(home / "server.lock")
            try:
                if _try_lock(lock, fcntl.LOCK_EX):
                    await asyncio.to_thread(_bring_up, home, os.dup(lock))
            finally:
                os.close(lock)
            await asyncio.sleep(_POLL_SECONDS)


def _bring_up(home: Path, lock: int) -> None:
    """Start the server, after making its cluster if there is none. Owns and closes `lock`, which is locked."""
    try:
        place = placement.locate(home)
        chosen = choose_binaries(place.cluster, find_binaries())
        binaries = placement.reachable_binaries(chosen, place)
        if not place.cluster.exists():
            make_cluster(place, binaries, lock)
        own_cluster(place, place.cluster)
        socket_folder = placement.socket_folder(place)
        order = {
            "command": server_command(place, binaries, socket_folder),
            "cluster": str(place.cluster),
            "holders": str(home / "holders.lock"),
            "lock": lock,
            "log": str(home / "server.log"),
            "user": None if place.user is None else [place.user.uid, place.user.gid],
            "scratch": str(socket_folder) if placement.is_temporary(socket_folder, place) else None,
        }
        _start_keeper(order, lock)
    except (OSError, shutil.Error) as error:
        raise EmbeddedError(f"the embedded database cannot be set up in {home}: {error}") from error
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


def _recorded_target(home: Path) -> DatabaseTarget | None:
    """How to connect, as the process that started the server wrote it down."""
    try:
        folder = (home / "socket").read_text("utf-8")
        password = (home / "password").read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EmbeddedError(f"cannot read {error.filename}: it belongs to whoever made the books") from error
    return DatabaseTarget.from_socket(folder, user=SUPERUSER, password=password, database=DATABASE)


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
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
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


async def _hold(path: Path) -> int:
    """A shared lock on the file, once no keeper is busy stopping the server; the descriptor is the lock."""
    descriptor = _open_lock(path)
    try:
        while not _try_lock(descriptor, fcntl.LOCK_SH):  # noqa: ASYNC110  # no event tells of another process's lock
            await asyncio.sleep(_POLL_SECONDS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_lock(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EmbeddedError(f"cannot open {path} ({error.strerror}): is the data directory yours?") from error
    placement.belong_to_folder(descriptor, path.parent)
    return descriptor


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(path: Path) -> bool:
    """Whether nobody has the lock."""
    descriptor = _open_lock(path)
    try:
        return _try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _is_shared(path: Path) -> bool:
    """Whether somebody holds a shared lock; neither free nor exclusive."""
    descriptor = _open_lock(path)
    try:
        return not _try_lock(descriptor, fcntl.LOCK_EX) and _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
