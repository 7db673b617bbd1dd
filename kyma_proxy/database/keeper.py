"""The keeper: a small detached process that owns the embedded PostgreSQL and ends it with its last user.

Run by path with `python -I -S`, so it needs nothing but the standard library and costs little memory. Its one argument
is a JSON object, see `Order`. The process that was started exits 0 once the server is ready, or 1 with the reason on
stdout; a child of it stays.

Server and keeper both keep the server lock, so it is free exactly when nothing of them is left. The kernel releases
the lock of a user that was killed, so the server cannot outlive its users; by PR_SET_PDEATHSIG not its keeper either.
"""
# pathlib would cost a fifth of the keeper's memory:
# ruff: noqa: PTH105, PTH106, PTH108, PTH118, PTH121, PTH123

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import sys

_PR_SET_PDEATHSIG = 1
_STARTING_POLL_SECONDS = 0.02
_SERVING_POLL_SECONDS = 0.1
_LOG_MAX_BYTES = 1_000_000
_TAIL_BYTES = 800
# How long each way of stopping is given, in polls of 0.02 s: fast, then immediate, then killed.
_STOP_STEPS = ((signal.SIGINT, 3000), (signal.SIGQUIT, 500), (signal.SIGKILL, 500))


class Order:
    """What to run, from the JSON text of the command line."""

    def __init__(self, text: str) -> None:
        given = json.loads(text)
        self.command: list[str] = given["command"]
        """The server's argument list."""
        self.cluster: str = given["cluster"]
        """PostgreSQL's data directory."""
        self.holders: str = given["holders"]
        """The lock file whose shared locks are the users of the server."""
        self.lock: int = given["lock"]
        """Descriptor of the server lock, locked exclusively by whoever started us."""
        self.log: str = given["log"]
        """Where the server's messages go."""
        self.user: list[int] | None = given["user"]
        """Ids of user and group to run the server as."""
        self.scratch: str | None = given["scratch"]
        """A socket folder to remove at the end."""


class Log:
    """The server's messages: at most two files of a bounded size, fed from the server's output pipe."""

    def __init__(self, path: str, pipe: int) -> None:
        self.tail = b""
        self._path = path
        self._pipe = pipe
        self._file: int | None = None
        self._size = 0
        os.set_blocking(pipe, False)

    def wait(self, seconds: float) -> None:
        """Copy what the server says for at most `seconds`; returns sooner when it said something."""
        try:
            if not select.select([self._pipe], [], [], seconds)[0]:
                return
            said = os.read(self._pipe, 65536)
        except BlockingIOError:
            return
        if not said:
            # Everybody has closed the pipe; the server is about to be gone.
            select.select([], [], [], seconds)
            return
        self.tail = (self.tail + said)[-_TAIL_BYTES:]
        # A full disk must not take the keeper down.
        with contextlib.suppress(OSError):
            self._write(said)

    def _write(self, said: bytes) -> None:
        if self._file is not None and self._size > _LOG_MAX_BYTES:
            os.close(self._file)
            self._file = None
            os.replace(self._path, f"{self._path}.1")
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            self._size = os.fstat(self._file).st_size
        self._size += os.write(self._file, said)


def main() -> None:
    """Start the server, report, and stay as its keeper in a child process."""
    order = Order(sys.argv[1])
    reading, writing = os.pipe()
    if os.fork() > 0:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            report = pipe.read()
        if report != b"ready":
            sys.stdout.write(report.decode("utf-8", "replace") or "the keeper of the embedded database died")
            sys.exit(1)
        return
    os.close(reading)
    # Terminals and service managers signal whole groups; the keeper's end is that of its last user, nothing else.
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    try:
        keep(order, writing)
    finally:
        if order.scratch is not None:
            with contextlib.suppress(OSError):
                os.rmdir(order.scratch)


def keep(order: Order, report: int) -> None:
    """Run the server until it ends or its last user has gone; `report` is a pipe to whoever started us."""
    holders = os.open(order.holders, os.O_RDWR)
    remove_stale_pid_file(order.cluster)
    server, pipe = spawn(order)
    log = Log(order.log, pipe)
    ready = False
    while True:
        log.wait(_SERVING_POLL_SECONDS if ready else _STARTING_POLL_SECONDS)
        if has_ended(server):
            if not ready:
                log.wait(0)
                os.write(report, b"PostgreSQL did not start: " + log.tail)
            return
        if not ready and is_ready(order.cluster, server):
            ready = True
            os.write(report, b"ready")
            os.close(report)
        if try_exclusive(holders):
            # The exclusive lock keeps a newcomer waiting until the old server is gone.
            stop(server, log)
            return


def spawn(order: Order) -> tuple[int, int]:
    """Start the server; its process id, and the pipe that its messages come from."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    reading, writing = os.pipe()
    keeper = os.getpid()
    server = os.fork()
    if server > 0:
        os.close(writing)
        return server, reading
    try:
        for standard in (1, 2):
            os.dup2(writing, standard)
        for reset in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(reset, signal.SIG_DFL)
        os.set_inheritable(order.lock, True)
        os.umask(0o077)
        if order.user is not None:
            uid, gid = order.user
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        # After the change of user, which clears it. SIGINT is PostgreSQL's fast and clean stop.
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() == keeper:
            os.execve(order.command[0], order.command, {"LC_ALL": "C"})  # noqa: S606  # found by us, no shell
    except OSError as error:
        os.write(2, str(error).encode())
    finally:
        os._exit(127)


def remove_stale_pid_file(cluster: str) -> None:
    """Forget a server that was killed: its process id may belong to anything by now.

    The server lock proves that no server of ours is left; one that somebody else started there is left alone.
    """
    path = os.path.join(cluster, "postmaster.pid")
    with contextlib.suppress(OSError, ValueError):
        with open(path, encoding="utf-8") as file:
            pid = abs(int(file.readline()))
        if sys.platform == "linux" and not lives_in(pid, cluster):
            os.unlink(path)


def lives_in(pid: int, folder: str) -> bool:
    """Whether a process works in that folder, as a server does in its cluster."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", folder)
    except OSError:
        # Gone, or not ours to look at, and then it is not our server either.
        return False


def is_ready(cluster: str, server: int) -> bool:
    """Whether the server accepts connections, by the status line that pg_ctl reads too."""
    try:
        with open(os.path.join(cluster, "postmaster.pid"), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(server) and lines[7].strip() == "ready"


def has_ended(server: int) -> bool:
    """Whether the server has exited; reaps it."""
    return os.waitpid(server, os.WNOHANG)[0] == server


def try_exclusive(holders: int) -> bool:
    """Whether nobody uses the server; then we hold the lock exclusively."""
    try:
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop(server: int, log: Log) -> None:
    """End the server and wait until it has gone."""
    for sent, polls in _STOP_STEPS:
        os.kill(server, sent)
        for _ in range(polls):
            if has_ended(server):
                return
            log.wait(_STARTING_POLL_SECONDS)


if __name__ == "__main__":
    main()
