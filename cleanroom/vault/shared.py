"""Identities that many rows share: a placeholder, a shop's own address. By itself such a one names nobody.

Else forgetting one person whose e-mail is `none@none.com` would forget everybody who gave none, and for ever.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.vault.identities import Bytes, as_bytes
from connectors.arrays import as_flags, flags, values_of
from connectors.merging import MOST_SHARED

Batches = Callable[[], Iterator[pa.RecordBatch]]
"""Reads the identity columns of all rows from the beginning."""


def shared(batches: Batches, suspects: Sequence[Bytes]) -> list[Bytes]:
    """Those of the identities uint8[n, 16 or 32] that stand in more than MOST_SHARED rows which differ.

    Rows with the same identities of every kind are one: whoever bought often is no crowd. Memory grows with the
    suspects, not with the rows.
    """
    found = []
    for width in sorted({some.shape[1] for some in suspects}):
        whole = np.concatenate([some for some in suspects if some.shape[1] == width])
        column = pa.Array.from_buffers(pa.binary(width), len(whole), [None, pa.py_buffer(whole)])
        often = _often(batches, column.unique())
        found += [as_bytes(each) for each in (_in_many_rows(batches, often) if len(often) else [])]
    return found


def _often(batches: Batches, suspects: pa.Array) -> pa.Array:
    """Those in more than MOST_SHARED rows, equal or not: mostly none, so that nothing needs to be compared."""
    counts = np.zeros(len(suspects), np.int64)
    for batch in batches():
        counts += _counts([batch], suspects)
    return suspects.filter(flags(counts > MOST_SHARED))


def _in_many_rows(batches: Batches, suspects: pa.Array) -> list[pa.Array]:
    """Those in more than MOST_SHARED rows that differ, in arrays; no more rows than that are kept for each."""
    many: list[pa.Array] = []
    rows: list[pa.RecordBatch] = []
    for batch in batches():
        rows = _different([*rows, _holding(batch, suspects)])
        over = _counts(rows, suspects) > MOST_SHARED
        many.append(suspects.filter(flags(over)))
        suspects = suspects.filter(flags(~over))
        rows = [_holding(each, suspects) for each in rows]
    return [each for each in many if len(each)]


def _counts(batches: Sequence[pa.RecordBatch], suspects: pa.Array) -> NDArray[np.int64]:
    """int64[suspects]: how often each of them stands in the rows."""
    columns = [column for batch in batches for column in batch.columns if column.type == suspects.type]
    found = [values_of(pc.index_in(column, suspects).drop_null()) for column in columns]
    return np.bincount(np.concatenate([np.zeros(0, np.int32), *found]), minlength=len(suspects))


def _holding(batch: pa.RecordBatch, suspects: pa.Array) -> pa.RecordBatch:
    """The rows with one of them."""
    hits = np.zeros(batch.num_rows, np.bool_)
    for column in batch.columns:
        if column.type == suspects.type:
            hits |= as_flags(pc.is_in(column, suspects))
    columns = [column.filter(flags(hits)) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _different(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The rows, each once."""
    rows = pa.Table.from_batches(batches)
    once: list[pa.RecordBatch] = rows.group_by(rows.column_names, use_threads=False).aggregate([]).to_batches()
    return once
