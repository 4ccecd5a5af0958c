"""Whether an enclave has what a query names: the same for every engine, before any SQL is made."""

from collections.abc import Mapping

import pyarrow as pa

from cleanroom.enclave.query import Cells, Query
from cleanroom.errors import UsageError


def check_columns(
    query: Query, kinds: Mapping[str, pa.DataType], slots: Mapping[str, object], public_keys: Mapping[str, int]
) -> None:
    """Raise UsageError for what a query names and the enclave does not have, before any SQL is made."""
    for name in (*query.by, *query.plain_sums, *query.conditions):
        if name not in kinds:
            raise UsageError("The enclave has no column {name}.", "The contract names the columns.", name=name)
    for name, cells in (side for box in query.where for side in box):
        _check_cells(name, cells, kinds[name])
    for name in query.plain_sums:
        if kinds[name] != pa.int64():
            raise UsageError("Column {name} is not a whole number, so it has no sum.", name=name)
    for dataset in query.slots:
        if dataset not in slots:
            raise UsageError("The enclave has no ciphertexts of {dataset}.", dataset=dataset)
        if dataset not in public_keys:
            raise UsageError("The public key of {dataset} is missing.", dataset=dataset)


def _check_cells(name: str, cells: Cells, kind: pa.DataType) -> None:
    """Raise UsageError for cells that no value of the column could be."""
    if pa.types.is_fixed_size_binary(kind):
        fits = all(isinstance(cell, str) and len(cell) == 2 * kind.byte_width for cell in cells)
    else:
        fits = kind == pa.int64() and all(isinstance(cell, int) for cell in cells)
    if not fits:
        raise UsageError(
            "Column {name} does not hold cells of this kind.", "The contract names the columns.", name=name
        )
