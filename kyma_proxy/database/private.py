"""Files that only their owner can read, and locks on files: what the embedded server's owners agree by."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class EmbeddedError(Exception):
    """The embedded server cannot be used; the message says what to do."""


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by the owner of its folder only. Raises OSError."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _belong_to_folder(descriptor, path.parent)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)


def read_private(path: Path) -> str | None:
    """What a file says, or None if there is no such file. Raises EmbeddedError if it is somebody else's."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise EmbeddedError(f"cannot read {path} ({error.strerror}): is the data directory yours?") from error


def open_lock(path: Path) -> int:
    """A descriptor of a lock file, which is made if need be. The lock goes when its last descriptor is closed.

    Raises EmbeddedError.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        _belong_to_folder(descriptor, path.parent)
    except OSError as error:
        raise EmbeddedError(f"cannot open {path} ({error.strerror}): is the data directory yours?") from error
    return descriptor


def try_shared(descriptor: int) -> bool:
    """Take the lock together with others, unless somebody has it alone."""
    return _try(descriptor, fcntl.LOCK_SH)


def try_exclusive(descriptor: int) -> bool:
    """Take the lock alone, unless somebody has it."""
    return _try(descriptor, fcntl.LOCK_EX)


def is_free(path: Path) -> bool:
    """Whether nobody has the lock."""
    descriptor = open_lock(path)
    try:
        return try_exclusive(descriptor)
    finally:
        os.close(descriptor)


def is_shared(path: Path) -> bool:
    """Whether somebody has the lock together with others: it is neither free nor had alone."""
    descriptor = open_lock(path)
    try:
        return not try_exclusive(descriptor) and try_shared(descriptor)
    finally:
        os.close(descriptor)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _belong_to_folder(descriptor: int, folder: Path) -> None:
    """Let a file that root made in an ordinary user's folder belong to that user."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
