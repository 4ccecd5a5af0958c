"""Segments beside their base (TGI), and a plan beside an earlier one: all read from planning cubes, so all free.

Shares are among people whose value is known. A difference that noise alone explains is not called one: an interval that
holds 100, or 0, is not significant. The intervals are of the noise: a plan counts everybody in the match, no sample.
"""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cleanroom.errors import UsageError
from cleanroom.plan.consistency import NORMAL_95, Estimates, Names
from cleanroom.plan.cube import Cube
from cleanroom.plan.reading import Group, Mask, Where, answer, columns_of, crossing, grouped, masked
from cleanroom.rooms.draft import OTHER, UNKNOWN


@dataclass(frozen=True)
class Index:
    """One value of a column: its people and share in the segment, its share in the base, 100 times the quotient.

    low, high: the 95 % interval of `tgi`; None where it was estimated. All None where the value is withheld.
    """

    label: str
    people: int | None = None
    within: int | None = None
    share: float | None = None
    base_share: float | None = None
    tgi: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def significant(self) -> bool | None:
        """Whether the interval is on one side of 100; None without one."""
        return None if self.low is None or self.high is None else not self.low <= 100 <= self.high


@dataclass(frozen=True)
class Portrait:
    """A column's values in a segment. coverage: share whose value is neither unknown nor other; None: withheld."""

    column: str
    indices: tuple[Index, ...]
    coverage: float | None
    least: int
    made: dt.datetime
    estimated: bool
    receipt: str

    @property
    def within(self) -> int | None:
        """The widest ± of the values shown; None where none is known."""
        return max((each.within for each in self.indices if each.within is not None), default=None)


def portrait(cube: Cube, column: str, segment: Where = (), base: Where = ()) -> Portrait:
    """How a segment differs from its base (default: everybody in the match) by a column; values in cell order.

    Raises UsageError and Refused as `reading.answer`.
    """
    columns = columns_of(cube, (column,), segment, base)
    estimated = len(columns) > 2
    if estimated:
        table, masks = crossing(cube, columns, (column,), segment, base)
    else:
        table, masks = cube.estimates[columns], [masked(cube, columns, where) for where in (segment, base)]
    shown = [answer(cube, (column,), where) for where in (segment, base)]
    sides = _Sides(cube, column, columns, table, masks, exact=not estimated)
    smallest = max(each.least for each in shown)
    own, other = ({group.cells[0]: group for group in each.groups} for each in shown)
    cells = range(len(cube.columns[column]))
    indices = [sides.index(cell, own.get(cell), other.get(cell), smallest) for cell in cells]
    coverage = sides.coverage if sides.totals[0] >= smallest else None
    return Portrait(column, tuple(indices), coverage, smallest, cube.made, estimated, cube.receipt)


class _Sides:
    """Segment and base as sums by the column's cells."""

    def __init__(
        self, cube: Cube, column: str, columns: Names, table: Estimates, masks: Sequence[Mask], *, exact: bool
    ) -> None:
        self._cube, self._columns, self._masks, self._exact = cube, columns, masks, exact
        self._labels = cube.columns[column]
        self._known = np.array([label != UNKNOWN for label in self._labels])
        self._axis = columns.index(column)
        self.sums = [grouped(np.where(mask, table, 0.0), columns, (column,)) for mask in masks]
        self.totals = [float(each[self._known].sum()) for each in self.sums]

    @property
    def coverage(self) -> float:
        """Of the segment."""
        named = np.array([label not in (UNKNOWN, OTHER) for label in self._labels])
        everyone = float(self.sums[0].sum())
        return min(1.0, max(0.0, float(self.sums[0][named].sum()) / everyone)) if everyone > 0 else 0.0

    def index(self, cell: int, own: Group | None, base: Group | None, smallest: int) -> Index:
        """Of one value, as far as all that it is computed from may be shown."""
        label = self._labels[cell]
        if own is None or own.people is None:
            return Index(label)
        people = Index(label, own.people, own.within)
        hidden = base is None or base.people is None or min(self.totals) < smallest
        if hidden or not self._known[cell]:
            return people
        share, base_share = (float(each[cell]) / total for each, total in zip(self.sums, self.totals, strict=True))
        tgi = 100 * share / base_share
        low, high = self._interval(cell, tgi) if self._exact else (None, None)
        return Index(label, own.people, own.within, share, base_share, tgi, low, high)

    def _interval(self, cell: int, tgi: float) -> tuple[float, float]:
        """By the delta method on the logarithm, in which the four counts, whose noise is shared, enter as one sum."""
        weights: Estimates = np.zeros([len(self._cube.columns[name]) for name in self._columns])
        for sign, mask, sums, total in zip((1, -1), self._masks, self.sums, self.totals, strict=True):
            share = np.where(self._known, -1 / total, 0.0)
            share[cell] += 1 / float(sums[cell])
            weights += sign * mask * np.expand_dims(share, [a for a in range(len(self._columns)) if a != self._axis])
        factor = math.exp(NORMAL_95 * self._cube.errors.of(self._columns, weights))
        return tgi / factor, tgi * factor


@dataclass(frozen=True)
class Change:
    """A group in two plans: people before and after, the difference and its ± at 95 %. None: withheld or unknown."""

    labels: tuple[str, ...]
    before: int | None
    after: int | None
    change: int | None
    within: int | None

    @property
    def significant(self) -> bool | None:
        """Whether noise alone does not explain the change; None without an interval."""
        return None if self.change is None or self.within is None else abs(self.change) > self.within


def trend(earlier: Cube, later: Cube, by: Sequence[str] = (), where: Where = ()) -> tuple[Change, ...]:
    """The groups of the later plan beside those of the earlier one, by their labels.

    Raises UsageError where the plans have other cells for a column of `where`, and as `reading.answer`.
    """
    for name in {name for box in where for name, _ in box}:
        if earlier.columns.get(name) != later.columns.get(name):
            raise UsageError("The two plans have other cells for {column}.", column=name)
    before = {group.labels: group for group in answer(earlier, by, where).groups}
    return tuple(_change(before.get(group.labels), group) for group in answer(later, by, where).groups)


def _change(before: Group | None, after: Group) -> Change:
    if before is None or before.people is None or after.people is None:
        return Change(after.labels, before.people if before else None, after.people, None, None)
    within = None
    if before.within is not None and after.within is not None:
        within = math.ceil(math.hypot(before.within, after.within))
    return Change(after.labels, before.people, after.people, after.people - before.people, within)
