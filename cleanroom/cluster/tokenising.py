"""An owner's side of `keyed` at scale: a dataset's tokens, in buckets, in the order in which an operator takes them.

Executors read the owner's encrypted columns and turn every row into its token and its columns' value tokens at once;
only these go on through Spark's encrypted shuffle, and where sums are asked the row's cell and amounts. A bucket's task
merges what is equal, sorts, encrypts slots, and writes two encrypted parts: what an operator may see, and which row of
the owner's each is. What is sent is what `protocols.psi.keyed` sends on one machine: the same tokens in the same order,
canaries among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cleanroom import canonical
from cleanroom.cluster import stages
from cleanroom.cluster.brief import Brief, Source
from cleanroom.cluster.buckets import Layout, bucketed
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.cluster.parts import GROUP_ROWS, Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.stages import Piece, Stage, Step
from cleanroom.cluster.vault_rows import ROW_BITS
from cleanroom.enclave.query import SLOTS
from cleanroom.enclave.tables import TOKEN
from cleanroom.errors import BadData
from cleanroom.matching.cells import TYPED
from cleanroom.vault.identities import DIGEST, as_bytes
from connectors.arrays import is_valid
from protocols import canary
from protocols.channel import FRAME_BYTES, Channel
from protocols.psi import keyed
from protocols.rows import Bytes, Indices, one_row, to_column

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "tokens"
ROW = "row"
"""The column of parts that stay with their owner: the number of the row, -1 for a canary's."""
_SIZE = pa.schema([pa.field("rows", pa.int64(), nullable=False)])
_NUMBERS = pa.schema([pa.field(ROW, pa.int64(), nullable=False)])
_BATCH = 65_536
_ENCRYPTED = 8_192
"""Rows whose slots are encrypted at once."""


@dataclass(frozen=True)
class Tokenised:
    """A dataset as its owner sends it, in buckets.

    shown: parts with the columns token and those of `widths`, as `shown_part` names them; stage: parts with the column
    row; widths: bytes of each column beside the token, as `keyed` takes them; pieces: the buckets, ascending.
    """

    stage: Stage
    shown: Parts
    widths: dict[str, int]
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """Of all buckets, canaries included."""
        return sum(piece.rows for piece in self.pieces)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows as `keyed.layout` has them, ascending. Raises BadData for a missing or damaged part."""
        columns = [TOKEN, *self.widths]
        for piece in self.pieces:
            yield from self.shown.read(shown_part(piece.number), columns, piece.rows)

    def rows_at(self, positions: Indices) -> Indices:
        """The numbers of the rows at ascending positions of what is sent; -1 for a canary's."""
        found, start = np.empty(len(positions), np.int64), 0
        for piece in self.pieces:
            low, high = np.searchsorted(positions, [start, start + piece.rows])
            if low < high:
                batches = self.stage.read(piece, [ROW])
                numbers = np.concatenate([batch.column(0).to_numpy() for batch in batches])
                found[low:high] = numbers[positions[low:high] - start]
            start += piece.rows
        return found


def shown_part(bucket: int) -> str:
    """The name of what an operator may see of a bucket."""
    return f"{bucket:05d}"


def layout_of(brief: Brief, rows: int, buckets: int) -> Layout:
    """How rows travel to their buckets: of these there are as many as asked, or as so many rows need."""
    slots = brief.slots
    carried = 0 if slots is None else 1 + len(slots.layout.amounts)
    rest = keyed.VALUE_BYTES * len(brief.columns) + 8 * carried
    return Layout(keyed.TOKEN_BYTES, rest, buckets).enough_for(rows)


def tokenise(spark: SparkSession, settings: ClusterSettings, parts: Parts, shown: Parts, source: Source, brief: Brief,
             layout: Layout, step: Step) -> Tokenised:  # fmt: skip
    """Make the buckets of a dataset, or finish making them. Raises executors' named errors.

    parts: of the owner alone; shown: of what an operator may see.
    """
    of: dict[str, Any] = {"source": source.digest, "brief": brief.digest, "layout": asdict(layout), "to": shown.uri}
    stage = Stage(parts, STAGE, canonical.digest("cleanroom/tokens/1", of), layout.of)
    sealed = brief.sealed(settings)
    read, make = _Read(source, sealed, layout), _Make(stage, shown, sealed, layout)
    pieces = stages.run(
        spark,
        stage,
        lambda wanted: bucketed(spark, source.pieces + 1, layout, wanted, read, make),
        step,
        before=source.pieces + 1,
    )
    return Tokenised(stage, shown, _widths(brief), pieces)


def send(channel: Channel, tokenised: Tokenised, brief: Brief) -> None:
    """The owner's side of `keyed`, as `keyed.owner` has it: all rows, then which were dummies. Raises PeerAborted."""
    channel.send_batch("keyed.size", one_row(_SIZE, [tokenised.rows]))
    step = max(1, min(_BATCH, FRAME_BYTES // (keyed.TOKEN_BYTES + sum(tokenised.widths.values()))))
    for batch in tokenised.batches():
        for start in range(0, batch.num_rows, step):
            channel.send("keyed.rows", batch.slice(start, step))
    channel.end("keyed.rows")
    keyed.name_canaries(channel, brief.dummies)


def _widths(brief: Brief) -> dict[str, int]:
    widths = dict.fromkeys(brief.names, keyed.VALUE_BYTES)
    if brief.slots is not None:
        widths[f"{brief.dataset}.{SLOTS}"] = brief.slots.width
    return widths


@dataclass(frozen=True)
class _Read:
    """A piece's rows as bytes: token, number, value tokens, cell and amounts. The last piece are the canaries."""

    source: Source
    sealed: SealedKey
    layout: Layout

    def __call__(self, piece: int) -> Iterator[Bytes]:
        brief = Brief.opened(self.sealed)
        if piece == self.source.pieces:
            yield self._canaries(brief)
            return
        asked = [TYPED + annex.column for annex in brief.columns]
        columns = list(dict.fromkeys([DIGEST, *asked, *(brief.slots.columns if brief.slots else ())]))
        number = piece << ROW_BITS
        for batch in self.source.read(piece, columns):
            yield self._rows(brief, batch, number)
            number += batch.num_rows

    def _rows(self, brief: Brief, batch: pa.RecordBatch, first: int) -> Bytes:
        """Rows without an identity match nobody: they are left out."""
        stands = is_valid(batch.column(0))
        digests = as_bytes(batch.column(0))[stands]
        if digests.shape[1] != brief.width:
            raise BadData("A dataset's identities are not of the width that the contract says.")
        rest = brief.values([batch.column(TYPED + annex.column) for annex in brief.columns])
        if brief.slots is not None:
            rest.append(_as_bytes(brief.slots.plain([batch.column(name) for name in brief.slots.columns])))
        tokens = keyed.identity_tokens(brief.room_key, digests)
        return self.layout.packed(tokens, np.flatnonzero(stands) + first, *(each[stands] for each in rest))

    def _canaries(self, brief: Brief) -> Bytes:
        rest = brief.unknown(canary.COUNT)
        if brief.slots is not None:
            rest.append(_as_bytes(brief.slots.nobody(canary.COUNT)))
        return self.layout.packed(brief.dummies, np.full(canary.COUNT, -1), *rest)


@dataclass(frozen=True)
class _Make:
    """A bucket's two parts. What is shown is written first: a piece that stands has both."""

    stage: Stage
    shown: Parts
    sealed: SealedKey
    layout: Layout

    def __call__(self, bucket: int, rows: Bytes) -> Piece:
        brief = Brief.opened(self.sealed)
        of = keyed.layout(_widths(brief))
        step = _ENCRYPTED if brief.slots else GROUP_ROWS
        with self.shown.write(shown_part(bucket), of) as writer:
            for start in range(0, len(rows), step):
                writer.add(self._batch(brief, of, rows[start : start + step]))
            writer.close()
        numbers = self.layout.numbers(rows)
        column = pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])
        return self.stage.put(bucket, _NUMBERS, [pa.record_batch([column], schema=_NUMBERS)])

    def _batch(self, brief: Brief, of: pa.Schema, rows: Bytes) -> pa.RecordBatch:
        width, more = keyed.VALUE_BYTES, self.layout.more(rows)
        values = [more[:, at * width : (at + 1) * width] for at in range(len(brief.columns))]
        if brief.slots is not None:
            carried = np.ascontiguousarray(more[:, len(brief.columns) * width :])
            values.append(brief.slots.encrypted(carried.view("<i8").astype(np.int64)))
        return pa.record_batch([to_column(self.layout.keys(rows)), *map(to_column, values)], schema=of)


def _as_bytes(numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Bytes:
    """uint8[n, 8 k] of int64[n, k]."""
    return np.ascontiguousarray(numbers.astype("<i8")).view(np.uint8).reshape(len(numbers), -1)
