"""What the asking side prepares before it connects, and what it keeps to ask nothing twice within an epoch."""

import os
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from protocols.canary import Canaries
from protocols.errors import ProtocolError
from protocols.oprf import suite
from protocols.oprf.keys import Epoch
from protocols.oprf.suite import OUTPUT_BYTES, Mode
from protocols.rows import (
    DIGEST_BYTES,
    Bytes,
    Draw,
    Indices,
    check_items,
    index_in,
    permutation,
    schema,
    to_batch,
    to_rows,
)

FORMAT = b"oprf-answers/1"


@dataclass(frozen=True, eq=False)
class Answers:
    """The outputs uint8[n, 64] of own items uint8[n, 16 or 32] in one epoch. Secret, as the items are."""

    key_id: bytes
    items: Bytes
    outputs: Bytes

    def __post_init__(self) -> None:
        if len(check_items(self.items)) != len(self.outputs) or self.outputs.shape[1] != OUTPUT_BYTES:
            raise ValueError("answers are an output an item")

    def to_arrow(self) -> pa.Table:
        """Columns item and output; FORMAT and key id in the schema's metadata."""
        batch = to_batch(_layout(self.items.shape[1]), self.items, self.outputs)
        return pa.Table.from_batches([batch]).replace_schema_metadata({"format": FORMAT, "key": self.key_id.hex()})

    @classmethod
    def from_arrow(cls, table: pa.Table, epoch: Epoch) -> Self:
        """The answers in `to_arrow`, if they are of this epoch. Raises ProtocolError for anything else."""
        metadata = table.schema.metadata or {}
        known = any(table.schema.equals(_layout(width)) for width in DIGEST_BYTES)
        if metadata.get(b"format") != FORMAT or not known:
            raise ProtocolError("What was kept for the key epoch has an unknown format.")
        if metadata.get(b"key") != epoch.key_id.hex().encode():
            raise other_epoch(epoch)
        return cls(epoch.key_id, *map(_rows, table.columns))


def _layout(width: int) -> pa.Schema:
    return schema({"item": width, "output": OUTPUT_BYTES})


def _rows(column: pa.ChunkedArray) -> Bytes:
    return to_rows(column.combine_chunks()) if len(column) else np.empty((0, column.type.byte_width), np.uint8)


def other_epoch(epoch: Epoch) -> ProtocolError:
    """The error for answers that another key gave."""
    return ProtocolError(
        "Answers kept from another key epoch than {epoch} cannot be used.", "Ask again.", epoch=epoch.number
    )


@dataclass(frozen=True, eq=False)
class Question:
    """Own items with canaries behind them, and of those not answered yet the blinded elements, in a secret order.

    asked: places among the items, in the order of `blinded`. For one session: two that ask the same show it.
    """

    items: Bytes
    known: Answers | None
    asked: Indices
    scalar: bytes = field(repr=False)
    blinded: Bytes = field(repr=False)


def ask(items: Bytes, *, canaries: Canaries, known: Answers | None = None) -> Question:
    """Blind distinct digests uint8[n, 16 or 32] that `known` has no answer for, and canaries always.

    Needs no peer, so do it before connecting. Raises ProtocolError for repeated items.
    """
    return _ask(items, canaries, known, os.urandom)


def _ask(items: Bytes, canaries: Canaries, known: Answers | None, draw: Draw) -> Question:
    n = len(check_items(items))
    new = np.arange(n) if known is None else np.flatnonzero(index_in(items, known.items) < 0)
    items = np.concatenate([items, canaries.rows])
    asked = np.concatenate([new, np.arange(n, len(items))])
    asked = asked[permutation(len(asked), draw)]
    scalar, blinded = suite.blind(items[asked], Mode.VOPRF, draw)
    return Question(items, known, asked, scalar, blinded)
