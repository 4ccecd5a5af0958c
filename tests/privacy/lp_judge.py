"""An attacker with a linear-program solver: what the shown numbers say about the cells that are not shown."""

import itertools
from collections.abc import Callable

import numpy as np
import scipy

from cleanroom.privacy.suppression import withhold


def table_cells(counts: np.ndarray, rows: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Codes by column and counts of those crossings of a table that are rows of it."""
    codes = [axis.reshape(-1)[rows.reshape(-1)] for axis in np.indices(counts.shape)]
    return codes, counts.reshape(-1)[rows.reshape(-1)]


Knowledge = tuple[np.ndarray, np.ndarray]
OneColumn = Callable[[list[np.ndarray], np.ndarray, int, int], np.ndarray]
"""Which values a question by one column shows, of (codes, counts, k, the column's number)."""


def plain(codes: list[np.ndarray], counts: np.ndarray, k: int, _: int) -> np.ndarray:
    """Where no column is sensitive."""
    return withhold(codes, counts, k)


def knowledge(
    counts: np.ndarray, rows: np.ndarray, shown: np.ndarray, k: int, one_column: OneColumn = plain
) -> Knowledge:
    """Equations A x = b over all crossings: shown cells, the exact total, the answers to all one-column questions."""
    equations, values = [np.ones(counts.size)], [counts.sum()]
    for cell in np.flatnonzero(shown.reshape(-1)):
        equations.append(np.eye(1, counts.size, cell)[0])
        values.append(counts.reshape(-1)[cell])
    for d in range(counts.ndim):
        others = tuple(e for e in range(counts.ndim) if e != d)
        totals, present = counts.sum(axis=others), np.flatnonzero(rows.any(axis=others))
        answered = present[one_column([np.arange(len(present))], totals[present], k, d)]
        for value in answered:
            member = np.zeros(counts.shape)
            member[tuple(value if e == d else slice(None) for e in range(counts.ndim))] = 1
            equations.append(member.reshape(-1))
            values.append(totals[value])
    return np.array(equations), np.array(values, float)


def narrowest(counts: np.ndarray, rows: np.ndarray, shown: np.ndarray, k: int, known: Knowledge | None = None) -> float:
    """The smallest width of what any withheld cell can be; infinite where nothing is withheld."""
    matrix, right = known or knowledge(counts, rows, shown, k)
    hidden = np.flatnonzero((rows & ~shown).reshape(-1))
    return min((width(matrix, right, counts.size, cell) for cell in hidden), default=np.inf)


def width(matrix: np.ndarray, right: np.ndarray, size: int, cell: int) -> float:
    """The difference between the most and the least that a cell can be."""
    ends = []
    for sign in (1, -1):
        solved = scipy.optimize.linprog(
            sign * np.eye(1, size, cell)[0], A_eq=matrix, b_eq=right, bounds=(0, None), method="highs"
        )
        if solved.status != 0:
            raise ArithmeticError(solved.message)
        ends.append(sign * solved.fun)
    return ends[1] - ends[0]


def most(matrix: np.ndarray, right: np.ndarray, size: int, cells: np.ndarray) -> float:
    """The most persons that these cells (a mask) can have together."""
    solved = scipy.optimize.linprog(
        -cells.reshape(-1).astype(float), A_eq=matrix, b_eq=right, bounds=(0, None), method="highs"
    )
    if solved.status != 0:
        raise ArithmeticError(solved.message)
    return float(-solved.fun)


def all_shapes() -> list[tuple[int, ...]]:
    """Shapes of one to four columns, small enough for the solver."""
    return [(2,), (7,), *itertools.product((2, 4, 6), (3, 5)), (3, 4, 3), (2, 2, 2), (5, 2, 4), (2, 3, 2, 3)]
