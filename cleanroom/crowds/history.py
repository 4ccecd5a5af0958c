"""A crowd's versions, and two of them side by side: ranges only. Of own lists, being own data, the exact changes."""

import math
from dataclasses import dataclass

from cleanroom.crowds.crowd import Crowd, Version
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.selection import Listed, from_plain
from cleanroom.errors import UsageError
from cleanroom.plan.consistency import NORMAL_95
from cleanroom.privacy.ranges import Range, size_range

MORE, FEWER, ALIKE, UNKNOWN = "more", "fewer", "alike", "unknown"


@dataclass(frozen=True)
class Difference:
    """direction: more, fewer, alike (noise alone explains what there is), or unknown, where a size was read from a plan
    or is below the floor; by: how much, as a range, where it is more or fewer; lists: of every own list of the rule how
    many people came and went, exactly."""

    before: Version
    after: Version
    direction: str
    by: Range | None
    lists: dict[str, tuple[int, int]]
    same: bool
    """Whether both mean the same people by the same lists: then only the data differ."""


def difference(lists: Lists, crowd: Crowd, before: str, after: str, least: int) -> Difference:
    """Of two versions, yyyyMMdd. least: changes below it are told as such. Raises UsageError for one there is not."""
    one, two = (_version(crowd, day) for day in (before, after))
    direction, by = UNKNOWN, None
    if one.sigma and two.sigma and not (one.size.withheld or two.size.withheld):
        change = two.noised - one.noised
        noise = math.ceil(NORMAL_95 * math.hypot(one.sigma, two.sigma))
        direction = ALIKE if abs(change) <= noise else MORE if change > 0 else FEWER
        by = None if direction == ALIKE else size_range(abs(change), least)
    return Difference(one, two, direction, by, _lists(lists, one, two), one.selection == two.selection)


def _version(crowd: Crowd, day: str) -> Version:
    found = crowd.version(day)
    if found is None:
        raise UsageError("The crowd {code} has no version of {day}.", "It has: {days}.", code=crowd.code, day=day[:8],
                         days=", ".join(each.day for each in crowd.versions) or "–")  # fmt: skip
    return found


def _lists(lists: Lists, one: Version, two: Version) -> dict[str, tuple[int, int]]:
    """By code, of lists that both versions name and this home still has in both."""
    days = [_days(each) for each in (one, two)]
    kept = {head.code: head.days for head in lists.names()}
    found = {}
    for code in sorted(days[0].keys() & days[1].keys() & kept.keys()):
        before, after = days[0][code], days[1][code]
        if {before, after} <= set(kept[code]):
            found[code] = lists.changes(code, before, after)
    return found


def _days(version: Version) -> dict[str, str]:
    literals = (each for box in from_plain(version.selection).boxes for each in box)
    named = (each.code.partition("@") for each in literals if isinstance(each, Listed))
    return {code: day for code, _, day in named if day}
