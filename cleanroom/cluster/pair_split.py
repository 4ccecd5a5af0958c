"""How a party's items get into the buckets of a job: by a hash that only the two owners know, the same on both sides.

The hash is SHA-256 under a seed of the job's secret, so nobody else can choose items that meet in one bucket, and a
party that does so for itself finds its own bucket too full. Items are moved as `buckets` does it, and each bucket is a
piece of a stage: made once, whichever task is run again.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom.cluster.buckets import MOST_BUCKET_BYTES, NUMBER_BYTES, Layout, bucketed
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.stages import Piece, Stage
from cleanroom.errors import BadData, UsageError
from protocols.errors import ProtocolError
from protocols.rows import Bytes, repeated_items, schema, to_batch, to_column, to_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

HASH_BYTES, KEY_BYTES = 8, 16
PIECE_ROWS = 1 << 20
_TAG = b"pair-bkt"
_SEED_LABEL = b"cleanroom/pairs-split/1"


@dataclass(frozen=True)
class Source:
    """A party's items in pieces that executors read: batches with columns row (int64), item (digests of one width,
    distinct, without nulls) and, of a sender with labels, label. read is picklable; rows: of all pieces."""

    pieces: int
    rows: int
    read: Callable[[int], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class FromParts:
    """Pieces that stand as parts."""

    parts: Parts
    name: str

    def __call__(self, piece: int) -> Iterator[pa.RecordBatch]:
        """A piece's rows."""
        return self.parts.read(f"{self.name}-{piece:05d}")


def staged(parts: Parts, items: Bytes, labels: Bytes | None = None, name: str = "source") -> Source:
    """Items uint8[n, w] and labels that this process holds, as parts for executors; rows are numbered from 0."""
    widths = {"item": items.shape[1]} | ({"label": labels.shape[1]} if labels is not None else {})
    form = pa.schema([pa.field("row", pa.int64()), *schema(widths)])
    starts = range(0, len(items), PIECE_ROWS)
    for piece, start in enumerate(starts):
        with parts.write(f"{name}-{piece:05d}", form) as part:
            chosen = slice(start, start + PIECE_ROWS)
            columns = [items[chosen], *([labels[chosen]] if labels is not None else [])]
            rows = pa.array(np.arange(start, start + len(columns[0])))
            part.add(pa.record_batch([rows, *map(to_column, columns)], schema=form))
            part.close()
    return Source(len(starts), len(items), FromParts(parts, name))


@dataclass(frozen=True)
class Split:
    """Items by buckets. stage: a piece a bucket; sealed: as `PairTask.sealed`; width: bytes kept of an item."""

    source: Source
    stage: Stage
    sealed: SealedKey
    width: int
    label_width: int

    @property
    def layout(self) -> Layout:
        """A row as it is moved: the hash and the item, its number, its label."""
        return Layout(HASH_BYTES + self.width, self.label_width, self.stage.pieces)

    def check_size(self) -> None:
        """Raises UsageError where a task could not hold a bucket."""
        if (needed := self.layout.enough_for(self.source.rows).of) > self.stage.pieces:
            raise UsageError(
                "These rows need {needed} buckets at least: one of {buckets} would be above {most} MB.",
                "Set as many on both sides.",
                needed=needed,
                buckets=self.stage.pieces,
                most=MOST_BUCKET_BYTES >> 20,
            )

    def on(self, spark: "SparkSession", wanted: Sequence[int]) -> "DataFrame":
        """The work that makes these buckets."""
        return bucketed(spark, max(self.source.pieces, 1), self.layout, wanted, self.rows, self.make)

    def rows(self, piece: int) -> Iterator[Bytes]:
        """A piece's rows as they are moved. Raises BadData."""
        secret = self.sealed.open()[32:]
        for batch in self.source.read(piece) if piece < self.source.pieces else ():
            items, row = item_rows(batch.column("item"), self.width), batch.column("row")
            if row.null_count:
                raise _not_digests()
            more = [item_rows(batch.column("label"), self.label_width)] if self.label_width else []
            keys = np.hstack([hashes(items, secret), items])
            yield self.layout.packed(keys, row.to_numpy(), *more)

    def make(self, bucket: int, rows: Bytes) -> Piece:
        """A bucket's rows, stored."""
        layout = self.layout
        columns = [layout.keys(rows)[:, HASH_BYTES:], rows[:, layout.key : layout.key + NUMBER_BYTES]]
        widths = {"item": self.width, "row": NUMBER_BYTES}
        if self.label_width:
            columns, widths = [*columns, layout.more(rows)], widths | {"label": self.label_width}
        batches = [to_batch(schema(widths), *columns)] if len(rows) else []
        return self.stage.put(bucket, schema(widths), batches)

    def check(self, pieces: Sequence[Piece], load: int) -> None:
        """Raises ProtocolError where items were repeated, or a bucket has more rows than it may."""
        if again := self.source.rows - sum(piece.rows for piece in pieces):
            raise repeated_items(again)
        if max(piece.rows for piece in pieces) > load:
            raise ProtocolError("A bucket of rows is too full.", "This happens once in 2^40 sessions: run again.")


def item_rows(column: pa.Array, width: int) -> Bytes:
    """The first `width` bytes of each value, uint8[n, width]. Raises BadData for nulls, and values of several widths or
    of less than that."""
    if column.null_count:
        raise _not_digests()
    if not pa.types.is_fixed_size_binary(column.type):
        lengths = pc.binary_length(column)
        try:
            column = column.cast(pa.binary(lengths[0].as_py() if len(column) else width))
        except pa.ArrowInvalid as error:
            raise _not_digests() from error
    if column.type.byte_width < width:
        raise _not_digests()
    return np.ascontiguousarray(to_rows(column)[:, :width])


def hashes(items: Bytes, secret: bytes) -> Bytes:
    """uint8[n, 8]: which bucket each item uint8[n, 16 or more] goes to, as the share of 2^64 that it is; secret: the
    job's, 32 bytes."""
    from protocols.kernels.vole import okvs

    keys = np.ascontiguousarray(items[:, :KEY_BYTES]).view("<u8").astype(np.uint64)
    digests = np.empty((len(items), 4), np.uint64)
    which, counts = np.empty(len(items), np.uint16), np.zeros(1, np.int64)
    template = okvs.message(_TAG, hashlib.sha256(_SEED_LABEL + secret).digest()[:16])
    hi, lo = np.ascontiguousarray(keys[:, 0]), np.ascontiguousarray(keys[:, 1])
    okvs.hash_rows(template, hi, lo, 1, digests, which, counts)
    return np.ascontiguousarray(digests[:, :1]).view(np.uint8)


def numbers_of(rows: Bytes) -> npt.NDArray[np.int64]:
    """int64[n] of a stored bucket's rows uint8[n, 8]."""
    return np.ascontiguousarray(rows).view(">i8").reshape(-1).astype(np.int64)


def each_piece(stage: Stage, pieces: Iterable[Piece]) -> Iterator[pa.RecordBatch]:
    """The rows of stored pieces, one after the other."""
    for piece in pieces:
        yield from stage.read(piece)


def _not_digests() -> BadData:
    return BadData("Items to be matched are digests of one width, without nulls.")
