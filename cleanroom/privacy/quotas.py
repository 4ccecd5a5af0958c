"""Inputs are committed: how often, how small and how fast growing a dataset may be that a party brings to its rooms.

Each run lets its parties learn something of whoever is in the other's data: a size, groups, which own rows matched. A
party that may bring another list every time asks about whom it likes: one person by comparing two runs, or everybody by
trying all phone numbers. So every party keeps, in its own ledger, which versions its peers declared, and refuses the
run that goes beyond the limits. Pure rules; nothing here reads a clock, a file or a row.

What is left: within the limits a party can still try `versions` lists in 30 days, each of as many rows as the contract
allows.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.privacy.history import DatasetVersion

EPOCH = dt.timedelta(days=30)
"""How far back counts: any 30 days, so that there is no moment at which all is allowed again."""
LEAST_ROWS = 100


@dataclass(frozen=True)
class Limits:
    """How much of a dataset may change within 30 days. A contract may make it stricter.

    versions: distinct ones; runs: with this dataset; times, more: a version may have `times` the rows of the one before
    and `more` rows beside; rows: the least that a version has (1 where numbers are exact: their k protects them).
    """

    versions: int = 10
    runs: int = 10_000
    times: int = 2
    more: int = 1000
    rows: int = LEAST_ROWS

    def __post_init__(self) -> None:
        if any(type(getattr(self, each.name)) is not int for each in fields(self)) or self.more < 0:
            raise BadData("Limits of a room's inputs are whole numbers.")
        if min(self.versions, self.runs, self.times, self.rows) < 1:
            raise BadData("A limit of a room's inputs is below one.")

    @classmethod
    def strictest(cls, limits: Iterable["Limits"]) -> "Limits":
        """What all of several parties accept. Raises UsageError where there are none."""
        every = list(limits)
        if not every:
            raise UsageError("Limits of no party cannot be combined.")
        least = {each.name: min(getattr(one, each.name) for one in every) for each in fields(cls)}
        return cls(**{**least, "rows": max(one.rows for one in every)})


@dataclass(frozen=True)
class Seen:
    """A version of a dataset that was declared for a run, and when (with its zone)."""

    version: DatasetVersion
    time: dt.datetime

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise UsageError("A time needs its zone here.")


def check_inputs(history: Sequence[Seen], now: Seen, limits: Limits) -> None:
    """Raises Refused where a run with `now` would go beyond the limits.

    history: one entry for each earlier run that this party knows of, in whatever order and room; entries of other
    owners' or other datasets do not count. A run whose stored answer is given again is no run.

    1. Enough rows. 2. Not more runs. 3. Not more versions. 4. Not much more rows than the version before.
    """
    dataset = now.version.name
    if now.version.rows < limits.rows:  # 1
        raise Refused(
            "The dataset {dataset} has fewer than {least} rows: what a room says of so few is about each of them.",
            "Bring a larger dataset.",
            dataset=dataset,
            least=limits.rows,
        )
    earlier = _earlier(history, now)
    if len(earlier) >= limits.runs:  # 2
        raise Refused(
            "The dataset {dataset} was in {most} runs within {days} days, which is the most.",
            "Wait, or agree on a new contract.",
            dataset=dataset,
            most=limits.runs,
            days=EPOCH.days,
        )
    manifests = {seen.version.manifest for seen in earlier}
    if now.version.manifest in manifests:
        return
    if len(manifests) >= limits.versions:  # 3
        raise Refused(
            "The dataset {dataset} has had {most} versions within {days} days, which is the most.",
            "Use the last version, or wait; for more agree on a new contract.",
            dataset=dataset,
            most=limits.versions,
            days=EPOCH.days,
        )
    if earlier and now.version.rows > (most := limits.times * earlier[-1].version.rows + limits.more):  # 4
        raise Refused(
            "The dataset {dataset} has grown by more than a room takes in: {most} rows after its last version.",
            "Bring it in steps, or agree on a new contract.",
            dataset=dataset,
            most=most,
        )


def _earlier(history: Sequence[Seen], now: Seen) -> list[Seen]:
    """The runs of the same dataset in the 30 days before, in their order; one said to be later counts as well."""
    same = (now.version.owner, now.version.name)
    since = now.time - EPOCH
    found = [seen for seen in history if (seen.version.owner, seen.version.name) == same and seen.time > since]
    return sorted(found, key=lambda seen: seen.time)
