"""A checked question: what is computed, in canonical form, and how its release is laid out afterwards."""

from dataclasses import dataclass, field
from typing import Literal

from cleanroom.gate.condition import Condition

What = Literal["column", "people", "sum", "average"]


@dataclass(frozen=True)
class Shown:
    """A column of the released table: what it shows, of which of the contract's columns, under which title."""

    what: What
    name: str
    title: str


@dataclass(frozen=True)
class Ask:
    """What an enclave computes (`by`, `sums`, `where`, over `table`), and the layout, which costs nothing.

    table: `matched`, or a dataset on its own; by, sums: sorted names `dataset.column`; order: positions in `shown`, and
    whether descending; limit: the most rows that are shown.
    """

    table: str
    by: tuple[str, ...]
    sums: tuple[str, ...]
    where: Condition = field(default_factory=Condition)
    shown: tuple[Shown, ...] = ()
    order: tuple[tuple[int, bool], ...] = ()
    limit: int | None = None
