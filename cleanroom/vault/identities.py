"""Who a dataset's rows are about: a digest a row, or several kinds of identity in their order; and who is forgotten.

Where persons have several identities, a row is forgotten by any of them, and then all of its identities are, but those
that many rows share (`cleanroom.vault.shared`).
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.errors import UsageError
from cleanroom.vault.tombstones import Tombstones
from connectors.arrays import is_valid

DIGEST = "digest"
"""The column every dataset has: who the row is about, `fixed_size_binary(32)` (SHA-256) or `(16)` (MD5), never null."""
KIND = "i."
"""Before the names of the columns that hold one kind of identity each, null where a row lacks it; only where a dataset
has several kinds."""

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Identity = tuple[str, Bytes, Flags]
"""A kind, its digests uint8[n, 32 or 16] (zeros where a row has none), and bool[n], which rows have one."""

_WIDTHS = (pa.binary(32), pa.binary(16))


def identity_columns(names: Sequence[str]) -> list[str]:
    """The columns that hold all identities: one a kind in order, or the digest where there is one kind."""
    return [name for name in names if name.startswith(KIND)] or [DIGEST]


def check_identities(schema: pa.Schema) -> None:
    """Raises UsageError for a schema whose identities a vault cannot hold."""
    for name in (DIGEST, *identity_columns(schema.names)):
        if name not in schema.names or schema.field(name).type not in _WIDTHS:
            raise UsageError("A dataset needs a column {column} of 32 or 16 bytes.", column=name)


def as_bytes(digests: pa.FixedSizeBinaryArray) -> Bytes:
    """uint8[n, width], without a copy; what stands at a null is arbitrary."""
    width = digests.type.byte_width
    flat = np.frombuffer(digests.buffers()[1] or b"", np.uint8)
    return flat[digests.offset * width : (digests.offset + len(digests)) * width].reshape(-1, width)


def nameless(batch: pa.RecordBatch) -> bool:
    """Whether a row lacks its digest, or has no identity of any kind."""
    lacking = np.ones(batch.num_rows, np.bool_)
    for name in identity_columns(batch.schema.names):
        lacking &= ~is_valid(batch.column(name))
    return bool(batch.column(DIGEST).null_count or lacking.any())


def forgotten(batch: pa.RecordBatch, stones: Tombstones) -> Flags:
    """bool[n]: which rows have an identity that is a tombstone."""
    found = np.zeros(batch.num_rows, np.bool_)
    for name in identity_columns(batch.schema.names):
        column = batch.column(name)
        found |= stones.forgotten(as_bytes(column)) & is_valid(column)
    return found


def kin(batch: pa.RecordBatch, stones: Tombstones, spared: Tombstones) -> list[Bytes]:
    """The other identities of the rows that are forgotten, an array a kind: those in neither list."""
    rows = forgotten(batch, stones)
    if not rows.any():
        return []
    columns = [batch.column(name) for name in identity_columns(batch.schema.names)]
    theirs = [as_bytes(column)[rows & is_valid(column)] for column in columns]
    return [fresh for some in theirs if len(fresh := some[~(stones.forgotten(some) | spared.forgotten(some))])]
