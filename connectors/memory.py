"""Tables that are already in memory: Arrow, pandas, or a function that gives a fresh Arrow reader.

Nothing is read from disk here.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Union

import pyarrow as pa

from connectors.columns import Note, Plain, numbered
from connectors.errors import InputError
from connectors.source import Batch, Rejected

if TYPE_CHECKING:
    import pandas as pd

Tabular = Union[pa.Table, pa.RecordBatch, pa.RecordBatchReader, "pd.DataFrame", Callable[[], pa.RecordBatchReader]]


class ArrowSource:
    """A table in memory, or a function that starts a reader anew at every reading (so that memory stays flat).

    A bare RecordBatchReader can be read only once, so its rows are collected. The first row has number 1.
    Raises InputError for columns that Arrow cannot hold.
    """

    def __init__(self, label: str, data: Tabular) -> None:
        self.label = label
        self.rejected: tuple[Rejected, ...] = ()
        self._start = _starter(label, data)
        self._plain = Plain(label, self._start().schema)

    @property
    def schema(self) -> pa.Schema:
        """The plain columns."""
        return self._plain.schema

    @property
    def notes(self) -> list[Note]:
        """Columns renamed or left out."""
        return list(self._plain.notes)

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1."""
        return numbered(self._plain.batch(batch) for batch in self._start())


def _starter(label: str, data: Tabular) -> Callable[[], pa.RecordBatchReader]:
    if callable(data):
        return data
    if isinstance(data, pa.RecordBatchReader):
        data = data.read_all()
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if not isinstance(data, pa.Table):
        data = _from_pandas(label, data)
    table: pa.Table = data
    return lambda: table.to_reader()


def _from_pandas(label: str, frame: "pd.DataFrame") -> pa.Table:
    columns = []
    for name, column in frame.items():
        try:
            columns.append(pa.Array.from_pandas(column))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            raise InputError(
                "Column {column} of {source} mixes kinds of values.",
                "Make it one kind, for example text: frame[column].astype('string').",
                column=str(name),
                source=label,
            ) from None
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])
