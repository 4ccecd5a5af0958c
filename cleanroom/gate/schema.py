"""What a query may name: the contract's columns with their declared cells, and nothing of the data."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cleanroom.rooms.contract import Contract
from cleanroom.rooms.draft import UNKNOWN
from cleanroom.rooms.terms import Annex, Kind

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Field:
    """A column of a dataset: its kind, and of a category or bucket the labels of its cells in their order.

    edges: where a bucket is cut, as the contract writes them; cell i holds edges[i - 1] <= value < edges[i].
    """

    dataset: str
    column: str
    kind: Kind
    labels: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """dataset.column"""
        return f"{self.dataset}.{self.column}"

    @cached_property
    def unknown(self) -> int | None:
        """The cell of rows without a value, which SQL calls NULL."""
        return self.labels.index(UNKNOWN) if UNKNOWN in self.labels else None

    @cached_property
    def dated(self) -> bool:
        """Whether the edges are days."""
        return bool(self.edges) and all(day_of(edge) is not None for edge in self.edges)

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """The edges as numbers; days count from year 1."""
        return tuple(number_of(edge) for edge in self.edges)


@dataclass(frozen=True)
class Schema:
    """All fields of a room, and the datasets they belong to."""

    datasets: tuple[str, ...]
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, contract: Contract, annexes: Sequence[Annex]) -> "Schema":
        """What the contract and the labels beside it declare."""
        held = {(annex.dataset, annex.column): annex for annex in annexes}
        fields = []
        for dataset in contract.datasets:
            for column in dataset.columns:
                annex = held.get((dataset.name, column.name))
                labels, edges = (annex.labels, annex.edges) if annex else ((), ())
                fields.append(Field(dataset.name, column.name, column.kind, labels, edges))
        return cls(tuple(dataset.name for dataset in contract.datasets), tuple(fields))


def number_of(text: str) -> float:
    """A number, or the number of a day. Raises ValueError for anything else."""
    day = day_of(text)
    return float(text) if day is None else float(day)


def day_of(text: str) -> int | None:
    """The number of a day written as 2026-01-31; None for anything else."""
    try:
        return dt.date.fromisoformat(text).toordinal() if _DAY.fullmatch(text) else None
    except ValueError:
        return None
