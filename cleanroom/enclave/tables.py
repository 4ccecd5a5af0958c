"""Rows as they arrive in an enclave: schemas checked, tokens, plain columns and ciphertexts taken apart.

Nothing is copied that need not be; ciphertext rows stay in the batches they came in.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.enclave.errors import out_of_memory
from cleanroom.enclave.query import SLOTS, split_name
from cleanroom.errors import UsageError
from protocols.errors import BadMessage

TOKEN = "token"  # noqa: S105  (a column's name)
FURTHER = TOKEN + "#{place}"
"""Tokens by the second identity, where there are several, and so on from 1: no column of a query is named so."""
TOKEN_TYPE = pa.binary(16)


class Budget:
    """How many bytes of rows an enclave may hold."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return self.limit - self.held

    def take(self, size: int) -> None:
        """Take `size` bytes. Raises LimitReached where there are not so many left."""
        self.held += size
        if self.held > self.limit:
            raise self.exceeded()

    def exceeded(self) -> Exception:
        """The error to raise when memory is out."""
        return out_of_memory(self.limit >> 20)


@dataclass
class Slots:
    """A dataset's ciphertexts."""

    width: int
    """Bytes of a row: one or more ciphertexts side by side."""
    batches: list[NDArray[np.uint8]] = field(default_factory=list)
    """uint8[n, width] each."""

    @property
    def rows(self) -> int:
        """In all batches."""
        return sum(map(len, self.batches))

    @property
    def nbytes(self) -> int:
        """In all batches."""
        return self.rows * self.width


@dataclass
class Loaded:
    """A dataset's rows, or rows matched elsewhere."""

    dataset: str
    """Empty for rows matched elsewhere."""
    schema: pa.Schema
    """Of the plain columns."""
    rows: int = 0
    tokens: list[list[NDArray[np.uint64]]] = field(default_factory=list)
    """For each identity in the order in which they are tried: uint64[n, 2] a batch."""
    plain: list[pa.RecordBatch] = field(default_factory=list)
    slots: dict[str, Slots] = field(default_factory=dict)
    """By dataset."""
    dropped: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Positions that take no part in a match."""

    def plain_table(self) -> pa.Table:
        """The plain columns, in one piece each."""
        return pa.Table.from_batches(self.plain, self.schema).combine_chunks()

    def token_halves(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
        """(high, low, position) of every row that takes part, by the first identity whose tokens are left; these are
        given up, as each is asked for once."""
        high, low = np.empty(self.rows, np.uint64), np.empty(self.rows, np.uint64)
        batches, start = self.tokens.pop(0), 0
        while batches:
            words = batches.pop(0)
            high[start : start + len(words)], low[start : start + len(words)] = words.T
            start += len(words)
        position = np.arange(self.rows, dtype=np.int64)
        if len(self.dropped):
            kept = np.ones(self.rows, np.bool_)
            kept[self.dropped] = False
            high, low, position = high[kept], low[kept], position[kept]
        return high, low, position

    def drop(self, tokens: NDArray[np.uint64]) -> int:
        """Leave the rows of these tokens (uint64[n, 2], by the first identity) out of the match by any; how many they
        are."""
        wanted, start, found = {token.tobytes() for token in tokens}, 0, []
        for words in self.tokens[0]:
            near = np.flatnonzero(np.isin(words[:, 0], tokens[:, 0]))
            found += [start + row for row in near.tolist() if words[row].tobytes() in wanted]
            start += len(words)
        self.dropped = np.union1d(self.dropped, np.array(found, np.int64))
        return len(found)


def read(schema: pa.Schema, batches: Iterable[pa.RecordBatch], budget: Budget, dataset: str | None = None) -> Loaded:
    """The rows of `batches`: with tokens, of one `dataset`; or, without, matched already and of any.

    Raises UsageError for columns of another name or type, BadMessage for missing tokens or ciphertexts, LimitReached.
    """
    plain, slots = check_schema(schema, dataset)
    loaded = Loaded(dataset or "", pa.schema([(name, _plain_type(schema.field(name).type)) for name in plain]))
    loaded.slots = {split_name(name)[0]: Slots(schema.field(name).type.byte_width) for name in slots}
    token_names = token_columns(schema) if dataset is not None else []
    loaded.tokens = [[] for _ in token_names]
    for batch in batches:
        budget.take(batch.nbytes)
        try:
            batch.validate(full=True)
        except pa.ArrowInvalid:
            raise BadMessage("Rows sent to the enclave are damaged.") from None
        loaded.rows += len(batch)
        for name, words in zip(token_names, loaded.tokens, strict=True):
            words.append(fixed(batch, name).view(np.uint64))
        loaded.plain.append(pa.record_batch([_decoded(batch.column(name)) for name in plain], schema=loaded.schema))
        for name in slots:
            loaded.slots[split_name(name)[0]].batches.append(fixed(batch, name))
    return loaded


def check_schema(schema: pa.Schema, dataset: str | None) -> tuple[list[str], list[str]]:
    """(plain columns, ciphertext columns). Raises UsageError where a name or type does not fit."""
    names = list(schema.names)
    if dataset is not None:
        tokens = token_columns(schema)
        if not tokens or any(schema.field(name).type != TOKEN_TYPE for name in tokens):
            raise UsageError("The rows of {dataset} have no column of 16-byte tokens.", dataset=dataset)
        names = [name for name in names if name not in tokens]
    for name in names:
        owner, column = split_name(name)
        if dataset is not None and owner != dataset:
            raise UsageError("{name} is not a column of {dataset}.", name=name, dataset=dataset)
        _check_type(name, schema.field(name).type, ciphertext=column == SLOTS)
    check_distinct(names)
    slots = [name for name in names if split_name(name)[1] == SLOTS]
    return [name for name in names if name not in slots], slots


def token_columns(schema: pa.Schema) -> list[str]:
    """The columns of tokens, in the order in which their identities are tried; none where the first is missing."""
    places = itertools.chain([TOKEN], (FURTHER.format(place=place) for place in itertools.count(1)))
    return list(itertools.takewhile(set(schema.names).__contains__, places))


def check_distinct(names: Iterable[str]) -> None:
    """Raise UsageError where two names differ by upper and lower case only, which SQL does not tell apart."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise UsageError(
                "Two columns of the enclave are named {name}.", "Upper or lower case is no difference.", name=name
            )
        seen.add(name.casefold())


def fixed(batch: pa.RecordBatch, name: str) -> NDArray[np.uint8]:
    """A fixed-size binary column as uint8[n, w], not copied. Raises BadMessage where a value is missing."""
    column = batch.column(name)
    if column.null_count:
        raise BadMessage("Column {name} has rows without a value.", name=name)
    width = column.type.byte_width
    if not len(column):
        return np.empty((0, width), np.uint8)
    data = np.frombuffer(column.buffers()[1], np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


def as_binary(rows: NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    """uint8[n, w] as a fixed-size binary column, not copied where it is contiguous."""
    data = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, data])


def as_array(values: NDArray[Any]) -> pa.Array:
    """A one-dimensional array of whole numbers as an Arrow column, not copied.

    `pyarrow.array` would do, but looks for pandas first and loads it: a quarter of a second and 40 MB.
    """
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, data])


def as_numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """An int64 column without nulls as numbers; `to_numpy` would load pandas."""
    pieces = [
        np.frombuffer(piece.buffers()[1], np.int64)[piece.offset : piece.offset + len(piece)]
        for piece in column.chunks
        if len(piece)
    ]
    return np.concatenate([*pieces, np.empty(0, np.int64)])


def in_batches(name: str, rows: NDArray[np.uint8], size: int = 4096) -> Iterator[pa.RecordBatch]:
    """`rows` as record batches of one column."""
    for start in range(0, len(rows), size):
        yield pa.record_batch({name: as_binary(rows[start : start + size])})


def _check_type(name: str, kind: pa.DataType, *, ciphertext: bool) -> None:
    binary = pa.types.is_fixed_size_binary(kind)
    value = _plain_type(kind)
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    plain = text or pa.types.is_integer(value) or pa.types.is_boolean(value) or pa.types.is_date32(value)
    if not binary and (ciphertext or not plain):
        raise UsageError(
            "Column {name} is of a type that the enclave does not group by.",
            "Texts, whole numbers, truth values, dates and tokens are; cut other numbers into buckets.",
            name=name,
        )


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
