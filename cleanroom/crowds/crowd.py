"""A crowd: a rule, a version a day, an owner, channels, an expiry. Who is in it stands nowhere here."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cleanroom import canonical
from cleanroom.crowds import rule as rules
from cleanroom.crowds.rule import Rule
from cleanroom.errors import BadData
from cleanroom.privacy.ranges import Range

FORMAT = "cleanroom-crowd/1"
STATUSES: Mapping[str, tuple[str, str]] = {
    "new": ("未计算", "not counted yet"),
    "ready": ("可用", "ready"),
    "small": ("低于门槛", "below the floor"),
    "expired": ("已过期", "expired"),
    "archived": ("已归档", "archived"),
}
"""The words for how a crowd stands, with what people read; they stand here alone."""
TASKS: Mapping[str, tuple[str, str]] = {
    "running": ("进行中", "under way"),
    "done": ("已完成", "done"),
    "small": ("低于门槛，未投放", "below the floor, nobody was given"),
    "failed": ("失败", "failed"),
}
"""Those for an activation."""
KINDS = ("rule", "upload", "pool", "spread")
Kind = Literal["rule", "upload", "pool", "spread"]


@dataclass(frozen=True)
class Size:
    """How many people, as a range and nothing else; withheld: fewer than high + 1, and that is all that is said.

    source: plan (free), run (a charged release); estimated: the plan has no table of its own for it; made: the day of
    what it was read from; charged: whether it cost budget; receipt: the release that it comes from.
    """

    low: int
    high: int
    withheld: bool
    source: Literal["plan", "run"]
    made: str
    estimated: bool = False
    charged: bool = False
    receipt: str = ""

    @property
    def range(self) -> Range:
        """For people."""
        return Range(self.low, self.high, self.withheld)

    @property
    def text(self) -> str:
        """In the current language: '2,000–4,999', 'fewer than 1,000'."""
        return self.range.text()


@dataclass(frozen=True)
class Version:
    """A crowd on a day, frozen: day: yyyyMMdd; selection: whom it meant, as canonical JSON, lists at their versions.

    noised, sigma: the noised size, which is for differences of versions alone and is shown to nobody.
    """

    day: str
    made: str
    selection: list[Any]
    size: Size
    noised: int = 0
    sigma: int = 0


@dataclass(frozen=True)
class Task:
    """One activation. number: ours; out_no: the asker's; version: the crowd's day; error: the code of what failed."""

    number: str
    out_no: str
    crowd: str
    channel: str
    purpose: str
    version: str
    status: str
    made: str
    size: Size | None = None
    error: str = ""


@dataclass(frozen=True)
class Crowd:
    """code: C and 16 hex digits; created, ends: ISO days, `ends` being the last one; content: digest of what it was
    made of, by which the same external code is told to mean the same; lists: codes of its own lists."""

    code: str
    room: str
    name: str
    kind: str
    rule: Rule
    created: str
    ends: str
    owner: str
    external: str = ""
    channels: tuple[str, ...] = ()
    hidden: bool = False
    description: str = ""
    archived: bool = False
    content: str = ""
    lists: tuple[str, ...] = ()
    versions: tuple[Version, ...] = ()
    tasks: tuple[Task, ...] = ()

    @property
    def size(self) -> Size | None:
        """Of the newest version."""
        return self.versions[-1].size if self.versions else None

    def version(self, day: str) -> Version | None:
        """The one of that day."""
        return next((each for each in self.versions if each.day == day), None)

    def status(self, today: dt.date) -> str:
        """One of STATUSES."""
        if self.archived:
            return "archived"
        if today > dt.date.fromisoformat(self.ends):
            return "expired"
        if self.size is None:
            return "new"
        return "small" if self.size.withheld else "ready"

    def plain(self) -> dict[str, Any]:
        """As canonical JSON."""
        return {
            **{key: value for key, value in vars(self).items() if key not in ("versions", "tasks", "rule")},
            "format": FORMAT,
            "rule": self.rule.plain(),
            "channels": list(self.channels),
            "lists": list(self.lists),
            "versions": [{**vars(each), "size": vars(each.size)} for each in self.versions],
            "tasks": [{**vars(each), "size": each.size and vars(each.size)} for each in self.tasks],
        }


def from_plain(value: Any) -> Crowd:
    """Of `Crowd.plain`. Raises BadData."""
    try:
        if value["format"] != FORMAT:
            raise BadData("A crowd is of an unknown version.", "Update this program.")
        held = {key: each for key, each in value.items() if key != "format"}
        held["rule"] = rules.from_plain(held["rule"])
        held |= {name: tuple(held[name]) for name in ("channels", "lists")}
        held["versions"] = tuple(Version(**{**each, "size": Size(**each["size"])}) for each in held["versions"])
        held["tasks"] = tuple(
            Task(**{**each, "size": Size(**each["size"]) if each["size"] else None}) for each in held["tasks"]
        )
        return Crowd(**held)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadData("A crowd's file is damaged.", "Restore it from a backup.") from error


def fingerprint(*parts: canonical.Json) -> str:
    """SHA-256 in hex of what a crowd was made of."""
    return canonical.digest(FORMAT, list(parts))
