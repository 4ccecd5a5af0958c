"""Rows cut into buckets by their tokens, as they come: what two datasets have in common stands in the same bucket.

A token is uniform, so buckets are of one size whatever the data is. Where rows have tokens by several identities, each
row is staged under each of them. The driver holds what is not written yet, and no more.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.cluster.buckets import bucket_of
from cleanroom.cluster.parts import Parts, PartWriter
from cleanroom.enclave import tables
from cleanroom.enclave.query import SLOTS, split_name
from cleanroom.enclave.sql import position_column

POSITION, PRESENT = "#position", "#"
_NO_TOKEN = np.empty((0, tables.TOKEN_TYPE.byte_width), np.uint8)
HELD_BYTES = 256 << 20
"""What the driver holds of one dataset before it writes what it holds most of."""


@dataclass(frozen=True)
class Staged:
    """A dataset in buckets: of which there are as many for each identity. Picklable: executors read it."""

    parts: Parts
    number: int
    dataset: str
    schema: pa.Schema
    """Of the plain columns and ciphertexts, without tokens."""
    rows: int
    counts: tuple[tuple[int, ...], ...]
    """Rows by identity and bucket."""

    @property
    def buckets(self) -> int:
        """Into how many it is cut."""
        return len(self.counts[0])

    def part(self, kind: int, bucket: int) -> str:
        """The name of a bucket's part."""
        return f"rows-{self.number}-{kind}-{bucket:05d}"

    def read(self, kind: int, bucket: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of a bucket's rows. Raises BadData for a part that is not what was written."""
        return self.parts.read(self.part(kind, bucket), columns, self.counts[kind][bucket])

    def tokens(self, kind: int, bucket: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The tokens uint8[n, 16] of a bucket's rows, and which row of all each is. Raises as `read`."""
        batches = list(self.read(kind, bucket, [tables.TOKEN, POSITION]))
        tokens = [tables.fixed(batch, tables.TOKEN) for batch in batches]
        positions = pa.chunked_array([batch.column(1) for batch in batches], pa.int64())
        return np.concatenate([_NO_TOKEN, *tokens]), tables.as_numbers(positions)


def stage(parts: Parts, number: int, dataset: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch],
          buckets: int) -> Staged:  # fmt: skip
    """Write a dataset's rows: columns as `tables.read` takes them. Raises as that does."""
    plain, slots = tables.check_schema(schema, dataset)
    names = [*plain, *slots]
    kept = pa.schema([(name, tables.plain_type(schema.field(name).type)) for name in names])
    stored = pa.schema([(tables.TOKEN, tables.TOKEN_TYPE), (POSITION, pa.int64()), *kept])
    kinds = tables.token_columns(schema)
    counts = np.zeros((len(kinds), buckets), np.int64)
    rows = 0

    def staged(rows: int, counts: NDArray[np.int64]) -> Staged:
        return Staged(parts, number, dataset, kept, rows, tuple(tuple(each) for each in counts.tolist()))

    with ExitStack() as stack:
        part = staged(0, counts).part
        writers = [
            [stack.enter_context(parts.write(part(kind, bucket), stored)) for bucket in range(buckets)]
            for kind in range(len(kinds))
        ]
        for batch in batches:
            checked = tables.validated(batch)
            columns = [tables.decoded(checked.column(name)) for name in names]
            for name in slots:
                tables.fixed(checked, name)
            position = tables.as_array(np.arange(rows, rows + len(checked), dtype=np.int64))
            rows += len(checked)
            for kind, token in enumerate(kinds):
                places = bucket_of(tables.fixed(checked, token), buckets)
                together = pa.record_batch([checked.column(token), position, *columns], schema=stored)
                counts[kind] += _spread(together, places, writers[kind])
            _relieve([writer for each in writers for writer in each])
        for writer in (writer for each in writers for writer in each):
            writer.close()
    return staged(rows, counts)


def stage_matched(parts: Parts, schema: pa.Schema, batches: Iterable[pa.RecordBatch],
                  buckets: int) -> tuple[tuple[str, int], ...]:  # fmt: skip
    """Write rows that are matched already, each bucket a run of them; (part, rows) of those that have some."""
    slots = [name for name in schema.names if split_name(name)[1] == SLOTS]
    own = [position_column(split_name(name)[0]) for name in slots]
    stored = pa.schema([(PRESENT, pa.int64()), *((name, pa.int64()) for name in own), *schema])
    pieces: list[tuple[str, int]] = []
    rows = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(parts.write(f"matched-0-{at:05d}", stored)) for at in range(buckets)]
        for number, batch in enumerate(batches):
            checked = tables.validated(batch)
            for name in slots:
                tables.fixed(checked, name)
            position = tables.as_array(np.arange(rows, rows + len(checked), dtype=np.int64))
            values = [tables.decoded(checked.column(name)) for name in schema.names]
            columns = [position, *(position for _ in own), *values]
            writers[number % buckets].add(pa.record_batch(columns, schema=stored))
            rows += len(checked)
            _relieve(writers)
        pieces = [(part.name, part.rows) for part in (writer.close() for writer in writers) if part.rows]
    return tuple(pieces)


def places_of(staged: Staged, tokens: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each of these tokens uint8[n, 16] which row of all has it, by the first identity; -1 where none has."""
    places, buckets = np.full(len(tokens), -1, np.int64), bucket_of(tokens, staged.buckets)
    for bucket in np.unique(buckets).tolist():
        held, positions = staged.tokens(0, bucket)
        first = np.ascontiguousarray(held).view(np.uint64)[:, 0]
        for wanted in np.flatnonzero(buckets == bucket).tolist():
            near = np.flatnonzero(first == np.ascontiguousarray(tokens[wanted]).view(np.uint64)[0])
            for row in near[(held[near] == tokens[wanted]).all(axis=1)].tolist():
                places[wanted] = positions[row]
    return places


def _spread(batch: pa.RecordBatch, places: NDArray[np.int64], writers: Sequence[PartWriter]) -> NDArray[np.int64]:
    """Give every writer its rows; how many these were."""
    counts = np.bincount(places, minlength=len(writers))
    if (np.diff(places) < 0).any():
        batch = batch.take(tables.as_array(np.argsort(places, kind="stable")))
    start = 0
    for bucket in np.flatnonzero(counts).tolist():
        writers[bucket].add(batch.slice(start, counts[bucket]))
        start += counts[bucket]
    return counts


def _relieve(writers: Sequence[PartWriter]) -> None:
    """Write what is held most of, where too much is."""
    held = sum(writer.held_bytes for writer in writers)
    for writer in sorted(writers, key=lambda each: -each.held_bytes) if held > HELD_BYTES else ():
        held -= writer.held_bytes
        writer.flush()
        if held < HELD_BYTES // 2:
            return
