"""Counts read from a planning cube: free, unlimited, each with the plan's date and the width of its noise.

Up to two columns a count is the cube's own, with the 95 % interval of its noise. Of more columns nothing was released;
then the count is estimated from the pairs, says so, and claims no interval. A group is shown from the least count on
that the release rules name, whatever the way it was computed; a group that is not shown is no number at all.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.plan import fitting
from cleanroom.plan.consistency import NORMAL_95, Estimates, Names
from cleanroom.plan.cube import Cube
from cleanroom.privacy import accounting

Box = tuple[tuple[str, tuple[int, ...]], ...]
Where = tuple[Box, ...]
"""People in any of these boxes of cell numbers; `()` is everybody (cleanroom.gate.condition)."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """People with these cells: how many, and ± within how many at 95 %. people None: withheld; within None: unknown."""

    cells: tuple[int, ...]
    labels: tuple[str, ...]
    people: int | None
    within: int | None


@dataclass(frozen=True, eq=False)
class Answer:
    """n groups by the columns `by`, in the order of their cells; none that the condition itself leaves empty.

    labels: of each column's cells; cells: int64[n, columns]; people: int64[n], 0 where withheld; shown: bool[n];
    widths: int64[n], people are within ± so many at 95 %, None where it was estimated from several tables of the plan;
    least: groups are shown from this count on; made: when the plan was.
    """

    by: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    cells: NDArray[np.int64]
    people: NDArray[np.int64]
    shown: Mask
    widths: NDArray[np.int64] | None
    least: int
    made: dt.datetime
    receipt: str

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The same one by one."""
        widths = [None] * len(self.people) if self.widths is None else self.widths.tolist()
        found = zip(self.cells.tolist(), self.people.tolist(), self.shown.tolist(), widths, strict=True)
        return tuple(
            Group(tuple(cells), self._named(cells), people if shown else None, width if shown else None)
            for cells, people, shown, width in found
        )

    def _named(self, cells: Sequence[int]) -> tuple[str, ...]:
        return tuple(own[cell] for own, cell in zip(self.labels, cells, strict=True))

    @property
    def estimated(self) -> bool:
        """Whether no table of the plan says it by itself."""
        return self.widths is None

    @property
    def withheld(self) -> bool:
        """Whether any group is."""
        return not bool(self.shown.all())

    @property
    def within(self) -> int | None:
        """The widest ± of a group shown; None where none is known."""
        return None if self.widths is None or not self.shown.any() else int(self.widths[self.shown].max())

    def said(self) -> str:
        """Where the figures are from, for people: 'from the plan of 2026-11-22, ± 36'."""
        return source(self.made, self.within, estimated=self.estimated)


def source(made: dt.datetime, within: int | None, *, estimated: bool) -> str:
    """Where a figure is from, in the current language."""
    day = made.date().isoformat()
    if estimated:
        return t("estimated from the plan of {day}", day=day)
    if within is None:
        return t("from the plan of {day}", day=day)
    return t("from the plan of {day}, ± {within}", day=day, within=f"{within:,}")


def answer(cube: Cube, by: Sequence[str] = (), where: Where = ()) -> Answer:
    """How many people are in each group of `by` among those meant by `where`.

    Raises UsageError for a column or cell that the plan has not, Refused where the columns cross in too many ways.
    """
    columns = columns_of(cube, by, where)
    if len(columns) > 2:
        table, (mask,) = crossing(cube, columns, by, where)
        deviations, smallest = None, least(cube, columns)
    else:
        table, mask = cube.estimates[columns], masked(cube, columns, where)
        deviations = _deviations(cube, columns, by, mask)
        smallest = least(cube, columns, float(deviations.max()))
    meant = grouped(mask, columns, by) > 0
    people = np.rint(grouped(np.where(mask, table, 0.0), columns, by)[meant]).astype(np.int64)
    shown = people >= smallest
    return Answer(
        by=tuple(by), labels=tuple(cube.columns[name] for name in by), cells=np.argwhere(meant),
        people=np.where(shown, people, 0), shown=shown,
        widths=None if deviations is None else np.ceil(NORMAL_95 * deviations[meant]).astype(np.int64),
        least=smallest, made=cube.made, receipt=cube.receipt,
    )  # fmt: skip


def columns_of(cube: Cube, by: Sequence[str], *conditions: Where) -> Names:
    """All columns named, sorted. Raises UsageError for those that the cube has not, and for a column named twice."""
    boxes = [box for where in conditions for box in where]
    if any(len({*names}) != len(names) for names in (by, *([name for name, _ in box] for box in boxes))):
        raise UsageError("A plan is asked by each column once.")
    for name, cells in [*((name, ()) for name in by), *(side for box in boxes for side in box)]:
        if name not in cube.columns:
            raise UsageError("The plan has no column {column}.", "It has {columns}.", column=name,
                             columns=", ".join(cube.columns))  # fmt: skip
        if any(type(cell) is not int or not 0 <= cell < len(cube.columns[name]) for cell in cells):
            raise UsageError("The plan has no such cell of {column}.", column=name)
    return tuple(sorted({*by, *(name for box in boxes for name, _ in box)}))


def masked(cube: Cube, columns: Names, where: Where) -> Mask:
    """Which cells of the crossing of `columns` are meant: bool, one axis a column."""
    return _filled(columns, where, {name: np.arange(len(cube.columns[name])) for name in columns})


def least(cube: Cube, columns: Names, deviation: float = 0.0) -> int:
    """The least count that is shown: k and 4.75 standard errors, of the count's own noise or of one cell's."""
    draws = cube.draws.get(columns, max(cube.draws.values()))
    return max(accounting.threshold(cube.k, cube.sigma, draws), math.ceil(cube.k + accounting.ABOVE_K * deviation))


def crossing(cube: Cube, columns: Names, kept: Sequence[str], *conditions: Where) -> tuple[Estimates, list[Mask]]:
    """People by more than two columns, estimated, and for each condition which of them are meant.

    Cells of a column that is not `kept` are taken together where every condition takes them alike: this is faster, and
    noise does not add up over many small cells.
    """
    classes = {name: _classes(cube, name, name in kept, conditions) for name in columns}
    table = fitting.joint(cube.estimates, columns, [classes[name] for name in columns])
    return table, [_filled(columns, where, classes) for where in conditions]


def grouped(table: Estimates | Mask, columns: Names, by: Sequence[str]) -> Estimates:
    """A crossing of `columns` summed by some of them: float64, one axis a column of `by`, in its order."""
    others = tuple(axis for axis, name in enumerate(columns) if name not in by)
    kept = [name for name in columns if name in by]
    summed = np.asarray(table.sum(axis=others, dtype=np.float64))
    return summed.transpose([kept.index(name) for name in by])


def _classes(cube: Cube, name: str, kept: bool, conditions: Sequence[Where]) -> NDArray[np.int64]:
    """For each cell of a column the number of its class."""
    size = len(cube.columns[name])
    if kept:
        return np.arange(size)
    taken = [np.isin(np.arange(size), dict(box).get(name, range(size))) for where in conditions for box in where]
    alike = np.unique(np.stack(taken, axis=1), axis=0, return_inverse=True)[1]
    return np.asarray(alike, np.int64).reshape(-1)


def _filled(columns: Names, where: Where, classes: Mapping[str, NDArray[np.int64]]) -> Mask:
    mask = np.zeros([int(classes[name].max()) + 1 for name in columns], np.bool_)
    for box in where or ((),):
        cells = dict(box)
        sides = [classes[name][list(cells[name])] if name in cells else classes[name] for name in columns]
        mask[np.ix_(*sides)] = True
    return mask


def _deviations(cube: Cube, columns: Names, by: Sequence[str], mask: Mask) -> Estimates:
    """Standard errors by group, each a block of the table: one cell of `by`, crossed with those that are meant."""
    if not by:
        return np.array(cube.errors.of(columns, mask.astype(np.float64)))
    meant = grouped(mask, columns, by)
    sides = [np.minimum(meant, 1.0) if name in by else meant for name in columns]
    blocks = np.stack([side.reshape(-1) for side in sides], axis=1)
    return cube.errors.of_blocks(columns, blocks).reshape(meant.shape)
