"""A contract's slot layout: which cell a row belongs to, and what the Paillier slots of a dataset hold."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanroom.enclave.query import split_name
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Dataset, Slots
from protocols.paillier.cells import Amount, CellLayout

Codes = NDArray[np.int64]


def cell_layout(contract: Contract, dataset: Dataset, slots: Slots) -> CellLayout:
    """The layout both sides derive from the contract: a cell for each crossing of `slots.by`, sums over all rows."""
    amounts = [dataset.column(name) for name in slots.sums]
    return CellLayout(
        bits=slots.key_bits,
        cells=int(np.prod(sizes(dataset, slots.by), dtype=np.int64)),
        amounts=tuple(Amount(column.name, column.low, column.high) for column in amounts),
        rows=dataset.rows,
        mask_bits=slots.mask_bits,
    )


def sizes(dataset: Dataset, by: Sequence[str]) -> tuple[int, ...]:
    """Cells of each column."""
    return tuple(dataset.column(name).cells for name in by)


def most_groups(contract: Contract, names: Sequence[str]) -> int:
    """How many groups these columns (dataset.column) can make."""
    cells = (contract.dataset(dataset).column(column).cells for dataset, column in map(split_name, names))
    return math.prod(cells)


def crossed(columns: Sequence[Codes], shape: Sequence[int], rows: int) -> Codes:
    """The cell of each row, from its cell in each column: int64[rows]."""
    if not columns:
        return np.zeros(rows, np.int64)
    return np.ravel_multi_index(tuple(columns), tuple(shape)).astype(np.int64)


def uncrossed(cells: Codes, shape: Sequence[int]) -> list[Codes]:
    """The reverse of `crossed`."""
    return [axis.astype(np.int64) for axis in np.unravel_index(cells, tuple(shape))] if shape else []
