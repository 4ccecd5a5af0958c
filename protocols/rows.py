"""Rows of equally many bytes: numpy uint8[n, w] in memory, Arrow fixed_size_binary on the wire, without a copy."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from protocols.errors import BadMessage, ProtocolError

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
Draw = Callable[[int], bytes]
"""Where secrets come from: n → n random bytes. os.urandom, except in tests."""

DIGEST_BYTES = (16, 32)
"""Widths an identity digest may have: MD5 as some columns arrive, SHA-256."""


def schema(widths: Mapping[str, int]) -> pa.Schema:
    """A schema of fixed_size_binary columns without nulls, by name and width in bytes."""
    return pa.schema([pa.field(name, pa.binary(width), nullable=False) for name, width in widths.items()])


def to_column(rows: Bytes) -> pa.FixedSizeBinaryArray:
    """uint8[n, w] as an Arrow column over the same memory."""
    rows = np.ascontiguousarray(rows)
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows)])


def to_batch(of: pa.Schema, *columns: Bytes) -> pa.RecordBatch:
    """Columns uint8[n, w] in the order of the schema."""
    return pa.record_batch([to_column(column) for column in columns], schema=of)


def one_row(of: pa.Schema, values: Sequence[int | bytes]) -> pa.RecordBatch:
    """One row of int64 and fixed_size_binary columns; `pa.array` would load pandas, half a second of a small run."""
    cells = [value if isinstance(value, bytes) else np.array([value], np.int64) for value in values]
    columns = [
        pa.Array.from_buffers(field.type, 1, [None, pa.py_buffer(cell)]) for field, cell in zip(of, cells, strict=True)
    ]
    return pa.record_batch(columns, schema=of)


def to_rows(column: pa.FixedSizeBinaryArray) -> Bytes:
    """An Arrow column without nulls as uint8[n, w], read-only over the same memory."""
    width = column.type.byte_width
    content = np.frombuffer(column.buffers()[1], np.uint8)
    return content[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


def check_items(items: Bytes) -> Bytes:
    """Digests uint8[n, 16 or 32] in one piece. Raises ProtocolError where some are repeated."""
    if items.ndim != 2 or items.dtype != np.uint8 or items.shape[1] not in DIGEST_BYTES:
        raise ValueError(f"items must be uint8[n, 16 or 32], not {items.dtype}{list(items.shape)}")
    items = np.ascontiguousarray(items)
    begins = np.sort(np.ascontiguousarray(items[:, :8]).view(np.uint64).reshape(-1))
    if (begins[1:] == begins[:-1]).any() and (repeated := len(items) - len(pc.unique(to_column(items)))):
        raise repeated_items(repeated)  # two digests that merely begin alike are rare
    return items


def check_count(received: int, declared: int) -> None:
    """Raises BadMessage for fewer rows than were declared; a channel lets no more through."""
    if received != declared:
        raise BadMessage("A message has fewer rows than were declared.")


def repeated_items(count: int) -> ProtocolError:
    """The error for items that are not distinct."""
    return ProtocolError("{count} identities are repeated.", "Merge each person's rows first.", count=count)


def index_in(values: Bytes, among: Bytes) -> Indices:
    """For each row of `values` the first row of `among` that equals it, or -1."""
    if not len(values) or not len(among):
        return np.full(len(values), -1, np.int64)
    found = pc.index_in(to_column(values), value_set=to_column(among)).fill_null(-1)
    places: Indices = found.to_numpy().astype(np.int64)
    return places


def permutation(n: int, draw: Draw) -> Indices:
    """A uniform secret permutation of range(n): the order of distinct random 64-bit keys."""
    while True:
        keys = np.frombuffer(draw(8 * n), np.uint64)
        order = np.argsort(keys)
        if not (np.diff(keys[order]) == 0).any():
            return order.astype(np.int64)
