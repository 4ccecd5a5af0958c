"""Folders of Parquet parts, on the disk or in an object store: `folder/dt=2026-01-01/hour=03/part-….parquet`, or flat.

The values in the path are columns, as texts behind the others; only the partitions that are asked for are opened. The
last part by name says which columns there are. A part that has them in another order, narrower, or not at all (null
there) is read all the same; one whose type does not widen into that of the last is refused by part and column.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.columns import Note, Plain, at_least_one, gathered, numbered, repeated
from connectors.errors import InputError
from connectors.files.columnar import refuse_large
from connectors.folders import File, Folder, files_of
from connectors.objects import CAPS
from connectors.partitions import known, partition_of
from connectors.source import BATCH_ROWS, Batch, Rejected

_AHEAD = 4
_SMALL = 8 << 20
_LEAST = 12  # bytes of the smallest Parquet file: two marks and a length
_MARK = b"PAR1"
_UNITS = ("s", "ms", "us", "ns")


class HiveSource:
    """The rows of all parts, by the parts' names; the first has number 1. Raises InputError.

    Nothing is opened but the last part before `batches()`. From an object store small parts come whole, a few ahead.
    """

    def __init__(self, where: Folder) -> None:
        self.label = where.label
        self.rejected: tuple[Rejected, ...] = ()
        self._where = where
        self._files = files_of(where)
        self._columns = _partition_columns(where, self._files)
        with self._open(self._files[-1]) as last:
            self._plain = Plain(self.label, last.schema_arrow)
        parted = [field for field in self._plain.schema if field.name not in self._columns]
        self._stored = pa.schema(parted)
        self.schema: pa.Schema = pa.schema([*parted, *((name, pa.string()) for name in self._columns)])

    @property
    def notes(self) -> list[Note]:
        """Columns renamed, left out, or told by the path."""
        twice = [name for name in self._columns if name in self._plain.schema.names]
        told = "Column {name} is told by the folders' names; what the parts say of it was left out."
        also: list[Note] = [(told, {"name": name}) for name in twice]
        return self._plain.notes + also

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1; small parts are gathered to batches worth handling."""
        return at_least_one(self.label, numbered(gathered(self._rows(), self.schema)))

    def _rows(self) -> Iterator[pa.RecordBatch]:
        schema, fit = None, None
        for file, part in self._opened():
            with part:
                if fit is None or part.schema_arrow != schema:
                    schema = part.schema_arrow
                    fit = _Fit(self.label, file.name, schema, self._stored)
                told = [known(value) for _, value in _partitions(file)]
                stream = part.iter_batches(BATCH_ROWS, use_threads=False)
                while True:
                    with self._where.guarded(file.path):
                        if (batch := next(stream, None)) is None:
                            break
                        batch.validate(full=True)  # offsets and texts that lie would be read beyond their buffers
                        columns = fit.columns(batch)
                    told_columns = [repeated(value, batch.num_rows) for value in told]
                    yield pa.RecordBatch.from_arrays([*columns, *told_columns], schema=self.schema)

    def _opened(self) -> Iterator[tuple[File, Any]]:
        """Each part; from a store a few ahead, since each takes a request or three."""
        if not self._where.scheme:
            yield from ((file, self._open(file)) for file in self._files)
            return
        waiting: deque[tuple[File, Future[Any]]] = deque()
        with ThreadPoolExecutor(_AHEAD) as pool:
            for file in self._files:
                waiting.append((file, pool.submit(self._open, file)))
                if len(waiting) > _AHEAD:
                    first, opened = waiting.popleft()
                    yield first, opened.result()
            for first, opened in waiting:
                yield first, opened.result()

    def _open(self, file: File) -> Any:
        """The part's ParquetFile."""
        import pyarrow.parquet as pq

        with self._where.guarded(file.path):
            opened = self._bytes(file)
            whole = file.size >= _LEAST and opened.read_at(4, file.size - 4) == _MARK
            if not whole and file.size >= 4 and opened.read_at(4, 0) != _MARK:
                raise InputError(
                    "The part {part} of {source} is no Parquet file.",
                    "A folder of other files needs --features private-domain.", part=file.name, source=self.label,
                )  # fmt: skip
            if not whole:
                raise InputError(
                    "The part {part} of {source} is not whole: it was not written to its end.",
                    "Wait until its writer is done, or write that partition again.", part=file.name, source=self.label,
                )  # fmt: skip
            part = pq.ParquetFile(opened, **CAPS)
            refuse_large(file.name, part.metadata)
            return part

    def _bytes(self, file: File) -> Any:
        """The file for random access; a small one of a store in one request instead of three."""
        opened = self._where.store.open_input_file(file.path)
        if not self._where.scheme or file.size > _SMALL:
            return opened
        with opened:
            return pa.BufferReader(opened.read_buffer())


class _Fit:
    """How the columns of a part become those of the table. Raises InputError where they cannot."""

    def __init__(self, label: str, part: str, schema: pa.Schema, wanted: pa.Schema) -> None:
        self._plain, self._wanted = Plain(label, schema), wanted
        for field in wanted:
            place = self._plain.schema.get_field_index(field.name)
            if place >= 0 and not _widens(self._plain.schema.field(place).type, field.type):
                raise InputError(
                    "In part {part} of {source} column {column} is of type {type}, in the last part of type {wanted}.",
                    "Write that partition again with the types of the others.",
                    part=part, source=label, column=field.name, type=str(self._plain.schema.field(place).type),
                    wanted=str(field.type),
                )  # fmt: skip

    def columns(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """In the table's order, null where the part lacks one."""
        plain = self._plain.batch(batch)
        return [
            pa.nulls(plain.num_rows, field.type) if field.name not in plain.schema.names
            else column if (column := plain.column(field.name)).type == field.type else pc.cast(column, field.type)
            for field in self._wanted
        ]  # fmt: skip


def _widens(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether every value of `kind` is one of `wanted`: wider numbers, finer times, and nothing at all."""
    types = pa.types
    if kind == wanted or types.is_null(kind):
        return True
    if types.is_integer(kind) and types.is_integer(wanted):
        signed, into = types.is_signed_integer(kind), types.is_signed_integer(wanted)
        return bool(kind.bit_width < wanted.bit_width and (signed == into or into))
    if types.is_floating(kind) and types.is_floating(wanted):
        return bool(kind.bit_width < wanted.bit_width)
    if types.is_integer(kind) and types.is_floating(wanted):
        return bool(kind.bit_width < {16: 11, 32: 24, 64: 53}[wanted.bit_width])
    if types.is_decimal(kind) and types.is_decimal(wanted):
        return bool(kind.scale <= wanted.scale and kind.precision - kind.scale <= wanted.precision - wanted.scale)
    if types.is_timestamp(kind) and types.is_timestamp(wanted):
        return bool(kind.tz == wanted.tz and _UNITS.index(kind.unit) < _UNITS.index(wanted.unit))
    return False


def _partitions(file: File) -> list[tuple[str, str]]:
    """(column, raw value) of the folders above a part."""
    return [found for name in file.name.split("/")[:-1] if (found := partition_of(name))]


def _partition_columns(where: Folder, files: Sequence[File]) -> list[str]:
    """The columns that all parts are cut by. Raises InputError where they differ, or one comes twice."""
    columns = [column for column, _ in _partitions(files[-1])]
    for file in files:
        if [column for column, _ in _partitions(file)] != columns or len(set(columns)) < len(columns):
            raise InputError(
                "The part {part} of {source} does not lie in partitions by {columns}, as the last part does.",
                "Move it into a partition, or give the folder of one partition.",
                part=file.name, source=where.label, columns=", ".join(columns) or "-",
            )  # fmt: skip
    return columns
