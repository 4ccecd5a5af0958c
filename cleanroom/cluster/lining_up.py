"""A task for each bucket: the rows of all datasets that have one token, side by side, into a part of matched rows.

No token leaves its bucket, and none is shuffled: that is what buckets are for (docs/decisions/0036-buckets-not-joins).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.cluster.errors import named
from cleanroom.cluster.parts import Parts, damaged
from cleanroom.cluster.staging import PRESENT, Staged
from cleanroom.enclave import tables
from cleanroom.enclave.errors import taken_again
from cleanroom.enclave.sql import position_column
from protocols.errors import ProtocolError
from protocols.psi import tokens as bulk

Positions = NDArray[np.int64]
BITS = "bits"
DONE = "bucket long, people long"
_PIECE = 1 << 20


@dataclass(frozen=True)
class LineUp:
    """Lines up the datasets by one identity; given bucket numbers, tells (bucket, people)."""

    parts: Parts
    sides: tuple[Staged, ...]
    kind: int
    dropped: Mapping[str, Positions]
    """By dataset, ascending: rows that take no part."""
    taken: Mapping[str, str]
    """By dataset the part that says which rows are matched already, by an earlier identity."""

    @named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Write a part of matched rows for each bucket that has some."""
        pa.set_cpu_count(1)
        for batch in batches:
            for bucket in batch.column(0).to_pylist():
                yield pa.record_batch({"bucket": [bucket], "people": [self._bucket(bucket)]})

    def _bucket(self, bucket: int) -> int:
        sides = [self._side(side, bucket) for side in self.sides]
        found = _common([side[:3] for side in sides])
        people = len(found[0])
        if not people:
            return 0
        columns: dict[str, pa.Array] = {PRESENT: tables.as_array(np.zeros(people, np.int64))}
        for side, (_, _, _, positions), rows in zip(self.sides, sides, found, strict=True):
            columns[position_column(side.dataset)] = tables.as_array(positions[rows])
            columns |= self._values(side, bucket, rows)
        matched = pa.record_batch(columns)
        with self.parts.write(matched_part(self.kind, bucket), matched.schema) as writer:
            step = max(1, len(matched) * (16 << 20) // max(1, matched.nbytes))
            for start in range(0, len(matched), step):
                writer.add(matched.slice(start, step))
            writer.close()
        return people

    def _side(self, side: Staged, bucket: int) -> tuple[bulk.Words, bulk.Words, Positions, Positions]:
        """(high, low, row in the part) of the rows that may match, by ascending token; and each row's position."""
        tokens, positions = side.tokens(self.kind, bucket)
        rows = np.arange(len(positions))
        dropped = self.dropped.get(side.dataset)
        if dropped is not None and len(dropped):
            rows = rows[~np.isin(positions, dropped)]
        high, low = bulk.words(bulk.take(tokens, rows))
        if not bulk.is_ascending(high, low):
            try:
                order = bulk.ascending(bulk.take(tokens, rows))
            except ProtocolError:
                raise taken_again(side.dataset) from None
            rows, high, low = rows[order], high[order], low[order]
        if side.dataset in self.taken:
            free = ~_flags(self.parts, self.taken[side.dataset], positions[rows])
            rows, high, low = rows[free], high[free], low[free]
        return high, low, rows, positions

    def _values(self, side: Staged, bucket: int, rows: Positions) -> dict[str, pa.Array]:
        if not side.schema.names:
            return {}
        table = pa.Table.from_batches(side.read(self.kind, bucket, side.schema.names), side.schema)
        chosen = table.take(tables.as_array(rows)).combine_chunks()
        return {name: _whole(chosen.column(name)) for name in side.schema.names}


def matched_part(kind: int, bucket: int) -> str:
    """The name of a part of matched rows."""
    return f"matched-{kind}-{bucket:05d}"


def write_flags(parts: Parts, name: str, rows: int, positions: Iterable[Positions]) -> None:
    """A part that says which of so many rows these are: a bit a row."""
    flags = np.zeros(rows, np.bool_)
    for some in positions:
        flags[some] = True
    packed = np.packbits(flags, bitorder="little")
    schema = pa.schema({BITS: pa.binary()})
    with parts.write(name, schema) as writer:
        for start in range(0, len(packed), _PIECE):
            piece = pa.array([packed[start : start + _PIECE].tobytes()], pa.binary())
            writer.add(pa.record_batch([piece], schema=schema))
        writer.close()


def _flags(parts: Parts, name: str, positions: Positions) -> NDArray[np.bool_]:
    packed = np.frombuffer(b"".join(piece.as_py() for b in parts.read(name) for piece in b.column(0)), np.uint8)
    if len(positions) and int(positions.max()) >> 3 >= len(packed):
        raise damaged(name)
    flags: NDArray[np.bool_] = (packed[positions >> 3] >> (positions & 7).astype(np.uint8) & 1).astype(np.bool_)
    return flags


def _common(sides: Sequence[tuple[bulk.Words, bulk.Words, Positions]]) -> list[Positions]:
    """The rows of the first side, of the second, … of the tokens that all sides have."""
    (high, low, rows), *others = sides
    found = [rows]
    for other_high, other_low, other_rows in others:
        places = bulk.index(high, low, other_high, other_low)
        hits = np.flatnonzero(places >= 0)
        high, low = high[hits], low[hits]
        found = [*(each[hits] for each in found), other_rows[places[hits]]]
    return found


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
