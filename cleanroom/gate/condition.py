"""Conditions over declared cells, in three-valued logic as SQL has it, brought to one canonical form.

A condition is a table of truths over the crossing of the columns it names. Whatever way it was written, the same set of
people gives the same form: columns that do not matter are gone, the rest is cut into disjoint boxes in one fixed order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

Truth = NDArray[np.int8]
"""Of each cell: 0 false, 1 unknown, 2 true."""
FALSE, UNKNOWN, TRUE = 0, 1, 2
MOST_CROSSINGS = 1 << 16
MOST_BOXES = 4096

Cells = tuple[int, ...]
Box = tuple[tuple[str, Cells], ...]
"""People who are, in each of these columns, in one of these cells."""


@dataclass(frozen=True)
class Condition:
    """Who is meant: the people in any of `boxes`, which are disjoint. The default means everybody."""

    boxes: tuple[Box, ...] = ((),)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it depends on, sorted."""
        return tuple(sorted({name for box in self.boxes for name, _ in box}))

    @property
    def everybody(self) -> bool:
        """Whether nobody is left out."""
        return self.boxes == ((),)

    def plain(self) -> list[list[list[object]]]:
        """As canonical JSON."""
        return [[[name, list(cells)] for name, cells in box] for box in self.boxes]


class TooLarge(ValueError):
    """A condition over more crossings of cells, or with more boxes, than are looked at."""


@dataclass(frozen=True)
class TruthTable:
    """Truths over the crossing of `columns` (sorted): int8[sizes]."""

    columns: tuple[str, ...]
    truth: Truth

    @classmethod
    def atom(cls, column: str, truth: Sequence[int]) -> "TruthTable":
        """About one column: the truth of each of its cells."""
        return cls((column,), np.array(truth, np.int8))

    def __invert__(self) -> "TruthTable":
        return TruthTable(self.columns, np.int8(TRUE) - self.truth)

    def __and__(self, other: "TruthTable") -> "TruthTable":
        left, right, columns = _aligned(self, other)
        return TruthTable(columns, np.minimum(left, right))

    def __or__(self, other: "TruthTable") -> "TruthTable":
        left, right, columns = _aligned(self, other)
        return TruthTable(columns, np.maximum(left, right))

    def condition(self) -> Condition:
        """The canonical form. Raises TooLarge."""
        names, holds = list(self.columns), self.truth == TRUE
        for axis in reversed(range(holds.ndim)):
            first = np.take(holds, [0], axis=axis)
            if (holds == first).all():
                holds = np.squeeze(first, axis=axis)
                del names[axis]
        boxes = _boxes(tuple(names), holds)
        if len(boxes) > MOST_BOXES:
            raise TooLarge
        return Condition(boxes)


def _aligned(left: TruthTable, right: TruthTable) -> tuple[Truth, Truth, tuple[str, ...]]:
    columns = tuple(sorted({*left.columns, *right.columns}))
    sizes = _sizes(left) | _sizes(right)
    if prod(sizes.values()) > MOST_CROSSINGS:
        raise TooLarge
    shape = [sizes[name] for name in columns]
    views = []
    for table in (left, right):
        own = _sizes(table)
        views.append(np.broadcast_to(table.truth.reshape([own.get(name, 1) for name in columns]), shape))
    return views[0], views[1], columns


def _sizes(table: TruthTable) -> dict[str, int]:
    return dict(zip(table.columns, table.truth.shape, strict=True))


def _boxes(names: tuple[str, ...], holds: NDArray[np.bool_]) -> tuple[Box, ...]:
    """Disjoint boxes that make up `holds`: cells of the first column with the same rest stand together, and so on."""
    if not names:
        return ((),) if holds else ()
    size = holds.shape[0]
    slices = holds.reshape(size, -1)
    alike: dict[bytes, list[int]] = {}
    for cell in range(size):
        if slices[cell].any():
            alike.setdefault(np.packbits(slices[cell]).tobytes(), []).append(cell)
    boxes: list[Box] = []
    for cells in alike.values():
        rest = _boxes(names[1:], holds[cells[0]])
        own: Box = () if len(cells) == size else ((names[0], tuple(cells)),)
        boxes += [(*own, *box) for box in rest]
        if len(boxes) > MOST_BOXES:
            raise TooLarge
    return tuple(boxes)
