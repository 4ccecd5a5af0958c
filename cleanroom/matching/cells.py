"""A contract's columns as small integers: every value becomes the position of its cell, every amount is clamped.

The last two cells are `other` (a value that is not declared) and `unknown` (no value).
"""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.errors import BadData
from cleanroom.rooms.draft import OTHER, UNKNOWN, Cells, edge_labels
from cleanroom.rooms.terms import Annex, Column
from cleanroom.vault import Vault

TYPED = "t."
"""Prefix of a dataset's typed columns in the vault (connectors.importing)."""
LONGEST_LABEL = 200


def codes(vault: Vault, dataset: str, annex: Annex) -> NDArray[np.int64]:
    """The cell of every row, in the vault's order."""
    parts = [codes_of(batch.column(0), annex) for batch in vault.read(dataset, [TYPED + annex.column])]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def amounts(vault: Vault, dataset: str, column: Column) -> NDArray[np.int64]:
    """The amount of every row in minor units, clamped to the contract's bounds; a row without one counts as 0."""
    parts = []
    for batch in vault.read(dataset, [TYPED + column.name]):
        values = pc.fill_null(batch.column(0), 0)
        if not pa.types.is_int64(values.type):
            raise BadData("{dataset}.{column} was not imported as an amount.", dataset=dataset, column=column.name)
        parts.append(np.clip(values.to_numpy(zero_copy_only=False), column.low, column.high))
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def codes_of(values: pa.Array, annex: Annex) -> NDArray[np.int64]:
    """int64[n]: the cell of each value. Raises BadData where the annex's edges do not fit the values."""
    other, unknown = len(annex.labels) - 2, len(annex.labels) - 1
    if annex.edges:
        try:
            edges, numbers = _edges(annex.edges, values.type), _numbers(values)
        except (NotImplementedError, TypeError, ValueError) as error:  # Arrow's own are of these kinds
            raise BadData("The edges of {column} do not fit its values.", column=annex.column) from error
        found = np.searchsorted(edges, numbers, side="right").astype(np.int64)
    else:
        labels = pa.array(annex.labels, pa.string())  # whoever writes `other` or `unknown` means these cells
        found = pc.fill_null(pc.index_in(_texts(values), labels), other).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(values.is_null().to_numpy(zero_copy_only=False), unknown, found)


def _texts(values: pa.Array) -> pa.Array:
    return values.cast(pa.string()) if not pa.types.is_string(values.type) else values


def _numbers(values: pa.Array) -> NDArray[np.float64]:
    """Numbers, or days since 1970 of dates; nulls are 0 (their rows become `unknown`)."""
    if pa.types.is_date(values.type):
        values = values.cast(pa.date32()).cast(pa.int32())
    return np.asarray(pc.fill_null(values, 0).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _edges(edges: Sequence[str], kind: pa.DataType) -> NDArray[np.float64]:
    if pa.types.is_date(kind):
        return _numbers(pa.array(edges, pa.string()).cast(pa.date32()))
    return np.array([float(edge) for edge in edges])


def propose_cells(vault: Vault, dataset: str, column: str, *, most: int, least_people: int) -> Cells:
    """Cells for a column that nobody declared: frequent values, or edges at round numbers near its quintiles.

    A value becomes a cell only if at least `least_people` of the owner's rows have it, so that no cell names a person;
    and if a label can be made of it: not `other` or `unknown`, nor what would do something to a terminal.
    """
    table = pa.Table.from_batches(list(vault.read(dataset, [TYPED + column])))
    values = table.column(0).combine_chunks() if table.num_rows else table.column(0)
    if pa.types.is_string(values.type) or pa.types.is_dictionary(values.type) or pa.types.is_boolean(values.type):
        counts = pc.value_counts(_texts(values).drop_null()).flatten()
        found = zip(counts[1].to_pylist(), counts[0].to_pylist(), strict=True)
        frequent = sorted(((count, label) for count, label in found if _nameable(label)), reverse=True)
        return Cells(tuple(sorted(label for count, label in frequent[:most] if count >= least_people)))
    return _buckets(values.drop_null())


def _nameable(label: str) -> bool:
    return label.isprintable() and len(label) <= LONGEST_LABEL and label not in (OTHER, UNKNOWN)


def _buckets(values: pa.Array) -> Cells:
    numbers = np.sort(_numbers(values))
    if not len(numbers):
        return Cells(())
    cuts = numbers[[len(numbers) * part // 5 for part in (1, 2, 3, 4)]]
    if pa.types.is_date(values.type):
        days = np.unique(cuts).astype("datetime64[D]")
        edges = tuple(str(day) for day in np.unique(days.astype("datetime64[M]")).astype("datetime64[D]"))
    else:
        edges = tuple(f"{cut:g}" for cut in np.unique([round_number(float(cut)) for cut in cuts]))
    return Cells(edge_labels(edges), edges)


def round_number(value: float) -> float:
    """The nearest number with two significant digits."""
    if value == 0:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{round(value / scale) * scale:.12g}")


def propose_bounds(vault: Vault, dataset: str, column: str) -> tuple[int, int]:
    """[low, high] that hold every amount of the column, rounded out to 1, 2 or 5 times a power of ten."""
    low = high = 0
    for batch in vault.read(dataset, [TYPED + column]):
        bounds = pc.min_max(batch.column(0)).as_py()
        low, high = min(low, bounds["min"] or 0), max(high, bounds["max"] or 0)
    return -_round_up(-low), _round_up(high)


def _round_up(value: int) -> int:
    if value <= 0:
        return 0
    scale = 10 ** (len(str(value)) - 1)
    return int(next(lead * scale for lead in (1, 2, 5, 10) if lead * scale >= value))
