"""One file of a version: encrypted, written once, hashed on the way, synced; and checked against its manifest later."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.keystore import Wrapping
from cleanroom.vault.columns import Authorisation, damaged
from cleanroom.vault.manifest import StoredFile


@dataclass(frozen=True)
class Place:
    """Where a version's files stand: their folder, their name over the whole vault up to the file's, the root key."""

    folder: Path
    prefix: str
    wrapping: Wrapping

    def authorise(self, file: str, columns: Sequence[str]) -> Authorisation:
        """Leave for one use of one file."""
        return Authorisation(self.wrapping, self.prefix + file, columns)


class EncryptedFile:
    """One encrypted file being written; synced when closed, let go of when its context ends before."""

    def __init__(self, place: Place, name: str, schema: pa.Schema, dictionary: list[str]) -> None:
        self._name, self.rows = name, 0
        self._sink = _Sink(place.folder / name)
        # The authorisation must outlive the writer: its properties call back into it.
        self._authorisation = place.authorise(name, schema.names)
        try:
            self._writer = pq.ParquetWriter(
                pa.PythonFile(self._sink, "w"),
                schema,
                compression="none",
                use_dictionary=dictionary,
                write_statistics=False,
                write_batch_size=16_384,
                encryption_properties=self._authorisation.to_write(schema.names),
            )
        except pa.ArrowNotImplementedError as error:
            self._sink.close()
            raise UsageError("A column's type cannot be stored.", "Turn it into texts or numbers.") from error

    def __enter__(self) -> "EncryptedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Closes what is not closed yet, finished or not."""
        self._sink.close()

    def write(self, group: pa.Table) -> None:
        """The table as one row group; no row group for no rows."""
        if group.num_rows:
            self._writer.write_table(group, row_group_size=group.num_rows)
        self.rows += group.num_rows

    def close(self) -> StoredFile:
        """Syncs; what the manifest says of the file."""
        self._writer.close()
        return StoredFile(self._name, self._sink.finish(), self._sink.size, self.rows)


class _Sink:
    """A new file that hashes what it is given; a full disk becomes BadData here, where it cannot be taken for input."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
        self._hash, self.size = hashlib.sha256(), 0

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
        self._hash.update(content)
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        """Called by Arrow."""
        return self.size

    def flush(self) -> None:
        """Called by Arrow; `finish` is what makes it durable."""

    def finish(self) -> str:
        """Syncs and closes; the SHA-256 in hex."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _unwritable(error) from error
        self.close()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Closes, synced or not."""
        self._file.close()


def _unwritable(error: OSError) -> BadData:
    return BadData("The vault cannot be written: {reason}.", "Check free space and rights.", reason=error.strerror)


def check_file(folder: Path, file: StoredFile) -> None:
    """Raises BadData unless the file is there, a regular one, of the manifest's size and digest."""
    with os.fdopen(private_files.open_regular(folder / file.name), "rb") as stored:
        if os.fstat(stored.fileno()).st_size != file.size:
            raise damaged(file.name)
        if hashlib.file_digest(stored, "sha256").hexdigest() != file.sha256:
            raise damaged(file.name)
