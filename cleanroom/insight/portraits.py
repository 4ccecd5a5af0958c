"""Portraits: how a segment differs from a named base, by column (TGI), from a room's plan or from a board's tables.

A plan knows the people in the match by all columns of all sides; a board knows all persons of one dataset. Shares are
among people whose value is known; an interval that holds 100 is not significant (无显著差异).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cleanroom.insight import linear
from cleanroom.insight.linear import Absent, Linear, Where
from cleanroom.insight.tables import Tables
from cleanroom.plan import comparing, reading
from cleanroom.plan.comparing import Index
from cleanroom.plan.consistency import NORMAL_95
from cleanroom.plan.cube import Cube
from cleanroom.rooms.draft import OTHER, UNKNOWN

TOP = 10


@dataclass(frozen=True)
class Portrait:
    """One column: its values in order; coverage: share of the segment that is neither unknown nor other (None:
    withheld); estimated: from more than the released tables, so without intervals."""

    column: str
    indices: tuple[Index, ...]
    coverage: float | None
    estimated: bool = False


@dataclass(frozen=True)
class Tag:
    """A value of a column that is surely commoner in the segment than in the base."""

    column: str
    index: Index


@dataclass(frozen=True)
class Province:
    """A province's people, and those of its cities; None: withheld."""

    label: str
    people: int | None
    cities: tuple[tuple[str, int | None], ...]


def of_plan(
    cube: Cube, columns: Iterable[str], segment: reading.Where = (), base: reading.Where = ()
) -> tuple[Portrait, ...]:
    """By each of these columns of a plan. Raises UsageError and Refused as `plan.reading.answer`."""
    found = (comparing.portrait(cube, column, segment, base) for column in columns)
    return tuple(Portrait(each.column, each.indices, each.coverage, each.estimated) for each in found)


def of_board(tables: Tables, column: str, segment: Where, base: Where | None = None) -> Portrait:
    """By a column of one dataset, of all its persons. Raises Absent where no table holds column and segment."""
    labels = tables.columns.get(column)
    if labels is None:
        raise Absent([column])
    sides = [_Side(tables, column, where) for where in (segment, base or {})]
    coverage = None
    if linear.withheld(tables, sides[0].everybody) is None:
        named = linear.count(tables, _narrowed(segment, column, tuple(x for x in labels if x not in (OTHER, UNKNOWN))))
        coverage = linear.share(tables, named, sides[0].everybody).value
    return Portrait(column, tuple(_index(tables, label, *sides) for label in labels), coverage)


def top_tags(portraits: Sequence[Portrait], most: int = TOP) -> tuple[Tag, ...]:
    """Over all columns the values with the highest TGI, of those that are surely above 100."""
    tags = [
        Tag(each.column, index)
        for each in portraits
        for index in each.indices
        if index.tgi is not None and index.low is not None and index.low > 100 and index.label not in (OTHER, UNKNOWN)
    ]
    return tuple(sorted(tags, key=lambda tag: -(tag.index.tgi or 0.0))[:most])


def geography(cube: Cube, province: str, city: str, segment: reading.Where = ()) -> tuple[Province, ...]:
    """Provinces with their cities, a city standing in the province where most of its people are; most people first."""
    names = tuple(sorted((province, city)))
    pairs = cube.estimates[names] if names[0] == city else cube.estimates[names].T
    home = np.argmax(pairs, axis=1)
    provinces, cities = (reading.answer(cube, (column,), segment).groups for column in (province, city))
    inside: dict[int, list[tuple[str, int | None]]] = {}
    for group in cities:
        inside.setdefault(int(home[group.cells[0]]), []).append((group.labels[0], group.people))
    found = [
        Province(each.labels[0], each.people, tuple(sorted(inside.get(each.cells[0], ()), key=lambda x: -(x[1] or 0))))
        for each in provinces
    ]
    return tuple(sorted(found, key=lambda each: -(each.people or 0)))


class _Side:
    """A segment or its base: everybody in it, those whose value is known, and each value."""

    def __init__(self, tables: Tables, column: str, where: Where) -> None:
        labels = tables.columns[column]
        self._tables, self._column, self._where = tables, column, where
        self.everybody = linear.count(tables, _narrowed(where, column, labels))
        self.known = linear.count(tables, _narrowed(where, column, tuple(x for x in labels if x != UNKNOWN)))

    def of(self, label: str) -> Linear:
        """People with this value."""
        return linear.count(self._tables, _narrowed(self._where, self._column, (label,)))


def _narrowed(where: Where, column: str, labels: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    own = {name: tuple(cells) for name, cells in where.items()}
    own[column] = tuple(label for label in labels if label in own[column]) if column in own else labels
    return own


def _index(tables: Tables, label: str, segment: _Side, base: _Side) -> Index:
    own, other = segment.of(label), base.of(label)
    if linear.withheld(tables, own) is not None:
        return Index(label)
    people, within = round(own.value), math.ceil(NORMAL_95 * own.deviation)
    populations = (segment.known, other, base.known)
    if label == UNKNOWN or any(linear.withheld(tables, each) is not None or each.value <= 0 for each in populations):
        return Index(label, people, within)
    if own.value <= 0:
        return Index(label, people, within, 0.0, other.value / base.known.value, 0.0, 0.0, 0.0)
    share, base_share = own.value / segment.known.value, other.value / base.known.value
    noise = own * (1 / own.value) - segment.known * (1 / segment.known.value)
    noise = noise - other * (1 / other.value) + base.known * (1 / base.known.value)
    tgi, factor = 100 * share / base_share, math.exp(NORMAL_95 * noise.deviation)
    return Index(label, people, within, share, base_share, tgi, tgi / factor, tgi * factor)
