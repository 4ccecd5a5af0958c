"""More than two columns at once: the table that assumes nothing beyond what the plan's pairs of columns say.

It is the table of greatest entropy among those with these two-way tables, found by iterative proportional fitting
(Deming and Stephan, 1940; Csiszár, 1975). Nothing was released about three columns together, so that it is an
estimate without an interval: where three columns depend on each other beyond their pairs, it is off, however little
noise there was.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import Refused
from cleanroom.plan.consistency import Estimates, Names

MOST_CROSSINGS = 1_000_000
_SWEEPS = 40
_CLOSE = 1e-4
"""Where all margins agree to this share of the people, fitting ends."""

Classes = NDArray[np.int64]


def joint(estimates: Mapping[Names, Estimates], columns: Names, classes: Sequence[Classes]) -> Estimates:
    """People by the crossing of classes of cells: float64 ≥ 0, one axis a column.

    estimates: consistent tables; columns: sorted, two at least; classes: of each column's cells, numbers from 0.
    Raises Refused over a million crossings.
    """
    sizes = [int(each.max()) + 1 for each in classes]
    if math.prod(sizes) > MOST_CROSSINGS:
        raise Refused(
            "These columns cross in more than {most} ways.", "Name fewer columns.", most=f"{MOST_CROSSINGS:,}"
        )
    people = max(float(estimates[()]), 1.0)
    sides = [_side(estimates[(name,)], own, people) for name, own in zip(columns, classes, strict=True)]
    pairs: dict[tuple[int, ...], Estimates] = {
        (i, j): _pair(estimates[columns[i], columns[j]], classes[i], classes[j], sides[i], sides[j])
        for i, j in combinations(range(len(columns)), 2)
    }
    return _fitted(np.full(sizes, people / math.prod(sizes)), pairs, people)


def _side(table: Estimates, classes: Classes, people: float) -> Estimates:
    """One column's people by class, positive and `people` in all: noise alone may take a small count below zero."""
    found = np.maximum(np.bincount(classes, table), _least(people))
    return np.asarray(found * (people / found.sum()))


def _pair(table: Estimates, first: Classes, second: Classes, rows: Estimates, columns: Estimates) -> Estimates:
    """Two columns' people by class, positive, its margins those given."""
    folded = np.zeros((len(rows), len(columns)))
    np.add.at(folded, (first[:, None], second[None, :]), table)
    folded = np.maximum(folded, _least(float(rows.sum())))
    return _fitted(folded, {(0,): rows, (1,): columns}, float(rows.sum()))


def _least(people: float) -> float:
    """So few that nobody sees them, and more than none: fitting can then reach any margin."""
    return people * 1e-9


def _fitted(table: Estimates, margins: Mapping[tuple[int, ...], Estimates], people: float) -> Estimates:
    """`table` scaled along its axes until it has these margins, by the axes they keep."""
    for _ in range(_SWEEPS):
        apart = 0.0
        for kept, wanted in margins.items():
            others = tuple(axis for axis in range(table.ndim) if axis not in kept)
            found = table.sum(axis=others)
            apart = max(apart, float(np.abs(found - wanted).sum()))
            table *= np.expand_dims(wanted / np.maximum(found, 1e-300), others)
        if apart <= people * _CLOSE:
            break
    return table
