"""A contract's slot layout: which cell a row belongs to, and what the Paillier slots of a dataset hold."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanroom.answer.notes import malformed
from cleanroom.enclave.query import split_name
from cleanroom.privacy.noise import MOST_SIGMA, MOST_SIGMAS
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Column, Dataset, Slots
from protocols.paillier.cells import Amount, CellLayout

Codes = NDArray[np.int64]


def cell_layout(contract: Contract, dataset: Dataset, slots: Slots) -> CellLayout:
    """The layout both sides derive from the contract: a cell for each crossing of `slots.by`, sums over all rows.

    Where noise is on, there is room for that of both sides at any sigma that a question may have.
    """
    amounts = [dataset.column(name) for name in slots.sums]
    room = 2 * MOST_SIGMAS * MOST_SIGMA if contract.release.noise != "off" else 0
    return CellLayout(
        bits=slots.key_bits,
        cells=int(np.prod(sizes(dataset, slots.by), dtype=np.int64)),
        amounts=tuple(Amount(column.name, column.low, column.high, noise=room * reach(column)) for column in amounts),
        rows=dataset.rows,
        mask_bits=slots.mask_bits,
        count_noise=room,
    )


def slots_of(contract: Contract, dataset: str) -> Slots:
    """The slots of a dataset that has some. Raises BadMessage where a peer spoke of others."""
    slots = contract.slots_of(dataset)
    if slots is None:
        raise malformed()
    return slots


def slot_layout(contract: Contract, dataset: str) -> CellLayout:
    """Their layout. Raises as `slots_of`."""
    return cell_layout(contract, contract.dataset(dataset), slots_of(contract, dataset))


def reach(amount: Column) -> int:
    """The most that one person moves a sum of this amount, in minor units."""
    return max(abs(amount.low), abs(amount.high), 1)


def draws(contract: Contract, names: Sequence[str]) -> int:
    """How many parties add noise to an answer about these columns (dataset.column): the host, and between two parties
    who holds the key of sums and cells."""
    if contract.match.protocol == "keyed":
        return 1
    slotted = {slots.dataset for slots in contract.slots}
    return 1 + any(split_name(name)[0] in slotted for name in names)


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
