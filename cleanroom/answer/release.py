"""A release: the table that may leave, in codes until its recipients put labels on it.

Amounts are integers in minor units; `average` is the released sum over the released count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from cleanroom.enclave.query import PEOPLE, split_name
from cleanroom.privacy.ranges import Range
from cleanroom.rooms.store import Room

MINOR = Decimal(100)
AMOUNT = pa.decimal128(38, 0)


@dataclass(frozen=True)
class Release:
    """table: the columns asked for as labels, `people` int64, sums decimal128(38, 0) in minor units; sorted."""

    table: pa.Table
    withheld: bool
    size: Range

    @property
    def first(self) -> int:
        """The first count: of a plan, and so of a crowd, everybody."""
        return int(self.table.column(PEOPLE)[0].as_py())

    def segments(self) -> list[dict[str, Any]]:
        """One object a group: labels, people, and each sum with its average, in major units."""
        names = short_names(self.table.column_names)
        sums = [field.name for field in self.table.schema if pa.types.is_decimal(field.type)]
        rows = []
        for row in self.table.to_pylist():
            segment: dict[str, Any] = {names[name]: value for name, value in row.items() if name not in sums}
            for name in sums:
                segment[names[name]] = float(row[name] / MINOR)
                mean = round(float(row[name] / MINOR / row[PEOPLE]), 2) if row[PEOPLE] else None
                segment[f"{names[name]}_average"] = mean
            rows.append(segment)
        return rows


def short_names(names: Sequence[str]) -> dict[str, str]:
    """How columns of a release are called for people: without their dataset, where that leaves them distinct, also from
    the averages beside them."""
    short = {name: split_name(name)[1] if "." in name else name for name in names}
    taken = {*short.values(), *(f"{name}_average" for name in short.values())}
    return short if len(taken) == 2 * len(short) else {name: name for name in names}


def labelled(room: Room, by: Sequence[str], codes: Mapping[str, Sequence[int]], people: Sequence[int],
             sums: Mapping[str, Sequence[int]]) -> pa.Table:  # fmt: skip
    """The released table from codes: labels by column, then people, then sums; sorted by the declared cells' order."""
    columns: dict[str, pa.Array] = {}
    for name in by:
        labels = pa.array(room.annex(*split_name(name)).labels, pa.string())
        columns[name] = labels.take(pa.array(codes[name], pa.int64()))
    columns[PEOPLE] = pa.array(people, pa.int64())
    for name, values in sums.items():
        columns[name] = pa.array([Decimal(int(value)) for value in values], AMOUNT)
    order = sorted(range(len(people)), key=lambda row: [int(codes[name][row]) for name in by])
    return pa.table(columns).take(pa.array(order, pa.int64()))
