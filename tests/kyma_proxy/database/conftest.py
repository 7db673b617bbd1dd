"""A cluster to copy for tests about the embedded server, and other processes that use such a server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.embedded import EmbeddedPostgres
from postgres_kit.processes import GONE_SECONDS

_ROOT = Path(__file__).parents[3]
_HOLDER = """
import asyncio, signal, sys
from pathlib import Path
from kyma_proxy.database.embedded import EmbeddedPostgres

async def main():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print("holding", flush=True)
    try:
        await asyncio.sleep(600)
    finally:
        await server.stop()

# Whoever starts the tests in the background may have had interrupts ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
"""


def processes_in(folder: Path) -> list[int]:
    """The processes that live in the folder or were told about it: servers, keepers, initdb."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                about = (entry / "cmdline").read_bytes() + os.fsencode((entry / "cwd").readlink())
            except OSError:
                continue
            if os.fsencode(folder) in about:
                found.append(int(entry.name))
    return found


@dataclass
class Yard:
    """A data directory and the other processes that use it."""

    data_dir: Path
    holders: list[subprocess.Popen[str]] = field(default_factory=list)

    def hold(self) -> subprocess.Popen[str]:
        """Start another process that uses the server, in a process group of its own; returns when it does."""
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(self.data_dir)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=_ROOT,
        )
        self.holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        return holder

    def folder(self) -> Path:
        """Where the server's files lie."""
        home = self.data_dir / "postgres"
        return Path((home / "place").read_text()) if (home / "place").exists() else home

    def servers(self) -> list[int]:
        """Process ids of whatever belongs to the server."""
        return processes_in(self.folder())

    def keeper(self) -> int:
        """Process id of the keeper."""
        [found] = [pid for pid in self.servers() if b"keeper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found

    def postmaster(self) -> int:
        """Process id of the server's first process."""
        return int((self.folder() / "cluster/postmaster.pid").read_text().splitlines()[0])

    def clear(self) -> None:
        """End the other processes and remove every file."""
        for holder in self.holders:
            if holder.poll() is None:
                os.killpg(holder.pid, signal.SIGKILL)
            holder.wait()
            if holder.stdout is not None:
                holder.stdout.close()
        if self.data_dir.is_dir():
            wait_until(lambda: not self.servers(), GONE_SECONDS)
            shutil.rmtree(self.folder(), ignore_errors=True)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait at most so long for something that other processes do."""
    began = monotonic_seconds()
    while not condition():
        assert monotonic_seconds() - began < seconds, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stopped data directory with a cluster, only to be copied: initdb takes longer than everything else."""
    folder = Path(tempfile.mkdtemp(prefix="kyma-made-"))
    folder.chmod(0o755)

    async def make() -> None:
        server = EmbeddedPostgres(folder / "data")
        await server.start()
        await server.stop()

    asyncio.run(make())
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def bare_yard() -> Iterator[Yard]:
    """A data directory that does not exist yet."""
    folder = Path(tempfile.mkdtemp(prefix="kyma-yard-"))
    folder.chmod(0o755)
    yard = Yard(folder / "data")
    try:
        yield yard
    finally:
        yard.clear()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def yard(bare_yard: Yard, made: Path) -> Yard:
    """A data directory with a stopped server."""
    shutil.copytree(made, bare_yard.data_dir)
    if os.geteuid() == 0:
        bare_yard.data_dir.chmod(0o755)
    return bare_yard
