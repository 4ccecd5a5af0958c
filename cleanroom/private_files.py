"""Folders and files that hold secrets: mode 0700 and 0600, never through a symbolic link, one writer at a time.

Reading here is for small files (keys, manifests, pointers). Nothing here knows what the files mean.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleanroom.errors import BadData, Refused

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe put in a file's place must not hang us
_OTHERS = 0o077


def check_folder(path: Path) -> None:
    """Raises BadData unless `path` is a real folder, Refused if others than its owner may enter it."""
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise BadData("The folder {name} is missing.", name=path.name) from error
    if not stat.S_ISDIR(mode):
        raise BadData("{name} is not a folder.", "A symbolic link is not followed here.", name=path.name)
    if _open_to_others(mode):
        raise Refused("Others may enter the folder {name}.", "Run: chmod 700 on it.", name=path.name)


def open_regular(path: Path, *, follow: bool = False) -> int:
    """A read-only descriptor of a regular file. Raises BadData where it is missing, a link, a pipe or a device."""
    try:
        handle = os.open(path, os.O_RDONLY | _NO_WAIT | getattr(os, "O_BINARY", 0) | (0 if follow else _NO_FOLLOW))
    except OSError as error:
        raise BadData(
            "{name} cannot be read: {reason}.", "Restore it from a backup.", name=path.name, reason=error.strerror
        ) from error
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise BadData("{name} is not a regular file.", name=path.name)


def read(path: Path, limit: int = 1 << 20) -> bytes:
    """The whole of a small file. Raises BadData as `open_regular`, and where it is longer than `limit` bytes."""
    return _read(open_regular(path), path, limit)


def read_secret(path: Path, limit: int = 1 << 12) -> bytes:
    """As `read`, for a file that a user named (links are followed); Refused unless only its owner may read it.

    What systemd hands to a service (LoadCredential) is private whatever its mode says: later versions give leave by an
    access list, which shows as leave for a group.
    """
    handle = open_regular(path, follow=True)
    if _open_to_others(os.fstat(handle).st_mode) and not _is_credential(path):
        os.close(handle)
        raise Refused("Others than its owner may read {name}.", "Run: chmod 600 on it.", name=path.name)
    return _read(handle, path, limit)


def mark(path: Path) -> tuple[int, ...]:
    """What changes when a file does. Raises BadData where it is missing."""
    try:
        found = path.lstat()
    except OSError as error:
        raise BadData("{name} is missing.", "Restore it from a backup.", name=path.name) from error
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def sync_folder(path: Path) -> None:
    """Makes renames inside `path` durable."""
    if sys.platform == "win32":  # cannot open a folder there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path` for itself alone; waits for it. A process that dies lets go of it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | _NO_FOLLOW, 0o600)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)


def _open_to_others(mode: int) -> bool:
    return sys.platform != "win32" and bool(mode & _OTHERS)


def _is_credential(path: Path) -> bool:
    handed = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(handed) and path.resolve().parent == Path(handed).resolve()


def _read(handle: int, path: Path, limit: int) -> bytes:
    with os.fdopen(handle, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BadData("{name} is longer than it can be.", "Restore it from a backup.", name=path.name)
    return content
