"""The question an enclave answers, the shape of the answer, and the seam between the two.

Nothing here knows DuckDB: a distributed engine takes the same `Query` and gives the same `Groups`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cleanroom.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

VERSION = "cleanroom-query/1"
SLOTS = "#slots"
PEOPLE = "people"
COUNTED = "#count"
NAME_LIMIT = 255


def split_name(name: str) -> tuple[str, str]:
    """(dataset, column) of `<dataset>.<column>`. Raises UsageError where it is not of that form."""
    dataset, dot, column = name.partition(".")
    plain = bool(dataset and dot and column) and name.isprintable() and len(name) <= NAME_LIMIT
    if not plain or dataset.startswith("#") or ("#" in column and column != SLOTS):
        raise UsageError(
            "{name} is not a column of an enclave.", "Columns are named dataset.column, without #.", name=repr(name)
        )
    return dataset, column


@dataclass(frozen=True)
class Query:
    """Count the matched people in every group, and add up columns over each.

    Any text of the language's printable characters may stand in a name: names are quoted when SQL is made of them.
    """

    by: tuple[str, ...] = ()
    """Columns `<dataset>.<column>` whose values make the groups; none: one group of all. A null is a value too."""
    sums: tuple[str, ...] = ()
    """`<dataset>.#slots`: the product of the group's ciphertexts; `<dataset>.<column>`: a sum of plain int64 values."""

    def __post_init__(self) -> None:
        names = [*self.by, *self.sums]
        for name in names:
            split_name(name)
        for name in self.by:
            if split_name(name)[1] == SLOTS:
                raise UsageError("Rows cannot be grouped by ciphertexts.", "Group by a category or a bucket.")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError("{name} stands twice in a query.", "Name each column once.", name=twice)

    @property
    def slots(self) -> tuple[str, ...]:
        """The datasets whose ciphertexts are summed."""
        return tuple(dataset for dataset, column in map(split_name, self.sums) if column == SLOTS)

    @property
    def plain_sums(self) -> tuple[str, ...]:
        """The plain columns that are summed."""
        return tuple(name for name in self.sums if split_name(name)[1] != SLOTS)

    def to_fields(self) -> dict[str, object]:
        """As JSON fields, version first."""
        return {"format": VERSION, "by": list(self.by), "sums": list(self.sums)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Query:
        """The query of `to_fields`. Raises UsageError for another version or shape."""
        if fields.get("format") != VERSION or set(fields) != {"format", "by", "sums"}:
            raise UsageError("This query is of an unknown version.", "Both programs must be of one version.")
        return cls(by=_names(fields["by"]), sums=_names(fields["sums"]))


@dataclass(frozen=True)
class Groups:
    """Every group with at least one matched person, exact and unthresholded: not to be shown to anybody as it is.

    A query without `by` has one group, be it empty. Groups are sorted by the `by` columns, so their order tells nothing
    about the order of rows.
    """

    table: pa.Table
    """The `by` columns, `people` int64, and for each plain sum `c` the pair `c` int64 and `c#count` int64 (the rows
    where it is not null), which is what an average needs."""
    ciphertexts: Mapping[str, NDArray[np.uint8]]
    """Dataset → uint8[groups, w]: each group's sums, in the groups' order, not yet masked or re-randomised."""


class Engine(Protocol):
    """Where rows are grouped and counted. `run` is the only way in."""

    def run(self, query: Query, public_keys: Mapping[str, int]) -> Groups:
        """The groups of `query`; `public_keys` holds the Paillier modulus of each dataset whose slots are summed.

        Raises UsageError for columns that do not exist or do not fit, LimitReached beyond memory or time.
        """
        ...


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise UsageError("This query is of an unknown version.", "Both programs must be of one version.")
    return tuple(value)
