"""A campaign as both sides know it: whom, where, how long, how much is held out, which columns hold what came of it.

The terms are the same in both homes; what a home did of it stands beside them (`store`). No person stands here.
"""

import datetime as dt
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from cleanroom import canonical
from cleanroom.campaigns.arms import LEAST_SHARE, MOST_SHARE
from cleanroom.crowds import channels
from cleanroom.errors import BadData, UsageError

FORMAT = "cleanroom-campaign/1"
SLOTS = (1, 2, 3, 4)
MOST_DAYS = 90
MOST_CLAMP = 10_000_000
_NAME = re.compile(r"[^\W\d_][\w-]{0,63}")


@dataclass(frozen=True)
class Terms:
    """crowd: its code; channel, purpose: of the contract; days: how long after the start outcomes count; held_out: of a
    thousand members; slot: which of the datasets' campaign columns; strata: columns of who addresses people, within
    whose values arms are drawn; clamp: the most that a person's spend counts, minor units. Raises UsageError.
    """

    name: str
    room: str
    crowd: str
    channel: str
    purpose: str
    days: int = 14
    held_out: int = 100
    slot: int = 1
    strata: tuple[str, ...] = ()
    clamp: int = 50_000

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError("A campaign's name has letters, digits, - and _, at most 64, and starts with a letter.")
        channels.check([self.channel])
        if not 1 <= self.days <= MOST_DAYS:
            raise UsageError("A campaign's window is 1 to {most} days.", most=MOST_DAYS)
        if self.held_out and not LEAST_SHARE <= self.held_out <= MOST_SHARE:
            raise UsageError("Held out is a share of 0.01 to 0.9.")
        if self.slot not in SLOTS:
            raise UsageError("A campaign uses one of the slots 1 to 4.")
        if not 100 <= self.clamp <= MOST_CLAMP:
            raise UsageError("The most that a person's spend counts is 1 to {most}.", most=MOST_CLAMP // 100)

    @property
    def share(self) -> float:
        """Of the members, held out."""
        return self.held_out / 1000

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON, with its version."""
        return {"format": FORMAT, **asdict(self), "strata": list(self.strata)}

    def digest(self) -> str:
        """SHA-256 in hex."""
        return canonical.digest(FORMAT, self.plain())

    def column(self, name: str) -> str:
        """A column of this campaign's slot, as arm → arm_1."""
        return f"{name}_{self.slot}"


def terms_of(value: Any) -> Terms:
    """Of `Terms.plain`. Raises BadData for another format or version."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadData("A campaign is of an unknown version.", "Update this program.")
    try:
        known = {each.name for each in fields(Terms)} | {"format"}
        if value.keys() != known:
            raise BadData("A campaign is damaged.", "Create it again.")
        given = {name: each for name, each in value.items() if name != "format"}
        return Terms(**{**given, "strata": tuple(given["strata"])})
    except (TypeError, UsageError) as error:
        raise BadData("A campaign is damaged.", "Create it again.") from error


def begun(day: str) -> dt.date:
    """The day of a start. Raises UsageError."""
    try:
        return dt.date.fromisoformat(day)
    except ValueError as error:
        raise UsageError("{given} is not a day.", "Write it as 2026-01-31.", given=day[:32]) from error
