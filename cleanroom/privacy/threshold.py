"""The threshold: groups of at least k persons leave, all others stay, in an order that says nothing.

k counts distinct matched persons, each of whom is one distinct person on either side.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.privacy.suppression import withhold

LEAST_K = 50
DEFAULT_K = 100
PEOPLE = "people"


@dataclass(frozen=True)
class Rules:
    """What may leave. k: least persons behind any number; noise: 'off' means that released counts are exact."""

    k: int = DEFAULT_K
    noise: Literal["off"] = "off"

    def __post_init__(self) -> None:
        if self.k < LEAST_K:
            raise Refused(
                "k = {k} is below {least}, the least any room may have.",
                "Leave --k out for 100.",
                k=self.k,
                least=LEAST_K,
            )
        if self.noise != "off":
            raise Refused("This version releases without noise only.", 'Set noise = "off".')

    @classmethod
    def strictest(cls, rules: Iterable["Rules"]) -> "Rules":
        """What all of several parties accept. Raises UsageError where there are none."""
        all_k = [rule.k for rule in rules]
        if not all_k:
            raise UsageError("Release rules of no party cannot be combined.")
        return cls(max(all_k))


@dataclass(frozen=True)
class Released:
    """What leaves: the groups shown, sorted by their columns, and whether any group stayed behind."""

    table: pa.Table
    withheld: bool


def release_groups(groups: pa.Table, by: Sequence[str], rules: Rules) -> Released:
    """The groups that may be shown.

    `groups`: one row a cell, with the columns `by`, `people` (integers ≥ 0) and any sums, which leave with their cell.
    A row of 0 people is a cell that exists, and is withheld and protected like a small one. Raises BadData where a
    cell stands twice or has no count; otherwise as `suppression.withhold`.
    """
    groups = _decoded(groups, by)
    people = groups.column(PEOPLE)
    codes = [_codes(groups.column(name)) for name in by]
    if people.null_count or len(groups) != _distinct(codes, len(groups)):
        raise BadData("Groups to be released must be distinct and counted.")
    shown = withhold(codes, people.to_numpy(), rules.k)
    table = groups.filter(pa.array(shown))
    if by:
        table = table.sort_by([(name, "ascending") for name in by])
    return Released(table.combine_chunks(), withheld=not shown.all() or not len(shown))


def _decoded(groups: pa.Table, by: Sequence[str]) -> pa.Table:
    """The same with the values themselves in dictionary columns: they sort, and hold none that is withheld."""
    for name in by:
        place, column = groups.column_names.index(name), groups.column(name)
        if pa.types.is_dictionary(column.type):
            groups = groups.set_column(place, name, column.cast(column.type.value_type))
    return groups


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """A number from 0 for each distinct value, null being a value too: int[n]."""
    encoded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    return np.asarray(encoded.indices)


def _distinct(codes: list[np.ndarray], rows: int) -> int:
    """How many different combinations of codes there are; without columns, one at most."""
    if not codes:
        return min(rows, 1)
    return len(np.unique(np.stack(codes), axis=1).T)
