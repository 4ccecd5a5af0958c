"""A source of a few rows, in small batches, for tests."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from connectors.mapping import ColumnRole, Mapping
from connectors.source import Batch, Rejected


class Rows:
    """A table whose first row has number 2, as in a file; `rejected` as given."""

    notes: Sequence[tuple[str, dict[str, object]]] = ()
    label = "rows"

    def __init__(self, table: dict[str, object], size: int = 3, rejected: Sequence[Rejected] = ()) -> None:
        self._table = pa.table(table)
        self.schema: pa.Schema = self._table.schema
        self._size, self.rejected = size, rejected

    def batches(self) -> Iterator[Batch]:
        number = 2
        for batch in self._table.to_batches(max_chunksize=self._size):
            if batch.num_rows:
                yield Batch(pa.array(range(number, number + batch.num_rows), pa.int64()), batch)
            number += batch.num_rows


def mapping(**columns: str) -> Mapping:
    """header=kind, each header its own name."""
    return Mapping(tuple(ColumnRole(header, header, kind) for header, kind in columns.items()))  # type: ignore[arg-type]
