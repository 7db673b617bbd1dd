"""Becomes a PostgreSQL server that cannot outlive its parent: run with `UID GID PROGRAM ARGUMENTS…`.

Uid and gid are `-` for a server that runs as ourselves. A program of its own, because forking a process that has
threads to change user and signal in the child is not safe.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Change user, ask for SIGQUIT at the parent's death, become the server."""
    uid, gid, *command = sys.argv[1:]
    os.umask(0o077)
    os.chdir("/")
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
    os.execve(command[0], command, {"LC_ALL": "C"})


if __name__ == "__main__":
    main()
