"""A checked question: what is computed, in canonical form, and how its release is laid out afterwards."""

from dataclasses import dataclass, field
from typing import Literal

from cleanroom.gate.condition import Condition

What = Literal["column", "people", "sum", "average", "quantile"]


@dataclass(frozen=True)
class Shown:
    """A column of the released table: what it shows, of which of the contract's columns, under which title.

    per_mille: of a quantile alone, its fraction, 1 to 999.
    """

    what: What
    name: str
    title: str
    per_mille: int = 0


@dataclass(frozen=True)
class Given:
    """What a placeholder of a template stands for: a value, and the one column that it may be compared with."""

    column: str
    value: str


@dataclass(frozen=True)
class Ask:
    """What an enclave computes (`by`, `sums`, `where`, over `table`), and the layout, which costs nothing.

    table: `matched`, or a dataset on its own; by, sums: sorted names `dataset.column`, where `by` has the bucket of a
    quantile too, whose histogram is released; order: positions in `shown`, and whether descending; limit: the most rows
    that are shown; over: of `matched` the datasets that are lined up, sorted, where these are not all of the room.
    """

    table: str
    by: tuple[str, ...]
    sums: tuple[str, ...]
    where: Condition = field(default_factory=Condition)
    shown: tuple[Shown, ...] = ()
    order: tuple[tuple[int, bool], ...] = ()
    limit: int | None = None
    over: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Buckets that are asked for to take quantiles of, and are not shown themselves."""
        shown = {each.name for each in self.shown if each.what == "column"}
        return tuple(name for name in self.by if name not in shown)

    @property
    def chosen(self) -> Condition:
        """Whom the question is computed for: everybody, where the condition is about the columns of the groups alone.
        Then it only chooses among released groups, which costs nothing, and every such question is one."""
        return Condition() if set(self.where.columns) <= set(self.by) else self.where

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the answer depends on, sorted."""
        return tuple(sorted({*self.by, *self.sums, *self.where.columns}))
