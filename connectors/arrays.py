"""Between numpy and Arrow without pandas.

`pa.array`, `to_numpy` and compute functions given bare Python values load pandas to ask whether a value is one of its
own: half a second at the start of each process. What runs at every import goes through these instead.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


def flags(values: Flags) -> pa.BooleanArray:
    """bool[n] as an Arrow column."""
    return pa.BooleanArray.from_buffers(pa.bool_(), len(values), [None, _bitmap(values)])


def numbers(values: NDArray[Any], valid: Flags | None = None, kind: pa.DataType | None = None) -> pa.Array:
    """Integers or floats as an Arrow column of `kind` (by default of their own type), null where not valid."""
    kind = kind or pa.from_numpy_dtype(values.dtype)
    mask = None if valid is None or valid.all() else _bitmap(valid)
    return pa.Array.from_buffers(kind, len(values), [mask, pa.py_buffer(np.ascontiguousarray(values))])


def words(values: Sequence[str]) -> pa.StringArray:
    """Some texts as an Arrow column."""
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def word(value: str) -> pa.StringScalar:
    """One text as an Arrow scalar."""
    return words([value])[0]


def as_flags(column: pa.BooleanArray) -> Flags:
    """An Arrow column of truth values as bool[n]; null is false."""
    if not len(column):
        return np.zeros(0, np.bool_)
    valid, values = column.buffers()
    truth = _bits(values, column.offset, len(column))
    return truth & _bits(valid, column.offset, len(column)) if column.null_count else truth


def is_valid(column: pa.Array) -> Flags:
    """Which entries of any column are not null."""
    return as_flags(column.is_valid())


def values_of(column: pa.Array) -> NDArray[Any]:
    """The numbers (or days, or times) of a column, not copied; what stands at a null is arbitrary."""
    width = column.type.bit_width // 8
    stored = _stored(column.type, width)
    if not len(column):
        return np.zeros(0, stored)
    return np.frombuffer(column.buffers()[1], stored)[column.offset : column.offset + len(column)]


def _stored(kind: pa.DataType, width: int) -> np.dtype[Any]:
    letter = "f" if pa.types.is_floating(kind) else "u" if pa.types.is_unsigned_integer(kind) else "i"
    return np.dtype(f"{letter}{width}")


def _bitmap(values: Flags) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def _bits(buffer: pa.Buffer, offset: int, count: int) -> Flags:
    start = offset // 8
    packed = np.frombuffer(buffer, np.uint8)[start : (offset + count + 7) // 8]
    return np.unpackbits(packed, count=offset % 8 + count, bitorder="little")[offset % 8 :].view(np.bool_)


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """A batch without rows: an empty table has no batches at all."""
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
