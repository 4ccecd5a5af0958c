"""The files of one version of a dataset, wherever they stand; here those in a folder of the home.

Files are written once. A reader sees them only when the version is whole, which is the matter of who holds the versions
(`folders`, `object_datasets`).
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from cleanroom import private_files
from cleanroom.errors import BadData, CleanroomError
from cleanroom.files import write_bytes
from cleanroom.stores import Sink
from cleanroom.vault.columns import damaged
from cleanroom.vault.manifest import StoredFile


class Files(Protocol):
    """What a dataset needs of the place where one of its versions stands."""

    @property
    def prefix(self) -> str:
        """What is put before a file's name to name it over all datasets and versions: its keys are bound to that."""

    @property
    def lasting(self) -> bool:
        """Whether a file can still be opened after its version was replaced: then readers open late, and ahead."""

    @property
    def address(self) -> tuple[str, str]:
        """(address of a `cleanroom.stores.Store`, folder in it or ""): by which another process finds the files."""

    def create(self, name: str) -> Sink:
        """A new file. Raises BadData, also while it is written, where there is no room."""

    def open(self, name: str) -> Path | pa.NativeFile:
        """What `pq.ParquetFile` takes. Raises BadData where it is missing."""

    def read(self, name: str, limit: int) -> bytes:
        """The whole of a small file. Raises BadData where it is missing or longer."""

    def replace(self, name: str, content: bytes) -> None:
        """Puts a small file in the place of the one that there may be."""

    def mark(self, files: Sequence[StoredFile]) -> object:
        """What changes when one of the files does. Raises BadData where one is missing."""

    def check(self, files: Sequence[StoredFile]) -> None:
        """Raises BadData unless all of the files are as the manifest says."""

    def tagged(self, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """The files just written, with what tells later that they did not change, if this place has it."""

    def blamed(self, name: str, error: Exception) -> CleanroomError:
        """What to raise for an error met while a file is read."""


@dataclass(frozen=True)
class FolderFiles:
    """A version's files in a folder of its own."""

    path: Path
    prefix: str
    lasting = False

    @property
    def address(self) -> tuple[str, str]:
        """As `Files.address`."""
        return str(self.path), ""

    def create(self, name: str) -> Sink:
        """As `Files.create`."""
        return _FileSink(self.path / name)

    def open(self, name: str) -> Path:
        """As `Files.open`."""
        return self.path / name

    def read(self, name: str, limit: int) -> bytes:
        """As `Files.read`."""
        return private_files.read(self.path / name, limit)

    def replace(self, name: str, content: bytes) -> None:
        """As `Files.replace`. Needs the dataset's lock."""
        write_bytes(self.path / name, content)

    def mark(self, files: Sequence[StoredFile]) -> object:
        """As `Files.mark`; raises Refused too where others may enter the folder."""
        private_files.check_folder(self.path)
        return self.path, *((file.sha256, private_files.mark(self.path / file.name)) for file in files)

    def check(self, files: Sequence[StoredFile]) -> None:
        """As `Files.check`, by reading all of them."""
        for file in files:
            with os.fdopen(private_files.open_regular(self.path / file.name), "rb") as stored:
                size, found = os.fstat(stored.fileno()).st_size, hashlib.file_digest(stored, "sha256").hexdigest()
            if (size, found) != (file.size, file.sha256):
                raise damaged(file.name)

    def tagged(self, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """As `Files.tagged`: a folder has nothing but the digest."""
        return tuple(files)

    def blamed(self, name: str, _error: Exception) -> CleanroomError:
        """As `Files.blamed`."""
        return damaged(name)


class _FileSink:
    """A new file; a full disk becomes BadData here, where it cannot be taken for input."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file: BinaryIO = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._size = 0

    @property
    def closed(self) -> bool:
        """Asked by Arrow."""
        return self._file.closed

    def write(self, content: bytes) -> int:
        """Called by Arrow."""
        try:
            left = memoryview(content)
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise _unwritable(error) from error
        self._size += len(content)
        return len(content)

    def tell(self) -> int:
        """Called by Arrow."""
        return self._size

    def flush(self) -> None:
        """Called by Arrow; `finish` is what makes it durable."""

    def close(self) -> None:
        """Called by Arrow; `finish` and `abandon` close."""

    def finish(self) -> None:
        """Syncs and closes."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(error) from error
        self._file.close()

    def abandon(self) -> None:
        """Closes, synced or not: the folder is removed by who made it."""
        self._file.close()


def _unwritable(error: OSError) -> BadData:
    return BadData("The vault cannot be written: {reason}.", "Check free space and rights.", reason=error.strerror)
