"""Where files stand that more than one machine reads: a folder, or a prefix in an object store that speaks S3.

One seam for both: whole files appear at once, small ones can be put on a condition, and that is how writers agree on
who was first. Credentials come from the environment only. What a store says never reaches an error's text, and nothing
of a file is put on this machine's disk for an object store.

    s3://bucket/prefix?endpoint=https://host&region=…    oss://bucket/prefix?region=…    a folder's path
"""

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pyarrow as pa

from cleanroom import private_files
from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.files import write_bytes
from connectors.objects import SCHEMES, address

_LARGEST = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9=_-][A-Za-z0-9._=-]*(/[A-Za-z0-9=_-][A-Za-z0-9._=-]*)*")


@dataclass(frozen=True)
class Listed:
    """A file of a store; tag changes whenever the file does; changed: by the store's clock."""

    name: str
    size: int
    tag: str
    changed: datetime


class Sink(Protocol):
    """A file being written, as `pa.PythonFile` wants it; invisible until `finish`, and for ever after `abandon`.

    A writer that is let go of late may still write: that goes nowhere.
    """

    @property
    def closed(self) -> bool: ...
    def write(self, content: bytes) -> int: ...
    def tell(self) -> int: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


class Store(Protocol):
    """Names are relative paths of letters, digits and ._=-, no part of them starting with a dot.

    All raise UsageError for another name or a bucket that is not there, Refused where the store does not let us in,
    Interrupted where it is not reached, BadData where the disk does not take a file.
    """

    @property
    def uri(self) -> str:
        """The address it was made of."""

    def open(self, name: str) -> pa.NativeFile:
        """The file, read by ranges. Raises BadData where it is missing."""

    def create(self, name: str) -> Sink:
        """A new file, in the place of the one of that name once it is finished."""

    def read(self, name: str, limit: int) -> tuple[bytes, str] | None:
        """(a small file's content, its tag for `put_if`); None where there is none. BadData beyond `limit` bytes."""

    def tag(self, name: str) -> str | None:
        """The tag that `read` would give, or None, without the content."""

    def put_new(self, name: str, content: bytes) -> bool:
        """Puts a file that is not there yet; False where there is one by now that is not the same."""

    def put_if(self, name: str, content: bytes, tag: str) -> bool:
        """Replaces the file that had this tag; False where it changed meanwhile into something else."""

    def listed(self, prefix: str = "") -> list[Listed]:
        """All finished files in the folder `prefix` and those in it, by name."""

    def names(self, prefix: str = "") -> list[str]:
        """The names of `listed`."""

    def remove(self, *names: str) -> None:
        """Removes files; one that is not there is no error."""

    def failure(self, name: str, error: Exception) -> CleanroomError | None:
        """What an error met while reading an open file says of the store; None where the content is to blame."""


def store(uri: str) -> Store:
    """The store at an address; opened when it is used, so that it can be pickled. Raises UsageError, InputError."""
    scheme = urlsplit(uri).scheme
    if scheme in SCHEMES:
        from cleanroom.object_stores import ObjectStore

        address(uri)
        return ObjectStore(uri)
    if not uri or "://" in uri:
        raise UsageError("This is no place for files.", "Name a folder, or s3://bucket/prefix.")
    return FolderStore(uri)


@dataclass(frozen=True)
class FolderStore:
    """A folder, made where it is missing; files are for their owner alone."""

    uri: str

    def open(self, name: str) -> pa.NativeFile:
        """As `Store.open`."""
        handle = private_files.open_regular(self._path(name))  # no link is followed, no pipe waited for
        os.close(handle)
        return pa.OSFile(str(self._path(name)))

    def create(self, name: str) -> Sink:
        """As `Store.create`."""
        return _FolderSink(self._made(name))

    def read(self, name: str, limit: int) -> tuple[bytes, str] | None:
        """As `Store.read`."""
        path = self._path(name)
        if not path.is_symlink() and not path.exists():
            return None
        content = private_files.read(path, limit)
        return content, hashlib.sha256(content).hexdigest()

    def tag(self, name: str) -> str | None:
        """As `Store.tag`."""
        found = self.read(name, _LARGEST)
        return found and found[1]

    def put_new(self, name: str, content: bytes) -> bool:
        """As `Store.put_new`."""
        path = self._made(name)
        with private_files.locked(Path(self.uri) / ".lock"):
            found = self.read(name, _LARGEST)
            if found is None:
                write_bytes(path, content)
            return found is None or found[0] == content

    def put_if(self, name: str, content: bytes, tag: str) -> bool:
        """As `Store.put_if`."""
        path = self._made(name)
        with private_files.locked(Path(self.uri) / ".lock"):
            found = self.read(name, _LARGEST)
            if found is not None and found[1] == tag:
                write_bytes(path, content)
                return True
            return found is not None and found[0] == content

    def listed(self, prefix: str = "") -> list[Listed]:
        """As `Store.listed`."""
        root = Path(self.uri)
        folder = self._path(prefix) if prefix else root
        found = [_described(path, root) for path in folder.rglob("*") if path.is_file() and not _hidden(path, root)]
        return sorted((one for one in found if one is not None), key=lambda one: one.name)

    def names(self, prefix: str = "") -> list[str]:
        """As `Store.names`."""
        return [one.name for one in self.listed(prefix)]

    def remove(self, *names: str) -> None:
        """As `Store.remove`; folders that are empty then vanish too."""
        for name in names:
            path = self._path(name)
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty, or another was faster
                for folder in list(path.parents)[: name.count("/")]:
                    folder.rmdir()

    def failure(self, name: str, error: Exception) -> CleanroomError | None:
        """As `Store.failure`: a disk is always reached."""
        return None

    def _path(self, name: str) -> Path:
        return Path(self.uri) / checked(name)

    def _made(self, name: str) -> Path:
        path = self._path(name)
        try:
            Path(self.uri).mkdir(0o700, parents=True, exist_ok=True)
            for folder in reversed(list(path.parents)[: name.count("/")]):
                folder.mkdir(0o700, exist_ok=True)
        except OSError as error:
            raise _unwritable(error) from None
        return path


class _FolderSink:
    """Written aside, synced and renamed."""

    def __init__(self, path: Path) -> None:
        self._path, self._aside = path, path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            self._file: Any = os.fdopen(os.open(self._aside, flags, 0o600), "wb", buffering=0)
        except OSError as error:
            raise _unwritable(error) from None
        self._at = 0

    @property
    def closed(self) -> bool:
        return False  # Arrow may ask, and write what then goes nowhere

    def write(self, content: bytes) -> int:
        try:
            left = memoryview(content)
            while left and not self._file.closed:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise _unwritable(error) from None
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def finish(self) -> None:
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._aside.replace(self._path)
            private_files.sync_folder(self._path.parent)
        except OSError as error:
            raise _unwritable(error) from None

    def abandon(self) -> None:
        self._file.close()
        self._aside.unlink(missing_ok=True)


def checked(name: str) -> str:
    """A file's name. Raises UsageError for one that no store takes."""
    if not _NAME.fullmatch(name):
        raise UsageError("This cannot name a file of a store.")
    return name


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _described(path: Path, root: Path) -> Listed | None:
    """None where another removed it meanwhile."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    changed = datetime.fromtimestamp(found.st_mtime, UTC)
    tag = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}"
    return Listed(path.relative_to(root).as_posix(), found.st_size, tag, changed)


def _unwritable(error: OSError) -> BadData:
    return BadData("The store cannot be written: {reason}.", "Check free space and rights.", reason=error.strerror)
