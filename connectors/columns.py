"""Columns as every source gives them: distinct names, plain Arrow types, batches of a bounded size.

Extension types are refused here, before any of their code or data is touched; nothing is guessed about meanings.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import word
from connectors.errors import InputError
from connectors.source import BATCH_ROWS, Batch

Note = tuple[str, dict[str, object]]
MAX_COLUMNS = 2_000
_LONGEST = 120  # a name is shown in messages


def distinct_names(headers: Sequence[str]) -> tuple[list[str], list[Note]]:
    """One name a column, none empty, none twice, spaces tidied; and notes on what was renamed."""
    tidy = [" ".join(str(header).replace("\ufeff", "").split())[:_LONGEST] for header in headers]
    taken = Counter(tidy)
    names: list[str] = []
    notes: list[Note] = []
    for place, header in enumerate(tidy, start=1):
        name = header or f"column_{place}"
        attempt = 2
        while name in names or (name != header and taken[name]):
            name, attempt = f"{header or f'column_{place}'}_{attempt}", attempt + 1
        if not header:
            notes.append(("Column {place} has no header and is called {name}.", {"place": place, "name": name}))
        elif name != header:
            notes.append(
                (
                    "The header {header} stands more than once; the one in column {place} is called {name}.",
                    {"header": header, "place": place, "name": name},
                )
            )
        names.append(name)
    return names, notes


class Plain:
    """How the columns of Arrow data become plain ones.

    Text of every layout becomes `string`, dictionaries become their values. Nested and binary columns are left out
    and noted. Raises InputError for extension types, too many columns, or none that can be used.
    """

    def __init__(self, label: str, schema: pa.Schema) -> None:
        if len(schema) > MAX_COLUMNS:
            raise InputError(
                "{source} has {count} columns; at most {most} are read.",
                "Leave out what is not needed.",
                source=label,
                count=len(schema),
                most=MAX_COLUMNS,
            )
        names, self.notes = distinct_names(schema.names)
        self._places: list[int] = []
        fields: list[pa.Field] = []
        for place, (name, field) in enumerate(zip(names, schema, strict=True)):
            kind = plain_type(label, name, field)
            if kind is None:
                left_out = "Column {name} of type {type} cannot be used here and was left out."
                self.notes.append((left_out, {"name": name, "type": str(field.type)}))
                continue
            self._places.append(place)
            fields.append(pa.field(name, kind))
        if not fields:
            raise InputError(
                "{source} has no column that can be used.", "Give a table with columns of text, numbers or dates.",
                source=label,
            )  # fmt: skip
        self.schema = pa.schema(fields)

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows in the plain schema."""
        columns = [
            pc.cast(batch.column(place), field.type) if batch.column(place).type != field.type else batch.column(place)
            for place, field in zip(self._places, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def plain_type(label: str, name: str, field: pa.Field) -> pa.DataType | None:
    """The plain type of a column; None where it cannot be used. Raises InputError for an extension type."""
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {}):
        raise InputError(
            "Column {column} of {source} has an extension type; such columns are not read.",
            "Write it as plain text, numbers or dates.",
            column=name,
            source=label,
        )
    if pa.types.is_dictionary(kind):
        return plain_type(label, name, pa.field(name, kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return kind
    usable = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_null,
    )
    return kind if any(test(kind) for test in usable) else None


def numbered(batches: Iterator[pa.RecordBatch], first: int = 1) -> Iterator[Batch]:
    """Batches of at most BATCH_ROWS, their rows numbered one after another from `first`."""
    for batch in batches:
        for piece in pieces(batch):
            yield Batch(int64(np.arange(first, first + piece.num_rows, dtype=np.int64)), piece)
            first += piece.num_rows


def at_least_one(label: str, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches. Raises InputError at their end where there was none."""
    batch = None
    for batch in batches:
        yield batch
    if batch is None:
        raise InputError(
            "{source} has column names but no rows.", "Export it again with at least one row.", source=label
        )  # fmt: skip


def gathered(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The same rows in the same order, small batches put together up to BATCH_ROWS."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if waiting and rows + batch.num_rows > BATCH_ROWS:
            yield _together(waiting, schema)
            waiting, rows = [], 0
        waiting.append(batch)
        rows += batch.num_rows
    if waiting:
        yield _together(waiting, schema)


def _together(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    return next(iter(table.to_batches()), batches[0])


def repeated(value: str | None, count: int) -> pa.StringArray:
    """One text as a column of `count` rows."""
    return pa.nulls(count, pa.string()) if value is None else pa.repeat(_word(value), count)


_word = lru_cache(1024)(word)


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`batch` in slices of at most BATCH_ROWS; nothing where it is empty."""
    for start in range(0, batch.num_rows, BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)


def int64(numbers: np.ndarray) -> pa.Int64Array:
    """An Arrow array over int64 numbers, not copied; unlike `pa.array` it does not load pandas for that."""
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers))])
