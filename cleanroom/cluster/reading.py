"""Tasks that read matched rows: as Spark's columns, and as sums of ciphertexts a group.

Ciphertexts never become Spark's rows: each part's sums are made where it is read, by the engine that a single machine
has, and only these few are added up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom.cluster.errors import named
from cleanroom.cluster.parts import GROUP_ROWS as BATCH_ROWS
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.staging import PRESENT
from cleanroom.enclave import sql, tables
from cleanroom.enclave.query import COUNTED, PEOPLE, Query
from protocols.paillier import cipher
from protocols.paillier.keys import PublicKey

_LOW_MASK = (1 << sql.LOW_BITS) - 1
Pieces = tuple[tuple[str, int], ...]
"""Parts of matched rows, each with its number of rows."""


def spark_type(kind: pa.DataType) -> pa.DataType:
    """The type in which Spark has a column of this one."""
    if kind == pa.uint64():
        return pa.decimal128(20, 0)
    if pa.types.is_integer(kind):
        return pa.int64()
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    return pa.string() if pa.types.is_large_string(kind) else kind


@dataclass(frozen=True)
class ReadMatched:
    """Columns of matched rows; given numbers of pieces, gives their rows."""

    parts: Parts
    pieces: Pieces
    columns: tuple[str, ...]

    @named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The rows in Spark's types."""
        pa.set_cpu_count(1)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                name, rows = self.pieces[number]
                for found in self.parts.read(name, self.columns, rows):
                    yield pa.record_batch(
                        {column: pc.cast(values, spark_type(values.type))
                         for column, values in zip(self.columns, found.columns, strict=True)}
                    )  # fmt: skip


@dataclass(frozen=True)
class CountCells:
    """The cells of each piece: who has the same values, counted and summed; given numbers of pieces.

    What Spark groups are these, not persons: where they are few, nearly all the work is done where the rows are.
    """

    parts: Parts
    pieces: Pieces
    names: tuple[str, ...]
    sums: tuple[str, ...]

    @named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The columns `names` in Spark's types, and the numbers that `sql.groups` adds up."""
        pa.set_cpu_count(1)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from self._cells(*self.pieces[number]).to_batches(max_chunksize=BATCH_ROWS)

    def _cells(self, piece: str, rows: int) -> pa.Table:
        held = {*self.names, *self.sums}
        read = self.parts.read(piece, [*held] or [PRESENT], rows)
        counted = pa.concat_tables([self._counted(pa.Table.from_batches([batch])) for batch in read])
        numbers = [PEOPLE, *(name + part for name in self.sums for part in (sql.HIGH, sql.LOW, COUNTED))]
        added = _named(counted.group_by(list(self.names), use_threads=False).aggregate(
            [(name, "sum") for name in numbers]), {f"{name}_sum": name for name in numbers})  # fmt: skip
        kinds = [spark_type(added.schema.field(name).type) for name in self.names]
        return added.select([*self.names, *numbers]).cast(
            pa.schema([*zip(self.names, kinds, strict=True), *((name, pa.int64()) for name in numbers)])
        )

    def _counted(self, table: pa.Table) -> pa.Table:
        """The cells of one batch."""
        wanted: list[tuple[object, str]] = [([], "count_all")]
        told = {"count_all": PEOPLE}
        for name in self.sums:
            values = table.column(name)
            table = table.append_column(name + sql.HIGH, pc.shift_right(values, pa.scalar(sql.LOW_BITS, pa.int64())))
            table = table.append_column(name + sql.LOW, pc.bit_wise_and(values, pa.scalar(_LOW_MASK, pa.int64())))
            wanted += [(name + sql.HIGH, "sum"), (name + sql.LOW, "sum"), (name, "count")]
            told |= {f"{name}{part}_sum": name + part for part in (sql.HIGH, sql.LOW)}
            told[f"{name}_count"] = name + COUNTED
        return _named(table.group_by(list(self.names), use_threads=False).aggregate(wanted), told)


def _named(table: pa.Table, told: Mapping[str, str]) -> pa.Table:
    return table.rename_columns([told.get(name, name) for name in table.column_names])


@dataclass(frozen=True)
class SumCiphertexts:
    """Each piece's groups with the products of their ciphertexts; given numbers of pieces."""

    parts: Parts
    pieces: Pieces
    query: Query
    moduli: Mapping[str, int]
    columns: tuple[str, ...]
    memory: int
    seconds: float

    @named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Columns g0, g1, … of the `by` columns in Spark's types, `people`, and s0, s1, … of sums a dataset."""
        from cleanroom.enclave.duck import DuckEngine

        pa.set_cpu_count(1)
        for batch in batches:
            for number in batch.column(0).to_pylist():
                name, rows = self.pieces[number]
                engine = DuckEngine(self.memory, 1, self.seconds)
                held = self.parts.schema(name)
                schema = pa.schema([held.field(column) for column in self.columns])
                engine.load_matched(schema, self.parts.read(name, self.columns, rows))
                groups = engine.run(self.query, self.moduli)
                values = [groups.table.column(column).combine_chunks() for column in (*self.query.by, PEOPLE)]
                values += [tables.as_binary(groups.ciphertexts[dataset]) for dataset in self.moduli]
                columns = [pc.cast(each, spark_type(each.type)) for each in values]
                yield pa.record_batch(columns, names=summed(len(self.query.by), len(self.moduli)))


def summed(by: int, sums: int) -> list[str]:
    """The columns' names: Spark's grouping in Arrow does not quote them, and our own have a dot."""
    return [*(f"g{at}" for at in range(by)), PEOPLE, *(f"s{at}" for at in range(sums))]


def adder(moduli: Sequence[int]) -> Callable[[pa.Table], pa.Table]:
    """Of one group the sums of all pieces, added up: columns as `SumCiphertexts` gives them, one row of the many.

    A function, since Spark counts the parameters of what it is given, `self` among them.
    """

    def added(table: pa.Table) -> pa.Table:
        columns = {name: table.column(name).slice(0, 1) for name in table.column_names}
        columns[PEOPLE] = pa.chunked_array([pa.array([pc.sum(table.column(PEOPLE)).as_py()], pa.int64())])
        for at, modulus in enumerate(moduli):
            rows = as_rows(table.column(f"s{at}").to_pylist())
            total = cipher.sum_groups(PublicKey(modulus), rows, np.zeros(len(rows), np.int64), 1)
            columns[f"s{at}"] = pa.chunked_array([pa.array([total[0].tobytes()], pa.binary())])
        return pa.table(columns)

    return added


def as_rows(values: Sequence[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8[n, w] of values of one width."""
    return np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
