"""Rows as they arrive in an enclave: schemas checked, tokens, plain columns and ciphertexts taken apart.

Nothing is copied that need not be; ciphertext rows stay in the batches they came in.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
    plain: dict[str, "Plain"] = field(default_factory=dict)
    slots: dict[str, Slots] = field(default_factory=dict)
    """By dataset."""
    dropped: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Positions that take no part in a match."""

    def plain_column(self, name: str) -> pa.ChunkedArray:
        """A plain column, which is given up: texts and numbers as they came, tokens under a dictionary."""
        return self.plain.pop(name).column()

    def kept_column(self, name: str) -> pa.ChunkedArray:
        """The same without the rows that were dropped, which are few: no other row is copied."""
        whole = self.plain_column(name)
        gaps = itertools.pairwise([-1, *self.dropped.tolist(), len(whole)])
        chunks = [chunk for before, after in gaps for chunk in whole.slice(before + 1, after - before - 1).chunks]
        return pa.chunked_array(chunks, whole.type)

    def without_tokens(self) -> int:
        """Give the tokens up; how many bytes that frees."""
        freed = sum(words.nbytes for batches in self.tokens for words in batches)
        self.tokens.clear()
        return freed

    def kept(self) -> NDArray[np.int64]:
        """Positions of the rows that were not dropped. Of these there are few: nothing is copied."""
        positions = np.arange(self.rows - len(self.dropped), dtype=np.int64)
        for place, dropped in enumerate(self.dropped.tolist()):
            positions[dropped - place :] += 1
        return positions

    def token_halves(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
        """(high, low, position) of every row that takes part, by the first identity whose tokens are left; these are
        given up, as each is asked for once."""
        high, low = np.empty(self.rows, np.uint64), np.empty(self.rows, np.uint64)
        batches, start = self.tokens.pop(0), 0
        while batches:
            words = batches.pop(0)
            high[start : start + len(words)], low[start : start + len(words)] = words.T
            start += len(words)
        position = self.kept()
        return (high[position], low[position], position) if len(self.dropped) else (high, low, position)

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


GATHERED = 64
"""Batches whose tokens go into one piece: small ones, given up among what stays, would not free the system's memory."""
MOST_VALUES = 1 << 16
"""Different tokens of a column that are held in a dictionary; categories and buckets have far fewer."""


class Plain:
    """A plain column as it arrives. Tokens of few values become numbers of a byte or two at once, eight times less."""

    def __init__(self, kind: pa.DataType) -> None:
        nothing, self._kind = pa.array([], kind), kind
        self._values = nothing if pa.types.is_fixed_size_binary(kind) else None
        self._parts = [nothing if self._values is None else pa.array([], pa.uint8())]

    def add(self, column: pa.Array) -> int:
        """The next rows; how many bytes they take here."""
        column = decoded(column)
        part = column if self._values is None else self._coded(column, self._values)
        self._parts.append(part)
        return int(part.nbytes)

    def _coded(self, column: pa.Array, values: pa.Array) -> pa.Array:
        encoded = column.dictionary_encode()
        unknown = pc.is_null(pc.index_in(encoded.dictionary, values))
        self._values = values = pa.concat_arrays([values, encoded.dictionary.filter(unknown)])
        if len(values) > MOST_VALUES:
            self._parts = self.column().cast(self._kind).chunks
            self._values = None
            return column
        places = pc.index_in(encoded.dictionary, values).take(encoded.indices)
        return places.cast(pa.uint8() if len(values) <= 1 << 8 else pa.uint16())

    def column(self) -> pa.ChunkedArray:
        """All rows."""
        if self._values is None:
            return pa.chunked_array(self._parts, self._kind)
        narrow = pa.uint8() if len(self._values) <= 1 << 8 else pa.uint16()
        parts = [pa.DictionaryArray.from_arrays(part.cast(narrow), self._values) for part in self._parts]
        return pa.chunked_array(parts, pa.dictionary(narrow, self._kind))


def read(schema: pa.Schema, batches: Iterable[pa.RecordBatch], budget: Budget, dataset: str | None = None) -> Loaded:
    """The rows of `batches`: of one `dataset`, with tokens; or matched already and of any, with tokens or without.

    Raises UsageError for columns of another name or type, BadMessage for missing tokens or ciphertexts, LimitReached.
    """
    plain, slots = check_schema(schema, dataset)
    loaded = Loaded(dataset or "", pa.schema([(name, plain_type(schema.field(name).type)) for name in plain]))
    loaded.slots = {split_name(name)[0]: Slots(schema.field(name).type.byte_width) for name in slots}
    loaded.plain = {field.name: Plain(field.type) for field in loaded.schema}
    token_names = token_columns(schema)
    loaded.tokens = [[] for _ in token_names]
    # tokens alone: then nothing is held in the memory that a batch came in
    coded = not slots and all(pa.types.is_fixed_size_binary(field.type) for field in loaded.schema)
    for number, batch in enumerate(batches, 1):
        budget.take(batch.nbytes)
        batch = validated(batch)
        loaded.rows += len(batch)
        for name, words in zip(token_names, loaded.tokens, strict=True):
            tokens = fixed(batch, name).view(np.uint64)
            words.append(tokens.copy() if coded else tokens)
        held = sum(loaded.plain[name].add(batch.column(name)) for name in plain)
        if coded and not number % GATHERED:
            for words in loaded.tokens:
                words[-GATHERED:] = [np.concatenate(words[-GATHERED:])]
        if coded:
            budget.held -= batch.nbytes - held - TOKEN_TYPE.byte_width * len(batch) * len(token_names)
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
    elif TOKEN in names and schema.field(TOKEN).type == TOKEN_TYPE:
        names.remove(TOKEN)
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
    value = plain_type(kind)
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    plain = text or pa.types.is_integer(value) or pa.types.is_boolean(value) or pa.types.is_date32(value)
    if not binary and (ciphertext or not plain):
        raise UsageError(
            "Column {name} is of a type that the enclave does not group by.",
            "Texts, whole numbers, truth values, dates and tokens are; cut other numbers into buckets.",
            name=name,
        )


def validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, looked through. Raises BadMessage where it is not what its schema says."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        raise BadMessage("Rows sent to the enclave are damaged.") from None
    return batch


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def decoded(column: pa.Array) -> pa.Array:
    """The column's values, without a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
