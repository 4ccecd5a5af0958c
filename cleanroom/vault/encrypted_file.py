"""One file of a version: encrypted, written once, hashed on the way; and opened again for the columns granted."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from cleanroom.errors import UsageError
from cleanroom.keystore import Wrapping
from cleanroom.stores import Sink
from cleanroom.vault.columns import Authorisation
from cleanroom.vault.files import Files
from cleanroom.vault.manifest import StoredFile


@dataclass(frozen=True)
class Place:
    """Where a version's files stand, and the root key."""

    files: Files
    wrapping: Wrapping

    def authorise(self, file: str, columns: Sequence[str]) -> Authorisation:
        """Leave for one use of one file."""
        return Authorisation(self.wrapping, self.files.prefix + file, columns)

    def open(self, file: str, columns: Sequence[str]) -> pq.ParquetFile:
        """A file, of which these physical columns can be read. Raises BadData where it does not open."""
        return opened(self.files, file, self.authorise(file, columns))

    def open_all(self, files: Sequence[StoredFile], columns: Sequence[str]) -> Iterable[pq.ParquetFile]:
        """Each file, in order: all of them now, or where they last, each when it is asked for."""
        each = (self.open(file.name, columns) for file in files)
        return each if self.files.lasting else list(each)


def opened(files: Files, name: str, leave: Authorisation) -> pq.ParquetFile:
    """A file under this leave. Raises BadData where it does not open."""
    try:
        # read ahead over a network only: 45 MB less on a disk, and as fast
        return leave.opened(files.open(name), pre_buffer=files.lasting)
    except (pa.ArrowException, OSError) as error:
        raise files.blamed(name, error) from error


class EncryptedFile:
    """One encrypted file being written; durable when closed, let go of when its context ends before."""

    def __init__(self, place: Place, name: str, schema: pa.Schema, dictionary: Sequence[str]) -> None:
        self._name, self.rows, self._closed = name, 0, False
        self._sink = _Hashed(place.files.create(name))
        # The authorisation must outlive the writer: its properties call back into it.
        self._authorisation = place.authorise(name, schema.names)
        try:
            self._writer = pq.ParquetWriter(
                pa.PythonFile(self._sink, "w"),
                schema,
                compression="none",
                use_dictionary=list(dictionary),
                write_statistics=False,
                write_batch_size=16_384,
                encryption_properties=self._authorisation.to_write(schema.names),
            )
        except pa.ArrowNotImplementedError as error:
            self.abandon()
            raise UsageError("A column's type cannot be stored.", "Turn it into texts or numbers.") from error

    def __enter__(self) -> "EncryptedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Lets go of what is not closed yet, finished or not."""
        if not self._closed:
            self._closed = True
            self._sink.abandon()

    def write(self, group: pa.Table) -> None:
        """The table as one row group; no row group for no rows."""
        if group.num_rows:
            self._writer.write_table(group, row_group_size=group.num_rows)
        self.rows += group.num_rows

    def close(self) -> StoredFile:
        """Makes it durable; what the manifest says of the file."""
        self._writer.close()
        self._sink.finish()
        self._closed = True
        return StoredFile(self._name, self._sink.sha256, self._sink.tell(), self.rows)


class _Hashed:
    """A sink that hashes what it is given."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._hash = sink, hashlib.sha256()

    @property
    def closed(self) -> bool:
        """Asked by Arrow."""
        return self._sink.closed

    @property
    def sha256(self) -> str:
        """The SHA-256 so far, in hex."""
        return self._hash.hexdigest()

    def write(self, content: bytes) -> int:
        """Called by Arrow."""
        written = self._sink.write(content)
        self._hash.update(content)
        return written

    def tell(self) -> int:
        """Called by Arrow: the bytes so far."""
        return self._sink.tell()

    def flush(self) -> None:
        """Called by Arrow."""

    def close(self) -> None:
        """Called by Arrow."""

    def finish(self) -> None:
        """Makes the file durable."""
        self._sink.finish()

    def abandon(self) -> None:
        """Lets go of it."""
        self._sink.abandon()
