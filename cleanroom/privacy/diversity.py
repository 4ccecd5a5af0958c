"""Groups of which everyone shares one value of a sensitive column: without noise they stay, however large they are.

Beside what `suppression` promises: of any combination of the columns that are not sensitive, the reader cannot tell
that everyone behind it has the same value of a sensitive column. Over some table that agrees with all the reader knows
(`suppression` says what that is), at least k of them have another value. This is distinct l-diversity with l = 2
(Machanavajjhala et al. 2007): the cells of a group of one value are withheld, and beside them stands the empty cell of
another value, which is covered like every cell of nobody, so that it can be k. Where everyone of the whole answer
shares the value, it is of a value that no row has.

Whoever owns a column learns nothing new of it; the rule is for the others. Conditions on a sensitive column are no
matter of this module, but of their populations (`history`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import UsageError
from cleanroom.privacy.suppression import Counts, Mask, withhold


def withhold_diverse(
    codes: Sequence[NDArray[np.integer]], counts: NDArray[np.integer], k: int, sensitive: Sequence[bool]
) -> Mask:
    """Which of n cells are released: bool[n]. sensitive: which columns are; otherwise as `suppression.withhold`."""
    if len(sensitive) != len(codes):
        raise UsageError("Each column of a release is sensitive or is not.")
    axes = [np.asarray(axis, np.int64) for axis in codes]
    people = np.asarray(counts, np.int64)
    alike, empty = uniform(axes, people, sensitive)
    cells = [np.concatenate([axis, more]) for axis, more in zip(axes, empty, strict=True)]
    added = len(empty[0]) if empty else 0
    zeros = np.zeros(added, np.int64)
    shown = withhold(cells, np.concatenate([people, zeros]), k, np.concatenate([alike, zeros.astype(np.bool_)]))
    return shown[: len(people)]


def uniform(axes: Sequence[Counts], people: Counts, sensitive: Sequence[bool]) -> tuple[Mask, list[Counts]]:
    """Cells of groups that share one value of a sensitive column, bool[n], and empty cells to stand beside them.

    axes: a column's codes, int64[n] each. The empty cells: int64[m] a column, none among the n.
    """
    alike = np.zeros(len(people), np.bool_)
    beside: list[Counts] = [np.empty((0, len(axes)), np.int64)]
    group = _numbered([axis for axis, hides in zip(axes, sensitive, strict=True) if not hides], people)
    table = np.stack(axes, axis=1) if axes else np.empty((len(people), 0), np.int64)
    for d in (place for place, hides in enumerate(sensitive) if hides):
        shares = _share_one_value(group, axes[d], people)
        alike |= shares[group]
        beside.append(_other_value(table, d, people, _largest_cells(group, people, shares)))
    cells = np.concatenate([table, *beside])
    first = np.unique(cells, axis=0, return_index=True)[1] if axes else np.empty(0, np.int64)
    return alike, list(cells[first[first >= len(table)]].T)


def _numbered(axes: Sequence[Counts], people: Counts) -> Counts:
    """For each cell the number of its combination of these columns."""
    if not axes:
        return np.zeros(len(people), np.int64)
    return np.asarray(np.unique(np.stack(axes, axis=1), axis=0, return_inverse=True)[1], np.int64).reshape(-1)


def _share_one_value(group: Counts, axis: Counts, people: Counts) -> Mask:
    """For each group whether all its persons, of whom there are some, have one value."""
    held = np.unique(np.stack([group, axis], axis=1)[people > 0], axis=0)
    return np.asarray(np.bincount(held[:, 0], minlength=group.max(initial=-1) + 1) == 1)


def _largest_cells(group: Counts, people: Counts, groups: Mask) -> NDArray[np.intp]:
    """The cell of most persons of each of these groups."""
    order = np.lexsort((people, group))
    last = np.append(group[order][1:] != group[order][:-1], True)[: len(order)]
    largest = order[last]
    return np.asarray(largest[groups[group[largest]]], np.intp)


def _other_value(table: Counts, d: int, people: Counts, cells: NDArray[np.intp]) -> Counts:
    """These cells with another value in column d: the one of most persons, so that few others must be hidden."""
    beside = np.array(table[cells], np.int64)
    if not len(table):
        return beside
    totals = np.bincount(table[:, d], weights=people)
    held = np.append(np.unique(table[:, d]), len(totals))  # the last is a value that no row has
    ranked = held[np.argsort(-np.append(totals, -1)[held], kind="stable")]
    beside[:, d] = np.where(beside[:, d] == ranked[0], ranked[1], ranked[0])
    return beside
