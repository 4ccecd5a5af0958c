"""Encrypted Parquet parts of one run, written and read by the driver and by executors alike.

A part appears whole or not at all, and writing it again, as a retried task does, replaces it by the same. Its keys
stand in it, wrapped by the run's key, which comes to executors as a `SealedKey`: when a run has ended, nobody holds it.
Columns are c0, c1, … in the file; real names are in its schema's metadata, encrypted with the footer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cleanroom.cluster.errors import MissingKey
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.errors import BadData, Refused
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
        self, name: str, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Its batches, a row group each. rows: how many there must be.

        Raises BadData where it is missing, damaged, another part or of other rows.
        """
        try:
            file = self._opened(name)
            if rows is not None and file.metadata.num_rows != rows:
                raise damaged(name)
            schema = _schema(file)
            wanted = range(len(schema)) if columns is None else [schema.get_field_index(column) for column in columns]
            chosen = pa.schema([schema.field(at) for at in wanted])
            for group in range(file.metadata.num_row_groups):
                table = file.read_row_group(group, [f"c{at}" for at in wanted]).combine_chunks()
                for batch in table.to_batches():
                    yield pa.RecordBatch.from_arrays(batch.columns, schema=chosen)
        except MissingKey:
            raise
        except _DAMAGES as error:
            raise damaged(name) from error

    def schema(self, name: str) -> pa.Schema:
        """Its columns. Raises BadData as `read`."""
        try:
            return _schema(self._opened(name))
        except MissingKey:
            raise
        except _DAMAGES as error:
            raise damaged(name) from error

    def names(self) -> list[str]:
        """All finished parts."""
        return sorted(name.removesuffix(".parquet") for name in self._store.names())

    def remove(self) -> None:
        """Every part, and what a killed task left beside them; what is missing already is no error."""
        if isinstance(self._store, FolderStore):
            shutil.rmtree(self.uri, ignore_errors=True)
        else:
            self._store.remove(*self._store.names())

    def _opened(self, name: str) -> pq.ParquetFile:
        leave = self._authorisation(name, 1 << 10).to_read()
        return pq.ParquetFile(self._store.open(f"{name}.parquet"), decryption_properties=leave, pre_buffer=False)

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
    physical = file.schema_arrow
    names = json.loads((physical.metadata or {})[_NAMES])
    return pa.schema([field.with_name(name) for field, name in zip(physical, names, strict=True)])
