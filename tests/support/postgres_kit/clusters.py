"""Data directories for servers of tests: initdb runs once a test run, every further cluster is a copy."""

from __future__ import annotations

import atexit
import functools
import os
import random
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kyma_proxy.database import placement
from kyma_proxy.database.binaries import Binaries, find_binaries
from kyma_proxy.database.cluster import SUPERUSER, choose_binaries, make_cluster, own_cluster
from kyma_proxy.database.placement import Place
from kyma_proxy.database.private import open_lock, read_private

# Below the range that outgoing connections take their ports from: a client that tries the port of a stopped server
# must not be given that very port and connect to itself.
_PORTS = range(15_000, 30_000)
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_BYTES_MIN = 2 * 1024**3


@dataclass
class Yard:
    """The folder of one server; `place` says where its files lie and whom it runs as."""

    root: Path
    place: Place
    binaries: Binaries
    sockets: Path
    port: int

    def remove(self) -> None:
        """Remove every file."""
        for folder in (self.sockets, self.place.folder, self.root):
            shutil.rmtree(folder, ignore_errors=True)


def make_yard(*, on_disk: bool = False) -> Yard:
    """An empty folder for a server, which the server's user can reach, and a free port.

    It is in memory where there is enough, unless it is to be on a disk: copying clusters is what takes time.
    """
    root = Path(tempfile.mkdtemp(prefix="kyma-pg-", dir=None if on_disk else _memory()))
    # Root's server is another user and must pass; what it keeps there is closed to others by itself.
    root.chmod(0o755)
    place = placement.locate(placement.make_home(root / "data"))
    binaries = placement.reachable_binaries(choose_binaries(place.cluster, find_binaries()), place)
    return Yard(root, place, binaries, placement.make_socket_folder(place), free_port())


def fresh_cluster(yard: Yard) -> str:
    """Give a yard an empty cluster of its own; returns the superuser's password."""
    template, password = _template()
    shutil.copytree(template, yard.place.cluster)
    own_cluster(yard.place, yard.place.cluster)
    return password


def base_backup(yard: Yard, host: Path, port: int, password: str) -> None:
    """Give a yard a copy of a running server's cluster, taken with pg_basebackup."""
    command = [str(yard.binaries.folder / "pg_basebackup"), "-D", str(yard.place.cluster)]
    command += ["-h", str(host), "-p", str(port), "-U", SUPERUSER, "-X", "stream", "-c", "fast", "--no-sync", "-w"]
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
        timeout=60,
        cwd="/",
        env={"LC_ALL": "C", "PGPASSWORD": password},
    )
    own_cluster(yard.place, yard.place.cluster)


def dump(yard: Yard, database: str, password: str) -> str:
    """SQL that makes a database anew, taken with pg_dump from the running server."""
    command = [str(yard.binaries.folder / "pg_dump"), "-h", str(yard.sockets), "-p", str(yard.port), "-U", SUPERUSER]
    ran = subprocess.run(
        [*command, "-w", "--inserts", "--no-owner", database],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd="/",
        env={"LC_ALL": "C", "PGPASSWORD": password},
    )
    # Lines for psql alone.
    return "\n".join(line for line in ran.stdout.splitlines() if not line.startswith("\\"))


def write_settings(yard: Yard, settings: dict[str, str]) -> None:
    """Add settings to a cluster's postgresql.auto.conf, where the last one counts."""
    with (yard.place.cluster / "postgresql.auto.conf").open("a") as file:
        for name, value in settings.items():
            quoted = value.replace("'", "''")
            file.write(f"{name} = '{quoted}'\n")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no loopback port is free")


def _memory() -> Path | None:
    try:
        return _MEMORY if shutil.disk_usage(_MEMORY).free > _MEMORY_FREE_BYTES_MIN else None
    except OSError:
        return None


@functools.cache
def _template() -> tuple[Path, str]:
    """A cluster to copy, and its password; removed when the tests end."""
    yard = make_yard()
    atexit.register(yard.remove)
    lock = open_lock(yard.place.server)
    try:
        make_cluster(yard.place, yard.binaries, lock)
    finally:
        os.close(lock)
    password = read_private(yard.place.password)
    assert password is not None
    return yard.place.cluster, password
