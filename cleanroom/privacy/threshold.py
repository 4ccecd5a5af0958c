"""The threshold: groups of enough persons leave, all others stay, in an order that says nothing.

Persons are distinct matched persons, each of whom is one distinct person on either side. Without noise groups of at
least k leave; with noise those whose noised count is far enough above k, and nothing else looks at a count.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.privacy import accounting
from cleanroom.privacy.diversity import withhold_diverse
from cleanroom.privacy.noise import LEAST_SIGMA, MOST_SIGMA

LEAST_K = 50
DEFAULT_K = 100
PEOPLE = "people"


@dataclass(frozen=True)
class Rules:
    """What may leave. k: least persons behind any number; noise: 'off' means that released counts are exact.

    sigma: of the noise that each of `draws` parties adds to a count, in persons; both 0 without noise.
    """

    k: int = DEFAULT_K
    noise: Literal["off", "gaussian"] = "off"
    sigma: int = 0
    draws: int = 0

    def __post_init__(self) -> None:
        if self.k < LEAST_K:
            raise Refused(
                "k = {k} is below {least}, the least any room may have.",
                "Leave --k out for 100.",
                k=self.k,
                least=LEAST_K,
            )
        noised = (LEAST_SIGMA <= self.sigma <= MOST_SIGMA and self.draws in (1, 2)) and self.noise == "gaussian"
        if not noised and (self.noise != "off" or self.sigma or self.draws):
            raise Refused("Noise is off, or gaussian with a sigma of {least} to {most} persons.", least=LEAST_SIGMA,
                          most=MOST_SIGMA)  # fmt: skip

    @classmethod
    def strictest(cls, rules: Iterable["Rules"]) -> "Rules":
        """What all of several parties accept. Raises UsageError where there are none."""
        found = list(rules)
        if not found:
            raise UsageError("Release rules of no party cannot be combined.")
        noisiest = max(found, key=lambda rule: rule.sigma * rule.draws**0.5)
        return replace(noisiest, k=max(rule.k for rule in found))

    @property
    def least(self) -> int:
        """The least count, noised where noise is on, with which a group is shown."""
        return accounting.threshold(self.k, self.sigma, self.draws) if self.sigma else self.k

    @property
    def half_width(self) -> int:
        """Of the 95 % interval of a count's noise, in persons; 0 without noise."""
        return accounting.half_width(self.sigma, self.draws) if self.sigma else 0

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON; without noise as it was before there was any."""
        noise: dict[str, canonical.Json] = {"sigma": self.sigma, "draws": self.draws} if self.sigma else {}
        return {"k": self.k, "noise": self.noise, **noise}


@dataclass(frozen=True)
class Released:
    """What leaves: the groups shown, sorted by their columns, and whether any group stayed behind."""

    table: pa.Table
    withheld: bool


def release_groups(groups: pa.Table, by: Sequence[str], rules: Rules, sensitive: Collection[str] = ()) -> Released:
    """The groups that may be shown.

    `groups`: one row a cell, with the columns `by`, `people` (integers ≥ 0; with noise, already noised) and any sums,
    which leave with their cell. Without noise a row of 0 people is a cell that exists, and is withheld and protected
    like a small one; with noise it is never said whether a group was withheld, only that some may be. sensitive:
    columns of `by`; without noise a group that shares one of their values stays. Raises BadData where a cell stands
    twice or has no count; otherwise as `suppression.withhold`.
    """
    groups = _decoded(groups, by)
    people = groups.column(PEOPLE)
    codes = [_codes(groups.column(name)) for name in by]
    if people.null_count or len(groups) != _distinct(codes, len(groups)):
        raise BadData("Groups to be released must be distinct and counted.")
    counts = people.to_numpy()
    if rules.sigma:
        shown = counts >= rules.least
    else:
        shown = withhold_diverse(codes, counts, rules.k, [name in sensitive for name in by])
    table = groups.filter(pa.array(shown))
    if by:
        table = table.sort_by([(name, "ascending") for name in by])
    return Released(table.combine_chunks(), withheld=bool(rules.sigma) or not shown.all() or not len(shown))


def with_people(groups: pa.Table, people: NDArray[np.int64]) -> pa.Table:
    """The same groups with other counts: noised ones."""
    return groups.set_column(groups.column_names.index(PEOPLE), PEOPLE, pa.array(people, pa.int64()))


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
