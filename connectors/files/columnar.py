"""Parquet, Arrow and Feather files, row group by row group. Nothing in them is trusted: sizes are capped, extension
types refused, every batch checked before it is used.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.columns import Note, Plain, numbered
from connectors.errors import InputError
from connectors.source import BATCH_ROWS, Batch, Rejected

_MOST_ROWS = 1 << 32
_MOST_GROUP = 4 << 30
_MOST_FOOTER = 64 << 20
_Result = TypeVar("_Result")


class ParquetSource:
    """A Parquet file. Its first row has number 1. Raises InputError."""

    def __init__(self, path: Path) -> None:
        self.label = path.name
        self.rejected: tuple[Rejected, ...] = ()
        self._path = path
        self._plain = _guarded(self.label, self._examine)

    @property
    def schema(self) -> pa.Schema:
        """The plain columns."""
        return self._plain.schema

    @property
    def notes(self) -> list[Note]:
        """Columns renamed or left out."""
        return list(self._plain.notes)

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1."""
        with _guarded(self.label, self._open) as file:
            stream = file.iter_batches(BATCH_ROWS, use_threads=False)
            yield from numbered(_plain_batches(self.label, self._plain, stream))

    def _examine(self) -> Plain:
        with self._open() as file:
            refuse_large(self.label, file.metadata)
            if file.metadata.num_rows == 0:
                _refuse_empty(self.label)
            return Plain(self.label, file.schema_arrow)

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._path,
            page_checksum_verification=True,
            thrift_string_size_limit=_MOST_FOOTER,
            thrift_container_size_limit=_MOST_FOOTER,
            pre_buffer=False,
        )


class ArrowFileSource:
    """An Arrow IPC (Feather 2) file. Its first row has number 1. Raises InputError."""

    def __init__(self, path: Path) -> None:
        self.label = path.name
        self.rejected: tuple[Rejected, ...] = ()
        self._path = path
        self._plain = _guarded(self.label, self._examine)

    @property
    def schema(self) -> pa.Schema:
        """The plain columns."""
        return self._plain.schema

    @property
    def notes(self) -> list[Note]:
        """Columns renamed or left out."""
        return list(self._plain.notes)

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1."""
        with pa.OSFile(str(self._path)) as file:
            reader = _guarded(self.label, lambda: pa.ipc.open_file(file))
            yield from numbered(_plain_batches(self.label, self._plain, _stored(reader)))

    def _examine(self) -> Plain:
        with pa.OSFile(str(self._path)) as file:
            reader = pa.ipc.open_file(file)
            if not any(batch.num_rows for batch in _stored(reader)):
                _refuse_empty(self.label)
            return Plain(self.label, reader.schema)


def _stored(reader: pa.RecordBatchFileReader) -> Iterator[pa.RecordBatch]:
    return (reader.get_batch(place) for place in range(reader.num_record_batches))


def _plain_batches(label: str, plain: Plain, stream: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    def following() -> pa.RecordBatch | None:
        batch = next(stream, None)
        if batch is not None:
            batch.validate(full=True)  # offsets and texts that lie would be read beyond their buffers
        return None if batch is None else plain.batch(batch)

    while (batch := _guarded(label, following)) is not None:
        yield batch


def _guarded(label: str, action: Callable[[], _Result]) -> _Result:
    """What `action` gives; what Arrow says of a bad file becomes an InputError, without Arrow's text."""
    try:
        return action()
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError, MemoryError):
        raise InputError(
            "{file} is damaged, or not what its name says.", "Write it again from its source.", file=label
        ) from None


def refuse_large(label: str, metadata: Any) -> None:
    """Raises InputError where a Parquet file says that it has more rows, or larger groups of them, than are read."""
    groups = (metadata.row_group(place) for place in range(metadata.num_row_groups))
    if metadata.num_rows > _MOST_ROWS or any(group.total_byte_size > _MOST_GROUP for group in groups):
        raise InputError(
            "{file} has row groups of more than {most} GB.", "Write it with smaller row groups.",
            file=label, most=_MOST_GROUP >> 30,
        )  # fmt: skip


def _refuse_empty(label: str) -> None:
    raise InputError(
        "{source} has column names but no rows.", "Export it again with at least one row.", source=label
    )  # fmt: skip
