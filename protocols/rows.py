"""Rows of equally many bytes: numpy uint8[n, w] in memory, Arrow fixed_size_binary on the wire, without a copy."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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


def each_row(rows: Bytes) -> list[bytes]:
    """The rows of uint8[n, w] one by one, for what a library takes one by one."""
    content, width = rows.tobytes(), rows.shape[1]
    return [content[start : start + width] for start in range(0, len(content), width)]


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
    if _repeats(np.sort(_words(items)[:, 0])):  # two digests that merely begin alike are rare
        repeated = int((_first_equal(items) != np.arange(len(items))).sum())
        if repeated:
            raise repeated_items(repeated)
    return items


def check_count(received: int, declared: int) -> None:
    """Raises BadMessage for fewer rows than were declared; a channel lets no more through."""
    if received != declared:
        raise BadMessage("A message has fewer rows than were declared.")


def repeated_items(count: int) -> ProtocolError:
    """The error for items that are not distinct."""
    return ProtocolError("{count} identities are repeated.", "Merge each person's rows first.", count=count)


def index_in(values: Bytes, among: Bytes) -> Indices:
    """For each row of `values` the first row of `among` that equals it, or -1. Both are uint8[n, w]."""
    if not len(values) or not len(among):
        return np.full(len(values), -1, np.int64)
    begins, wanted = _words(among)[:, 0], _words(values)[:, 0]
    order, asked = np.argsort(begins), np.argsort(wanted)
    begins = begins[order]
    if _repeats(begins):
        found = _first_equal(np.concatenate([among, values]))[len(among) :]
        return np.where(found < len(among), found, -1)
    places = np.empty(len(values), np.int64)
    places[asked] = order[np.minimum(np.searchsorted(begins, wanted[asked]), len(order) - 1)]
    return np.where((among[places] == values).all(axis=1), places, -1)


def _words(rows: Bytes) -> npt.NDArray[np.uint64]:
    """The rows as words, zeros after their end."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))
    return padded.view(np.uint64)


def _repeats(ascending: npt.NDArray[np.uint64]) -> bool:
    return bool((ascending[1:] == ascending[:-1]).any())


def _first_equal(rows: Bytes) -> Indices:
    """For each row the first that equals it."""
    words = _words(rows)
    order = np.lexsort(words.T)  # stable: of equal rows the first stands first
    words = words[order]
    differs = np.concatenate([[True], (words[1:] != words[:-1]).any(axis=1)])
    found = np.empty(len(rows), np.int64)
    found[order] = order[differs][np.cumsum(differs) - 1]
    return found


def permutation(n: int, draw: Draw) -> Indices:
    """A uniform secret permutation of range(n): the order of distinct random 64-bit keys."""
    while True:
        keys = np.frombuffer(draw(8 * n), np.uint64)
        order = np.argsort(keys)
        if not (np.diff(keys[order]) == 0).any():
            return order.astype(np.int64)
