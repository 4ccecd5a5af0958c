"""Rows into buckets by the first bits of their keys, over Spark's shuffle, whole columns at a time.

A key is pseudorandom (a token, a digest), so buckets are about equally large. A task sends a bucket's rows as a run:
the bytes of many rows in one cell, in the order of their keys, so that Spark moves some cells a task and not a row
each. Equal keys are merged before they are sent, the row of the lowest number staying: what stands in a third of all
rows then weighs a row a run. Nothing of a row is ever a column of its own to Spark, nor in its plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.cluster.errors import named
from cleanroom.cluster.stages import Piece
from protocols.rows import Bytes, Indices

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Words = NDArray[np.uint64]
NUMBER_BYTES = 8
RUN_BYTES = 1 << 25
"""Of rows that a task holds until it sends them."""
MOST_BUCKET_BYTES = 1 << 28
"""Of a bucket's rows, which one task holds; a cell of Spark's could take eight times as much."""
_WORD = (1 << 32) - 1
_SENT = "place bigint, bucket int, rows binary"
_DONE = "piece int, rows bigint"


@dataclass(frozen=True)
class Layout:
    """A row's bytes: a key of so many, its number (8, big-endian), and so many more. of: buckets."""

    key: int
    rest: int
    of: int

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.key + NUMBER_BYTES + self.rest

    def packed(self, keys: Bytes, numbers: NDArray[np.int64], *rest: Bytes) -> Bytes:
        """uint8[n, width] of keys uint8[n, key], numbers int64[n] and more columns uint8[n, …]."""
        return np.hstack([keys, numbers.astype(">i8").view(np.uint8).reshape(-1, NUMBER_BYTES), *rest])

    def keys(self, rows: Bytes) -> Bytes:
        """uint8[n, key]."""
        return rows[:, : self.key]

    def numbers(self, rows: Bytes) -> NDArray[np.int64]:
        """int64[n]."""
        content = np.ascontiguousarray(rows[:, self.key : self.key + NUMBER_BYTES])
        return content.view(">i8").reshape(-1).astype(np.int64)

    def more(self, rows: Bytes) -> Bytes:
        """uint8[n, rest]."""
        return rows[:, self.key + NUMBER_BYTES :]

    def buckets(self, rows: Bytes) -> Indices:
        """int64[n]: the bucket of each row, or of each key."""
        return bucket_of(rows[:, : self.key], self.of)

    def enough_for(self, rows: int) -> Layout:
        """The same with as many buckets as so many rows need, if these are too few."""
        return replace(self, of=max(self.of, -(-rows * self.width // (MOST_BUCKET_BYTES // 2))))


def bucket_of(keys: Bytes, of: int) -> Indices:
    """int64[n]: the bucket of each key uint8[n, at least 4], by its first 32 bits, ascending with the keys."""
    first = np.ascontiguousarray(keys[:, :4]).view(">u4").reshape(-1).astype(np.int64)
    return (first * of) >> 32


def first_heads(of: int) -> Words:
    """uint64[of]: the smallest first 64 bits, as a number, of each bucket's keys."""
    return np.array([-(-(bucket << 32) // of) << 32 for bucket in range(of)], np.uint64)


def merged(rows: Bytes, layout: Layout) -> Bytes:
    """The rows in the order of their keys, of equal keys the row of the lowest number alone."""
    heads = _heads(rows, layout.key)
    order = np.argsort(heads)
    heads = heads[order]
    ties = np.flatnonzero(heads[1:] == heads[:-1])
    if not len(ties):
        return _take(rows, order)
    places = np.union1d(ties, ties + 1)
    tied = _words(_take(rows, order[places])[:, : layout.key + NUMBER_BYTES])
    order[places] = order[places][np.lexsort(tied.T[::-1])]
    ordered = _take(rows, order)
    stays = np.ones(len(rows), np.bool_)
    stays[ties + 1] = (layout.keys(ordered)[ties + 1] != layout.keys(ordered)[ties]).any(axis=1)
    return ordered[stays]


def bucketed(
    spark: SparkSession,
    pieces: int,
    layout: Layout,
    wanted: Sequence[int],
    rows: Callable[[int], Iterator[Bytes]],
    make: Callable[[int, Bytes], Piece],
) -> DataFrame:
    """The work that makes the wanted buckets, with columns piece and rows.

    rows: piece → its rows uint8[n, width], some at a time; make: bucket, all its merged rows → what was made. Both are
    run by executors, so they are picklable and hold keys only as SealedKey.
    """
    places = _places(len(wanted))
    sent = spark.range(0, pieces, 1, pieces).mapInArrow(_Send(layout, tuple(wanted), places, rows), _SENT)
    return sent.repartition(len(wanted), "place").mapInArrow(_Make(layout, make), _DONE)


def _places(partitions: int) -> tuple[int, ...]:
    """For each partition a number that Spark puts there, so that no task makes two buckets while another has none."""
    found: dict[int, int] = {}
    number = 0
    while len(found) < partitions:
        found.setdefault(_hash(number) % partitions, number)
        number += 1
    return tuple(found[partition] for partition in range(partitions))


def _hash(number: int) -> int:
    """Spark's hash of a bigint: MurmurHash3, 32 bits, of its low and its high word, seed 42; as a signed number."""
    low, high, state = number & _WORD, number >> 32 & _WORD, 42
    for word in (low, high):
        mixed = _turned(word * 0xCC9E2D51 & _WORD, 15) * 0x1B873593 & _WORD
        state = (_turned(state ^ mixed, 13) * 5 + 0xE6546B64) & _WORD
    state ^= 8
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        state = (state ^ state >> shift) * factor & _WORD
    state ^= state >> 16
    return state - (1 << 32 if state >> 31 else 0)


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _WORD


@dataclass(frozen=True)
class _Send:
    """Pieces → runs."""

    layout: Layout
    wanted: tuple[int, ...]
    places: tuple[int, ...]
    rows: Callable[[int], Iterator[Bytes]]

    @named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for piece in batch.column(0).to_pylist():
                yield self._sent(np.empty((0, self.layout.width), np.uint8))  # so that an empty bucket is made too
                for rows in _chunks(self.rows(piece), self.layout.width):
                    yield self._sent(rows)

    def _sent(self, rows: Bytes) -> pa.RecordBatch:
        """A run for each wanted bucket."""
        firsts, of = first_heads(self.layout.of), self.layout.of
        if len(self.wanted) < of:
            rows = rows[np.isin(self.layout.buckets(rows), self.wanted)]
        rows = merged(rows, self.layout)
        starts = np.append(np.searchsorted(_heads(rows, self.layout.key), firsts), len(rows))
        ends = np.append(starts[list(self.wanted)], len(rows)) * self.layout.width
        runs = pa.Array.from_buffers(
            pa.binary(), len(self.wanted), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(rows)]
        )
        columns = [_numbers(self.places, np.int64), _numbers(self.wanted, np.int32), runs]
        return pa.record_batch(columns, names=["place", "bucket", "rows"])


@dataclass(frozen=True)
class _Make:
    """Runs → buckets."""

    layout: Layout
    make: Callable[[int, Bytes], Piece]

    @named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        runs: dict[int, list[Bytes]] = {}
        for batch in batches:
            for bucket, cell in zip(batch.column(1).to_pylist(), batch.column(2), strict=True):
                run = np.frombuffer(cell.as_buffer(), np.uint8).reshape(-1, self.layout.width)
                runs.setdefault(bucket, []).append(run)
        for bucket in sorted(runs):
            yield self._made(bucket, runs.pop(bucket))

    def _made(self, bucket: int, runs: list[Bytes]) -> pa.RecordBatch:
        piece = self.make(bucket, merged(np.concatenate(runs), self.layout))
        return pa.record_batch([_numbers((bucket,), np.int32), _numbers((piece.rows,), np.int64)],
                               names=["piece", "rows"])  # fmt: skip


def _chunks(parts: Iterator[Bytes], width: int) -> Iterator[Bytes]:
    """The rows, about RUN_BYTES together."""
    held: list[Bytes] = []
    for part in parts:
        held.append(part)
        if sum(map(len, held)) * width >= RUN_BYTES:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _heads(rows: Bytes, key: int) -> Words:
    """The first 8 bytes of each key as a number; zeros after the end of a shorter one."""
    wide = np.zeros((len(rows), 8), np.uint8)
    wide[:, : min(key, 8)] = rows[:, : min(key, 8)]
    return wide.view(">u8")[:, 0].astype(np.uint64)


def _words(rows: Bytes) -> Words:
    """uint64[n, w]: rows as big-endian words, zeros after their ends."""
    wide = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))
    return wide.view(">u8").astype(np.uint64)


def _take(rows: Bytes, order: Indices) -> Bytes:
    """Some rows: as values of their width, which numpy moves several times faster than rows."""
    width = rows.shape[1]
    return np.take(np.ascontiguousarray(rows).view(f"V{width}").reshape(-1), order).view(np.uint8).reshape(-1, width)


def _numbers(values: Sequence[int], kind: type[np.int32] | type[np.int64]) -> pa.Array:
    """Whole numbers as a column; pa.array would load pandas."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(kind), len(values), [None, pa.py_buffer(np.array(values, kind))])
