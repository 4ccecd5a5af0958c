"""How many rows there are in every cell of every table, counted in one pass over the columns' cells. Exact numbers.

Rows are taken in blocks that stay near the processor: the cell of each row in a table is put together column by column,
then counted, table by table. Kernels release the interpreter's lock, so that every core has rows of its own.
"""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from cleanroom.errors import BadData, Refused
from protocols.kernels.compiled import kernel
from protocols.kernels.threads import in_parts

Names = tuple[str, ...]
Codes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]

MOST_CELLS = 1 << 24
"""Of all tables together: 128 MiB a core."""
_BLOCK = 8_192
_LANES = 2
"""Rows next to each other count apart, or one would wait for the other where both are in the same cell."""
_LEAST = 200_000
"""Rows below which a thread does not pay."""


def count(columns: Mapping[str, Codes], sizes: Mapping[str, int], tables: Sequence[Names], rows: int) -> list[Counts]:
    """Of each table int64[cells of each column]; of () the number of rows.

    columns: the cell of every row, uint8[rows], by name; sizes: how many cells a column has. Raises BadData where a
    column is of another length or has a cell beyond its size, Refused for more cells than are counted.
    """
    names = sorted({name for table in tables for name in table})
    for name in names:
        if len(columns[name]) != rows or (rows and int(columns[name].max()) >= sizes[name]):
            raise BadData("The cells of {column} are not those of its dataset.", column=name)
    shapes = [tuple(sizes[name] for name in table) for table in tables]
    if sum(map(prod, shapes)) > MOST_CELLS:
        raise Refused("A board has at most {cells} cells in all its tables.", "Name fewer columns, or coarser ones.",
                      cells=f"{MOST_CELLS:,}")  # fmt: skip
    if not names or not rows:
        return [np.full(shape, 0 if shape else rows, np.int64) for shape in shapes]
    held = np.concatenate([columns[name] for name in names]).reshape(len(names), rows)
    width = max(map(len, tables))
    places = np.full((len(tables), width), -1, np.int64)
    for at, table in enumerate(tables):
        places[at, : len(table)] = [names.index(name) for name in table]
    cells = np.array([sizes[name] for name in names], np.int64)
    starts = np.concatenate([[0], np.cumsum([prod(shape) for shape in shapes])])
    found: list[Counts] = []

    def part(which: slice) -> None:
        own = np.zeros((_LANES, int(starts[-1])), np.int64)
        _count(held, which.start, which.stop, places, cells, starts, own, np.empty(_BLOCK, np.uint32))
        found.append(own.sum(axis=0))

    in_parts(rows, part, least=_LEAST)
    whole = np.add.reduce(found)
    return [whole[start : start + prod(shape)].reshape(shape) for start, shape in zip(starts, shapes, strict=False)]


@kernel
def _count(held: Codes, first: int, last: int, places: Counts, cells: Counts, starts: Counts, out: Counts,
           cell: npt.NDArray[np.uint32]) -> None:  # fmt: skip
    """Adds the rows first to last to `out`, all tables one after the other; `cell` is scratch."""
    block = len(cell)
    for start in range(first, last, block):
        rows = min(block, last - start)
        for table in range(len(places)):
            place = places[table, 0]
            if place < 0:
                out[0, starts[table]] += rows
                continue
            column = held[place, start : start + rows]
            for row in range(rows):
                cell[row] = column[row]
            for at in range(1, places.shape[1]):
                place = places[table, at]
                if place < 0:
                    break
                column, size = held[place, start : start + rows], np.uint32(cells[place])
                for row in range(rows):
                    cell[row] = np.uint32(cell[row] * size + column[row])
            even, odd = out[0, starts[table] : starts[table + 1]], out[1, starts[table] : starts[table + 1]]
            for row in range(0, rows - 1, 2):
                even[cell[row]] += 1
                odd[cell[row + 1]] += 1
            if rows % 2:
                even[cell[rows - 1]] += 1
