"""Encrypted Parquet parts of one run, written and read by the driver and by executors alike.

A part appears whole or not at all, and writing it again, as a retried task does, replaces it by the same. Its keys
stand in it, wrapped by the run's key, which comes to executors as a `SealedKey`: when a run has ended, nobody holds it.
Columns are c0, c1, … in the file; real names are in its schema's metadata, encrypted with the footer.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cleanroom.cluster.errors import MissingKey
from cleanroom.cluster.executor_keys import SealedKey, seal
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.errors import BadData, CleanroomError, Refused
from cleanroom.keystore import Wrapping
from cleanroom.stores import FolderStore, Store, store
from cleanroom.vault.columns import Authorisation

GROUP_ROWS = 131_072
GROUP_BYTES = 32 << 20
"""A row group is written once it has so many rows or bytes."""
_NAMES = b"cleanroom-part/1"
_DAMAGES = (BadData, Refused, pa.ArrowException, OSError, ValueError)
"""What reading ends in where a byte was changed; Refused where that names another column's key."""


@dataclass(frozen=True)
class StoredPart:
    """A finished part."""

    name: str
    rows: int


@dataclass(frozen=True)
class Parts:
    """Where the parts of a run stand, and what opens them. Picklable: executors get it with their work."""

    uri: str
    """A folder or s3://bucket/prefix, of this run alone."""
    key: SealedKey

    @classmethod
    def of_run(cls, settings: ClusterSettings, kind: str) -> Parts:
        """A place and a key of this run alone, which the executors of this cluster open. Raises MissingKey."""
        name = f"{kind}-{secrets.token_hex(8)}"
        return cls(under(settings.staging, name), seal(settings, name, secrets.token_bytes(32)))

    @cached_property
    def _store(self) -> Store:
        return store(self.uri)

    @cached_property
    def _wrapping(self) -> Wrapping:
        return Wrapping(self.key.open())

    def __getstate__(self) -> dict[str, Any]:
        return {"uri": self.uri, "key": self.key}  # what was opened here stays here

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def write(self, name: str, schema: pa.Schema) -> PartWriter:
        """A part being written; use it in a `with` block and close it there."""
        return PartWriter(self._store, name, schema, self._authorisation(name, len(schema)))

    def read(
        self, name: str, columns: Sequence[str] | None = None, rows: int | None = None, of: pa.Schema | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Its batches, a row group each. rows: how many there must be; of: the columns that it must have, where another
        party wrote it, and then it takes no more memory than so many rows of these do.

        Raises BadData where it is missing, damaged, another part or of other rows, else as `Store.open`.
        """
        with self._opened(name, None if of is None else _most_bytes(of, rows or 0)) as file:
            if rows is not None and file.metadata.num_rows != rows:
                raise damaged(name)
            schema = _schema(file)
            if of is not None and not (_same(schema, of) and _plain(file)):
                raise damaged(name)
            wanted = range(len(schema)) if columns is None else [schema.get_field_index(column) for column in columns]
            chosen = pa.schema([schema.field(at) for at in wanted])
            for group in range(file.metadata.num_row_groups):
                table = file.read_row_group(group, [f"c{at}" for at in wanted]).combine_chunks()
                for batch in table.to_batches():
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=chosen)

    def schema(self, name: str) -> pa.Schema:
        """Its columns. Raises as `read`."""
        with self._opened(name) as file:
            return _schema(file)

    def stands(self, name: str) -> bool:
        """Whether there is such a part. Raises Refused and Interrupted as `Store.open`."""
        try:
            self._store.open(f"{name}.parquet").close()
        except BadData:
            return False
        return True

    def names(self) -> list[str]:
        """All finished parts."""
        return sorted(name.removesuffix(".parquet") for name in self._store.names())

    def remove(self) -> None:
        """Every part, and what a killed task left beside them. What cannot be removed is no error: it ends no run that
        is answered, and opens to nobody once the run's key is gone."""
        if isinstance(self._store, FolderStore):
            shutil.rmtree(self.uri, ignore_errors=True)
        else:
            with suppress(CleanroomError):
                self._store.remove(*self._store.names())

    @contextmanager
    def _opened(self, name: str, most: int | None = None) -> Iterator[pq.ParquetFile]:
        """The part; most: the bytes that it may have. What is wrong with it in here is BadData."""
        try:
            source = self._store.open(f"{name}.parquet")
        except BadData as error:
            raise damaged(name) from error
        try:
            if most is not None and source.size() > most:
                raise damaged(name)
            yield self._authorisation(name, 1 << 10).opened(source, pre_buffer=False)
        except MissingKey:
            raise
        except _DAMAGES as error:
            raise self._store.failure(name, error) or damaged(name) from error

    def _authorisation(self, name: str, columns: int) -> Authorisation:
        return Authorisation(self._wrapping, f"parts/{name}", [f"c{at}" for at in range(columns)])


class PartWriter:
    """Takes batches of one schema; row groups are of about GROUP_ROWS rows."""

    def __init__(self, place: Store, name: str, schema: pa.Schema, authorisation: Authorisation) -> None:
        self._name, self._names, self.rows = name, schema.names, 0
        # the authorisation must outlive the writer: its properties call back into it
        self._authorisation = authorisation
        self._physical = pa.schema(
            [field.with_name(f"c{at}") for at, field in enumerate(schema)],
            {_NAMES: json.dumps(schema.names).encode()},
        )
        self._pending: list[pa.RecordBatch] = []
        self.held = self.held_bytes = 0
        self._sink = place.create(f"{name}.parquet")
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, "w"),
            self._physical,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            encryption_properties=authorisation.to_write(self._physical.names),
        )
        self._done = False

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._done:
            self._sink.abandon()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows; they are written once they make a row group."""
        self._pending.append(pa.RecordBatch.from_arrays(batch.columns, schema=self._physical))
        self.held += batch.num_rows
        self.held_bytes += batch.nbytes
        if self.held >= GROUP_ROWS or self.held_bytes >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a row group."""
        if self.held:
            table = pa.Table.from_batches(self._pending, self._physical).combine_chunks()
            self._writer.write_table(table, row_group_size=self.held)
            self.rows += self.held
            self._pending, self.held, self.held_bytes = [], 0, 0

    def close(self) -> StoredPart:
        """The part, whole and visible."""
        self.flush()
        self._writer.close()
        self._sink.finish()
        self._done = True
        return StoredPart(self._name, self.rows)


def under(uri: str, name: str) -> str:
    """The place of that name below an address, whose query stays behind it."""
    path, mark, query = uri.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def damaged(name: str) -> BadData:
    """The error for a part that is not what was written."""
    return BadData("A part of this run is missing or damaged: {name}.", "Nothing was answered. Ask again.", name=name)


def _schema(file: pq.ParquetFile) -> pa.Schema:
    """With the real names. Raises ValueError where a part has none."""
    physical = file.schema_arrow
    try:
        names = json.loads((physical.metadata or {})[_NAMES])
        return pa.schema([field.with_name(name) for field, name in zip(physical, names, strict=True)])
    except (KeyError, RecursionError, TypeError) as error:
        raise ValueError from error


def _same(schema: pa.Schema, of: pa.Schema) -> bool:
    return [(field.name, field.type) for field in schema] == [(field.name, field.type) for field in of]


def _plain(file: pq.ParquetFile) -> bool:
    """Whether what is read is no more than what stands there: no compression, and each group of the rows that it says,
    all of them together those of the file."""
    groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
    columns = [(group, group.column(at)) for group in groups for at in range(group.num_columns)]
    whole = sum(group.num_rows for group in groups) == file.metadata.num_rows
    return whole and all(
        column.num_values == group.num_rows and column.compression == "UNCOMPRESSED" for group, column in columns
    )


def _most_bytes(of: pa.Schema, rows: int) -> int:
    """Of a part: its rows, and what Parquet and its encryption add."""
    width: int = sum(field.type.byte_width for field in of)
    return 2 * rows * width + (1 << 20)
