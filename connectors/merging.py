"""One row a person: which rows share an identity, and which of them stands for the person.

Of each row that streams by, its number, 16 bytes of its digest and, where the rule needs one, a day are set aside
(`private_domain.scratch`): few in memory, many sealed on the disk, in parts by the digest's first bits, so that all of
a person's rows stand in one part. Memory then holds a part, and a byte a row: whether it stands. Only amounts that are
to be summed stay in memory, 9 bytes each. Two different persons share 16 bytes of SHA-256 with a chance below 2^-60 in
a billion rows.
"""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Bytes, Flags, Ints, numbers, values_of
from connectors.errors import InputError
from connectors.private_domain.scratch import PARTS, Scratch

Rule = Literal["first", "last", "sum"]
Amounts = dict[str, "np.ma.MaskedArray[tuple[int], np.dtype[np.int64]]"]
LIMIT = 2**62
MOST_SHARED = 20
"""Rows of different persons that may share an identity, as a household does; one that more share names nobody."""
_BLOCK = 1 << 18
_Sums = dict[str, tuple[Ints, Flags]]
T = TypeVar("T", bound=np.generic)
_EARLIEST = np.iinfo(np.int32).min
_SHIFT = 8 - (PARTS - 1).bit_length()


@dataclass(frozen=True)
class Merged:
    """people: distinct identities; keep: bool[rows], which rows stand for their person (None: all); amounts: for the
    kept rows, int64 with a mask where the person has none (None: nothing was summed)."""

    people: int
    keep: Flags | None
    amounts: Amounts | None


class Persons:
    """The identities seen so far, in the order of their rows. scratch: a folder in which rows may be set aside."""

    def __init__(self, rule: Rule, amounts: tuple[str, ...] = (), *, days: bool = False,
                 scratch: Path | None = None) -> None:  # fmt: skip
        """days: whether rows come with days."""
        self._rule, self._rows = rule, 0
        fields = [("row", pa.int64()), ("high", pa.uint64()), ("low", pa.uint64())]
        self._schema = pa.schema(fields + [("day", pa.int32())] * days)
        self._aside = Scratch(self._schema, scratch)
        self._close = weakref.finalize(self, self._aside.__exit__, None, None, None)
        self._amounts: dict[str, tuple[list[Ints], list[Flags]]] = {name: ([], []) for name in amounts}

    def add(
        self, digests: Bytes, days: tuple[NDArray[np.int32], Flags] | None, amounts: dict[str, tuple[Ints, Flags]]
    ) -> None:
        """Rows: uint8[n, 16 or 32]; days and amounts as (values, which are known).

        Raises InputError where the disk does not take what is set aside.
        """
        halves = np.ascontiguousarray(digests[:, :16]).view(np.uint64)
        columns = [numbers(np.arange(self._rows, self._rows + len(halves), dtype=np.int64)),
                   numbers(halves[:, 0].copy()), numbers(halves[:, 1].copy())]  # fmt: skip
        if days is not None:
            columns.append(numbers(np.where(days[1], days[0], _EARLIEST).astype(np.int32)))
        set_aside(self._aside, pa.RecordBatch.from_arrays(columns, schema=self._schema), digests[:, 0])
        self._rows += len(halves)
        for name, (values, known) in self._amounts.items():
            values.append(amounts[name][0].copy())
            known.append(amounts[name][1].copy())

    def merge(self, stored: Flags | None = None) -> Merged:
        """Who is who, by the rule. The rows are forgotten; call once.

        stored: bool[rows]; a row that is not neither stands nor counts where another of its person is (None: all are).
        """
        keep = np.ones(self._rows, np.bool_)
        sums = {name: _known(column, stored) for name, column in self._amounts.items() if self._rows}
        for part in parts_of(self._aside):
            self._merge_part(part, keep, stored, sums)
        self._close()
        people = int(keep.sum())
        if people == self._rows:
            return Merged(people, None, None)
        return Merged(people, keep, {name: _masked(column, keep) for name, column in sums.items()} or None)

    def _merge_part(self, part: pa.Table, keep: Flags, stored: Flags | None, sums: "_Sums") -> None:
        """Take from `keep` the rows of one part that another stands for; add their amounts to that one's."""
        rows, high, low, *days = columns_of(part)
        places = _suspects(high)
        if not len(places):
            return
        rows, high, low = rows[places], high[places], low[places]
        keys: list[NDArray[Any]] = [rows, *(each[places] for each in days)]
        if stored is not None:  # next to what the rule takes: the end for the last row, the beginning for the first
            keys.append(stored[rows] if self._rule == "last" else ~stored[rows])
        order = np.lexsort((*keys, low, high))
        rows, low, high = rows[order], low[order], high[order]
        first = np.ones(len(rows), np.bool_)
        first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        stands = np.append(first[1:], True) if self._rule == "last" else first
        keep[rows[~stands]] = False
        for values, known in sums.values():
            _sum(values, known, rows, np.flatnonzero(first))


def set_aside(aside: Scratch, batch: pa.RecordBatch, leading: NDArray[np.uint8]) -> None:
    """Rows into the parts that digests' leading bytes say. Raises InputError where the disk does not take them."""
    try:
        aside.add(batch, leading >> np.uint8(_SHIFT))
    except OSError as error:
        raise _full(error) from None


def parts_of(aside: Scratch) -> Iterator[pa.Table]:
    """All rows that were set aside, part by part. Raises InputError as `set_aside`."""
    try:
        count = aside.seal()
    except OSError as error:
        raise _full(error) from None
    return (aside.part(number, count) for number in range(count))


def columns_of(part: pa.Table) -> list[NDArray[Any]]:
    """Its columns of numbers; without `combine_chunks`, which loads pandas."""
    found = []
    for column in part.columns:
        empty = [np.zeros(0, column.type.to_pandas_dtype())] if not column.num_chunks else []
        found.append(np.concatenate([*map(values_of, column.chunks), *empty]))
    return found


def _full(error: OSError) -> InputError:
    return InputError(
        "Rows cannot be set aside on the disk: {reason}.", "Make room there, and run it again.",
        reason=error.strerror or type(error).__name__,
    )  # fmt: skip


def _suspects(high: NDArray[np.uint64]) -> Ints:
    """The places whose first half occurs more than once."""
    order = np.argsort(high)
    shared = np.zeros(len(order), np.bool_)
    for start in range(0, len(order) - 1, _BLOCK):  # in blocks: a third column of this length would be the peak
        ordered = high[order[start : start + _BLOCK + 1]]
        again = ordered[1:] == ordered[:-1]
        shared[start : start + len(again)] |= again
        shared[start + 1 : start + len(again) + 1] |= again
    return order[shared]


def _known(column: tuple[list[Ints], list[Flags]], stored: Flags | None) -> tuple[Ints, Flags]:
    """A column's (values, which are known), of the rows stored."""
    values, known = _all(column[0]), _all(column[1])
    return values, known if stored is None else known & stored


def _sum(values: Ints, known: Flags, rows: Ints, starts: Ints) -> None:
    """Sums at the first row of each person; unknown where nothing is known or the sum leaves ± LIMIT."""
    parts = np.where(known[rows], values[rows], 0)
    sums = np.add.reduceat(parts, starts)
    # the float's sum tells a wrapped integer sum apart: those are off by 2^64
    fits = (np.abs(np.add.reduceat(parts.astype(np.float64), starts)) < 2.0**62.5) & (np.abs(sums) <= LIMIT)
    values[rows[starts]] = np.where(fits, sums, 0)
    known[rows[starts]] = fits & np.logical_or.reduceat(known[rows], starts)


def _masked(column: tuple[Ints, Flags], keep: Flags) -> "np.ma.MaskedArray[tuple[int], np.dtype[np.int64]]":
    return np.ma.MaskedArray(column[0][keep], mask=~column[1][keep])


def _all(parts: list[NDArray[T]]) -> NDArray[T]:
    """The parts as one; they are emptied, so that memory holds them once."""
    joined: NDArray[T] = np.concatenate(parts)
    parts.clear()
    return joined
