"""Which cells of a table of counts may be shown, so that the shown ones do not give away the others.

What the reader is taken to know, beside the cells released here:
- the exact number of persons in the table, although answers show a range only: some protocols tell the host more;
- every total by one column that a question by this column alone would release (`_one_way`), for each column here.
Nothing else: an answer holds no subtotals, and `history` refuses a second grouping by several columns.

What is promised: over all tables of non-negative numbers that agree with this knowledge, each withheld cell takes
values at least k apart. A row of the table is a cell, empty or not, so a cell with nobody in it is withheld like a
small one; a crossing that is no row of the table is no cell. Columns that determine each other (province, city) do not
cross freely, and a reader who knows which crossings are impossible knows more than is assumed here.

The host of a two-party room knows the exact totals of its own columns, small ones too, and jointly: its columns are to
be given as one (its group). Then the promise holds for the cells of all values that are not hidden; a cell of a hidden
group is free up to what the host knows the group to have.

How (names as in the code). A value of a column below k is hidden in all its cells, with at least one other value, so
that the hidden values have k persons together; inside the table they are pooled to one value. Then some values of each
column become anchors: for each value v that a small cell or an anchor has in column d, the *slab* (v in column d,
anchors in all the others) is hidden and has at least k persons. Why this suffices: take k persons from the slab of each
coordinate of a small cell; their coordinates recombine to k more persons in the small cell and the rest among the
anchors' crossings, and no total by one column changes. A slab and the anchors are blocks of hidden cells, in which a
cell moves by the least of its block totals r and H - r (Fréchet's bounds; H is the whole block), all at least k. Taking
every value as an anchor always qualifies, so the search ends.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import Refused, UsageError

Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

CROSSINGS_LIMIT = 4_000_000


def withhold(
    codes: Sequence[NDArray[np.integer]], counts: NDArray[np.integer], k: int, also: Mask | None = None
) -> Mask:
    """Which of n cells are released: bool[n].

    `codes`: for each column the cell's value as a number from 0, int[n]; no cell stands twice. `counts`: persons,
    int[n], ≥ 0. `also`: cells that are withheld for another reason, bool[n]; they widen what the others can be, and the
    promise is not made for them. Below k persons altogether nothing is released. Raises UsageError for other shapes,
    Refused where the columns cross in more than `CROSSINGS_LIMIT` ways.
    """
    people: Counts = np.asarray(counts, np.int64)
    also = np.zeros(len(people), np.bool_) if also is None else also
    if any(len(axis) != len(people) for axis in (*codes, also)) or (people < 0).any():
        raise UsageError("Cells to be released need one code a column and a count that is not negative.")
    if people.sum() < k:
        return np.zeros(len(people), np.bool_)
    pools = [_pool(np.asarray(axis, np.int64), people, k) for axis in codes]
    hidden: Mask = also.copy()
    for _, pooled in pools:
        hidden |= pooled
    axes = [reduced for reduced, _ in pools if reduced.max() > 0]
    if len(axes) < 2:
        return ~hidden
    shape = tuple(int(axis.max()) + 1 for axis in axes)
    if np.prod(shape, dtype=np.float64) > CROSSINGS_LIMIT:
        raise Refused(
            "This grouping has more than {limit} possible cells.",
            "Group by fewer columns, or by coarser buckets.",
            limit=CROSSINGS_LIMIT,
        )
    keys = np.ravel_multi_index(tuple(axes), shape)
    table, exists, free = np.zeros(shape, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    np.add.at(table.reshape(-1), keys, people)
    exists.reshape(-1)[keys] = True
    free.reshape(-1)[keys[hidden]] = True
    covered = _cover(table, exists & (table < k), free, k)
    return ~(hidden | covered.reshape(-1)[keys])


def _one_way(totals: Counts, exists: Mask, k: int) -> Mask:
    """Which values of one column are hidden: those below k, and another if these have not k persons together."""
    hidden = exists & (totals < k)
    if not hidden.any():
        return hidden
    if hidden.sum() < 2 or totals[hidden].sum() < k:
        shown = np.flatnonzero(exists & ~hidden)
        hidden[shown[np.argsort(totals[shown], kind="stable")][:1]] = True  # one is enough: it has k
    return hidden


def _pool(axis: Counts, people: Counts, k: int) -> tuple[Counts, Mask]:
    """A column's codes renumbered without gaps, its hidden values as one, and which cells have such a value."""
    size = int(axis.max()) + 1
    totals, exists = np.zeros(size, np.int64), np.zeros(size, np.bool_)
    np.add.at(totals, axis, people)
    exists[axis] = True
    hidden = _one_way(totals, exists, k)
    renumbered = np.cumsum(exists & ~hidden) - 1
    renumbered[hidden] = (exists & ~hidden).sum()
    return renumbered[axis], hidden[axis]


def _cover(table: Counts, small: Mask, free: Mask, k: int) -> Mask:
    """All cells to hide in a table of n ≥ 2 axes whose totals by one axis are all at least k: `small` and their slabs.

    `free` cells are hidden already, so that hiding them again costs nothing.
    """
    if not small.any():
        return small
    loss = np.where(small | free, 0, table)
    needs: list[Mask] = [np.asarray(small.any(axis=_others(table.ndim, d))) for d in range(table.ndim)]
    anchors = _first_anchor(table, loss, needs, k)
    while True:
        slabs = [need | anchor for need, anchor in zip(needs, anchors, strict=True)]
        missing = [np.where(slab, np.maximum(0, k - _mass(table, anchors, d)), 0) for d, slab in enumerate(slabs)]
        if not any(lack.any() for lack in missing):
            break
        _grow(table, loss, slabs, missing, anchors)
    hidden = small.copy()
    for d, slab in enumerate(slabs):
        hidden[np.ix_(*(slab if e == d else anchors[e] for e in range(table.ndim)))] = True
    return hidden


def _first_anchor(table: Counts, loss: Counts, needs: list[Mask], k: int) -> list[Mask]:
    """The crossing whose slabs are too small least often and, among those, hide the fewest persons."""
    short = table < k
    bad, cost = short * table.ndim, loss.copy()
    for d, need in enumerate(needs):
        bad = bad + short.compress(need, axis=d).sum(axis=d, keepdims=True)
        cost = cost + loss.compress(need, axis=d).sum(axis=d, keepdims=True)
    best = np.unravel_index(np.lexsort((cost.reshape(-1), bad.reshape(-1)))[0], table.shape)
    return [np.asarray(np.arange(size) == value) for size, value in zip(table.shape, best, strict=True)]


def _grow(table: Counts, loss: Counts, slabs: list[Mask], missing: list[Counts], anchors: list[Mask]) -> None:
    """Make more values anchors: those of one column that fill the slabs best for the persons that they hide."""
    scores = [_score(table, loss, slabs, missing, anchors, d) for d in range(table.ndim)]
    best = max(range(table.ndim), key=lambda d: scores[d].max())
    if scores[best].max() > 0:
        useful = np.flatnonzero(scores[best] > 0)
        ranked = useful[np.argsort(-scores[best][useful], kind="stable")]
        anchors[best][ranked[: 1 + anchors[best].sum() // 4]] = True  # a share, so that large tables end soon
        return
    for d, anchor in enumerate(anchors):
        anchor[np.where(anchor, -1, table.sum(axis=_others(table.ndim, d))).argmax()] = True


def _score(
    table: Counts, loss: Counts, slabs: list[Mask], missing: list[Counts], anchors: list[Mask], d: int
) -> NDArray[np.float64]:
    """For each value of axis d: what it would add to slabs that lack persons, for each person that it hides."""
    gain, cost = np.zeros(len(anchors[d])), np.ones(len(anchors[d]))
    for e in range(table.ndim):
        if e != d:
            axis = int(e > d)
            lack = np.expand_dims(missing[e][slabs[e]], 1 - axis)
            adds = _mass(table, anchors, e, d).compress(slabs[e], axis=axis)
            gain += np.minimum(adds, lack).sum(axis=axis)
            cost += _mass(loss, anchors, e, d).compress(slabs[e], axis=axis).sum(axis=axis)
    return np.where(anchors[d], 0, gain / cost)


def _mass(table: Counts, anchors: list[Mask], *kept: int) -> Counts:
    """Persons by the kept axes, over the anchors of the others."""
    for d in reversed(range(table.ndim)):
        if d not in kept:
            table = table.compress(anchors[d], axis=d).sum(axis=d)
    return table


def _others(axes: int, kept: int) -> tuple[int, ...]:
    return tuple(d for d in range(axes) if d != kept)
