"""Whether one exact answer could be subtracted from others: judged in the enclave, where the persons are.

Two exact answers about populations that differ by few persons tell about these few. Only one bit leaves, and asking for
it is charged by whoever asks; no population, count or group is named.

A question's *populations* are the groups that it would show (`suppression.withhold`). A new question is subtractable

- where any two populations of all the questions overlap and neither holds the other, those of one question's margins
  too: by level, by city, and of one level in one city give a fourth number, or
- where a population, new or earlier with a new one inside it, has 1 to k-1 persons beside those that lie inside it, of
  one question or of all: a city may be asked about tier by tier until one tier is left that has less than k.

Equal populations are harmless, and so are disjoint ones. Where no question has a condition, groupings of the same
people may cross each other: `suppression` and `history` see to these, and nobody asks here.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.enclave import tables
from cleanroom.enclave.query import PEOPLE, Box, Query
from cleanroom.privacy.suppression import withhold

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

NOBODY = -1


class Populations:
    """Of one question, over cells: which population each cell is in, and how many persons that has."""

    def __init__(self, cells: pa.Table, people: Numbers, query: Query, k: int) -> None:
        meant = _meant(cells, query)
        codes = [_codes(cells.column(name))[meant] for name in query.by]
        first, number = _crossed([np.zeros(len(people[meant]), np.int64), *codes])
        counts = _total(number, people[meant], len(first))
        shown = withhold([axis[first] for axis in codes], counts, k)[number]
        self.number, self.size = np.full(len(people), NOBODY, np.int64), np.zeros(len(people), np.int64)
        self.number[meant] = np.where(shown, number, NOBODY)
        self.size[meant] = np.where(shown, counts[number], 0)


def subtractable(cells: pa.Table, query: Query, earlier: Sequence[Query], k: int, look: Callable[[], None]) -> bool:
    """The bit. `cells`: all columns of all questions, and `people`, the persons of each distinct row.

    `look` is called between steps and may raise. Raises Refused where a question has too many crossings to be answered.
    """
    people = tables.as_numbers(cells.column(PEOPLE))
    new = Populations(cells, people, query, k)
    old: list[Populations] = []
    for each in dict.fromkeys(earlier):
        look()
        latest = Populations(cells, people, each, k)
        if any(_cross(latest, other, people) for other in (new, *old)):
            return True
        old.append(latest)
    if _few_beside(new, old, people, k):
        return True
    for outer in old:
        look()
        holding = np.isin(outer.number, outer.number[_inside(new, outer, people)])
        if holding.any() and _few_beside(
            outer, [new, *(each for each in old if each is not outer)], people, k, holding
        ):
            return True
    return False


def _cross(new: Populations, old: Populations, people: Numbers) -> bool:
    """Whether one of these and one of those overlap, and neither holds the other."""
    common = _overlap(new, old, people)
    return bool(((common > 0) & (common < new.size) & (common < old.size)).any())


def _few_beside(
    outer: Populations, others: Sequence[Populations], people: Numbers, k: int, of: Mask | None = None
) -> bool:
    """Whether a population, of those `of` these cells, has 1 to k-1 persons beside the smaller ones inside it.

    Of each other question alone (its populations are disjoint), and of all together.
    """
    wanted: Mask = outer.size > 0 if of is None else of
    covered = [_inside(each, outer, people) for each in others]
    together = np.logical_or.reduce([np.zeros(len(people), np.bool_), *covered])
    for inside in (*covered, together):
        beside = wanted & ~inside
        left = _total(outer.number[beside], people[beside], len(people))
        if ((left > 0) & (left < k)).any():
            return True
    return False


def _inside(inner: Populations, outer: Populations, people: Numbers) -> Mask:
    """bool[cells]: whether the cell's inner population is a smaller part of its outer one."""
    within: Mask = _overlap(inner, outer, people) == inner.size
    return within & (inner.size > 0) & (inner.size < outer.size)


def _overlap(one: Populations, other: Populations, people: Numbers) -> Numbers:
    """int64[cells]: persons that the cell's two populations have in common, 0 where it is not in both."""
    both = (one.size > 0) & (other.size > 0)
    first, number = _crossed([one.number[both], other.number[both]])
    common = np.zeros(len(people), np.int64)
    common[both] = _total(number, people[both], len(first))[number]
    return common


def _crossed(codes: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """(where each distinct combination stands first, which one each row has: numbers from 0)."""
    number, first = codes[0], np.empty(0, np.int64)
    for axis in codes:
        _, first, number = np.unique(number * (axis.max(initial=0) + 1) + axis, return_index=True, return_inverse=True)
    return first, number


def _total(number: Numbers, people: Numbers, count: int) -> Numbers:
    totals = np.zeros(count, np.int64)
    np.add.at(totals, number, people)
    return totals


def _codes(column: pa.ChunkedArray) -> Numbers:
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    return tables.as_numbers(pa.chunked_array([encoded.indices.cast(pa.int64())]))


def _meant(cells: pa.Table, query: Query) -> Mask:
    """bool[cells]: whom the question's condition means."""
    found: Mask = np.full(len(cells), not query.where)
    for box in query.where:
        found |= _in_box(cells, box)
    return found


def _in_box(cells: pa.Table, box: Box) -> Mask:
    found = np.ones(len(cells), np.bool_)
    for name, values in box:
        column = cells.column(name)
        plain = [bytes.fromhex(value) if isinstance(value, str) else value for value in values]
        found &= tables.as_numbers(pc.is_in(column, pa.array(plain, column.type)).cast(pa.int64())) > 0
    return found
