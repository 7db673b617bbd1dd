"""The processes of a server: its postmaster is our child, everything else is the postmaster's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kyma_proxy.clock import monotonic_seconds
from kyma_proxy.database.placement import ServerUser

_LAUNCH = Path(__file__).with_name("launch.py")
_IPC_RMID = 0
_POLL_SECONDS = 0.005
GONE_SECONDS = 30.0
"""How long a server may take to end: it writes everything to a disk that may be busy with other things."""


def spawn(command: list[str], user: ServerUser | None, log: Path) -> subprocess.Popen[bytes]:
    """Start the postmaster. Call it from the main thread: the server ends with the thread that started it."""
    ids = ["-", "-"] if user is None else [str(user.uid), str(user.gid)]
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), *ids, *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A terminal's Ctrl-C is for the tests, which then end the server.
            start_new_session=True,
        )


def children_of(parent: int) -> list[int]:
    """The process ids of a process's children; empty where the system does not tell."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name before the last parenthesis may hold anything.
            if int((entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
    return found


def kill_family(postmaster: subprocess.Popen[bytes]) -> None:
    """SIGKILL a postmaster and its children at once, as a power cut would; returns when all are gone."""
    if postmaster.poll() is not None:
        return
    # A stopped postmaster makes no more children, and those it has cannot be taken for anybody else's.
    postmaster.send_signal(signal.SIGSTOP)
    children = children_of(postmaster.pid)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    postmaster.kill()
    postmaster.wait()
    began = monotonic_seconds()
    while any(is_running(child) for child in children):
        assert monotonic_seconds() - began < GONE_SECONDS, "a killed server process stays"
        time.sleep(_POLL_SECONDS)


def remove_shared_memory(pid_file: Path) -> None:
    """Give back the segment that a killed server's lock file names: the system keeps it for ever, and has few."""
    try:
        _, number = pid_file.read_text("utf-8").splitlines()[6].split()
    except (OSError, IndexError, ValueError):
        return
    ctypes.CDLL(None).shmctl(int(number), _IPC_RMID, None)


def freeze_family(postmaster: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send SIGSTOP or SIGCONT to a postmaster and its children."""
    postmaster.send_signal(number)
    for child in children_of(postmaster.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int) -> str:
    """The letter that Linux gives a process: `T` stands still, `Z` has ended; nothing if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        # A process that ends between the opening and the reading is told as ProcessLookupError, not as a missing file.
        return ""
    return stat.rpartition(")")[2].split()[0]
