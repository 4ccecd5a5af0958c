"""One row a person: which rows share an identity, and which of them stands for the person.

Kept while the rows stream by: 16 bytes of each digest, a day where the rule needs one, and the amounts to be summed.
Two different persons share 16 bytes of SHA-256 with a chance below 2^-60 in a billion rows.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from connectors.arrays import Bytes, Flags, Ints

Rule = Literal["first", "last", "sum"]
Amounts = dict[str, "np.ma.MaskedArray[tuple[int], np.dtype[np.int64]]"]
LIMIT = 2**62
MOST_SHARED = 20
"""Rows of different persons that may share an identity, as a household does; one that more share names nobody."""
_BLOCK = 1 << 18
T = TypeVar("T", bound=np.generic)
_EARLIEST = np.iinfo(np.int32).min


@dataclass(frozen=True)
class Merged:
    """people: distinct identities; keep: bool[rows], which rows stand for their person (None: all); amounts: for the
    kept rows, int64 with a mask where the person has none (None: nothing was summed)."""

    people: int
    keep: Flags | None
    amounts: Amounts | None


class Persons:
    """The identities seen so far, in the order of their rows."""

    def __init__(self, rule: Rule, amounts: tuple[str, ...] = ()) -> None:
        self._rule, self._names = rule, amounts
        self._high: list[NDArray[np.uint64]] = []
        self._low: list[NDArray[np.uint64]] = []
        self._days: list[NDArray[np.int32]] = []
        self._amounts: dict[str, tuple[list[Ints], list[Flags]]] = {name: ([], []) for name in amounts}

    def add(
        self, digests: Bytes, days: tuple[NDArray[np.int32], Flags] | None, amounts: dict[str, tuple[Ints, Flags]]
    ) -> None:
        """Rows: uint8[n, 16 or 32]; days and amounts as (values, which are known)."""
        halves = np.ascontiguousarray(digests[:, :16]).view(np.uint64)
        self._high.append(halves[:, 0].copy())
        self._low.append(halves[:, 1].copy())
        if days is not None:
            self._days.append(np.where(days[1], days[0], _EARLIEST))
        for name, (values, known) in self._amounts.items():
            values.append(amounts[name][0].copy())
            known.append(amounts[name][1].copy())

    def merge(self, stored: Flags | None = None) -> Merged:
        """Who is who, by the rule. The rows are forgotten; call once.

        stored: bool[rows]; a row that is not neither stands nor counts where another of its person is (None: all are).
        """
        if not self._high:
            return Merged(0, None, None)
        rows, high = self._suspects()
        total, suspects = len(high), high[rows]
        del high
        if not len(rows):
            return Merged(total, None, None)
        low = _all(self._low)[rows]
        keys: list[NDArray[Any]] = [rows, _all(self._days)[rows]] if self._days else [rows]
        if stored is not None:  # next to what the rule takes: the end for the last row, the beginning for the first
            keys.append(stored[rows] if self._rule == "last" else ~stored[rows])
        order = np.lexsort((*keys, low, suspects))
        rows, low, suspects = rows[order], low[order], suspects[order]
        first = np.ones(len(rows), np.bool_)
        first[1:] = (low[1:] != low[:-1]) | (suspects[1:] != suspects[:-1])
        stands = np.append(first[1:], True) if self._rule == "last" else first
        keep = np.ones(total, np.bool_)
        keep[rows[~stands]] = False
        summed = {name: _summed(column, rows, first, keep, stored) for name, column in self._amounts.items()}
        return Merged(int(keep.sum()), keep, summed if self._rule == "sum" else None)

    def _suspects(self) -> tuple[Ints, NDArray[np.uint64]]:
        """(rows whose first half occurs more than once, all first halves)."""
        high = _all(self._high)
        order = np.argsort(high)
        shared = np.zeros(len(order), np.bool_)
        for start in range(0, len(order) - 1, _BLOCK):  # in blocks: a third column of this length would be the peak
            ordered = high[order[start : start + _BLOCK + 1]]
            again = ordered[1:] == ordered[:-1]
            shared[start : start + len(again)] |= again
            shared[start + 1 : start + len(again) + 1] |= again
        return order[shared], high


def _summed(
    column: tuple[list[Ints], list[Flags]], rows: Ints, first: Flags, keep: Flags, stored: Flags | None
) -> "np.ma.MaskedArray[tuple[int], np.dtype[np.int64]]":
    """Sums at the first row of each person; masked where nothing is known or the sum leaves ± LIMIT."""
    values, known = _all(column[0]), _all(column[1])
    if stored is not None:
        known &= stored
    starts = np.flatnonzero(first)
    parts = np.where(known[rows], values[rows], 0)
    sums = np.add.reduceat(parts, starts)
    # the float's sum tells a wrapped integer sum apart: those are off by 2^64
    fits = (np.abs(np.add.reduceat(parts.astype(np.float64), starts)) < 2.0**62.5) & (np.abs(sums) <= LIMIT)
    values[rows[starts]] = np.where(fits, sums, 0)
    known[rows[starts]] = fits & np.logical_or.reduceat(known[rows], starts)
    return np.ma.MaskedArray(values[keep], mask=~known[keep])


def _all(parts: list[NDArray[T]]) -> NDArray[T]:
    """The parts as one; they are emptied, so that memory holds them once."""
    joined: NDArray[T] = np.concatenate(parts)
    parts.clear()
    return joined
