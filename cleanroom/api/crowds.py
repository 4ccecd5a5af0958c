"""Crowds in a notebook: whom one means, taken together by | & -, how many they are, their versions and their use.

A crowd is a rule; nobody in it is ever listed here. Sizes are ranges, as everywhere. Until it is saved it is only
a thought: it can be estimated and taken together with others, but not activated.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom import lang, querying
from cleanroom.api import html
from cleanroom.api.figures import Figures
from cleanroom.crowds import desk, uploading
from cleanroom.crowds.channels import CHANNELS
from cleanroom.crowds.crowd import STATUSES, TASKS, Size, Task, Version
from cleanroom.crowds.crowd import Crowd as Kept
from cleanroom.crowds.history import Difference
from cleanroom.crowds.lists import today
from cleanroom.crowds.rule import Join, Node, Other, Pool, Rule, Tags
from cleanroom.crowds.telling import meant
from cleanroom.errors import KNOWN, UsageError
from cleanroom.home import Home
from cleanroom.lang import t

if TYPE_CHECKING:
    from cleanroom.api.rooms import Room


class Crowd:
    """People that a rule means, in one room.

    Example::

        gold = room.people("level = '金卡'")
        away = gold - room.people("visited_last = '1 day'")
        away.estimate()                                       # a range, from the room's plan: free
        crowd = away.save("gold, away", channels=["coupon"])
        crowd.refresh()
    """

    def __init__(self, room: "Room", rule: Rule, code: str = "") -> None:
        self.room, self.rule, self.code = room, rule, code

    # -- taken together

    def __or__(self, other: "Crowd") -> "Crowd":
        return self._joined(other, "union")

    def __and__(self, other: "Crowd") -> "Crowd":
        return self._joined(other, "intersection")

    def __sub__(self, other: "Crowd") -> "Crowd":
        return self._joined(other, "difference")

    def _joined(self, other: "Crowd", join: Join) -> "Crowd":
        if self.room.name != other.room.name or self.room.home != other.room.home:
            raise UsageError("Crowds of one room are taken together.")
        left, right = self._pools(), other._pools()
        if len(right) > 1 and join != "difference" and len(left) == 1:
            left, right = right, left  # of two that are joined both ways alike, the longer comes first
        if len(right) > 1:
            raise UsageError(
                "A rule joins its parts from the first to the last.", "Save the right side first: .save(…)"
            )
        return Crowd(self.room, Rule((*left, Pool(right[0].nodes, right[0].inside, join))))

    def _pools(self) -> tuple[Pool, ...]:
        return (Pool((Other(self.code),)),) if self.code else self.rule.pools

    # -- how many

    def estimate(self, *, charge: bool = False) -> Size:
        """How many, as a range. Free from the room's plan; where that cannot tell, charge=True counts it for its price.

        Raises Refused where it would be charged and `charge` is false.
        """
        return desk.estimate(self.room.home, self.room.name, self.rule, charge=charge, meeting=self.room.meeting)

    def price(self) -> dict[str, Any]:
        """What `estimate` would cost: free, or millionths of ρ."""
        return desk.price(self.room.home, self.room.name, self.rule)

    @property
    def understood(self) -> list[dict[str, list[str]]]:
        """The people meant, as alternatives: labels by column."""
        return meant(self.room.home, self.room.name, self.rule)

    # -- kept

    def save(self, name: str, *, channels: Sequence[str] = (), description: str = "", days: int = 90,
             external: str = "") -> "Crowd":  # fmt: skip
        """Keep it under a name. external: a code of your own; the same code and content give the crowd there is."""
        made = desk.create(self.room.home, self.room.name, name, rule=self.rule, channels=channels, days=days,
                           description=description, external=external)  # fmt: skip
        return of(self.room, made)

    @property
    def kept(self) -> Kept:
        """What is kept of it. Raises UsageError where it was not saved."""
        if not self.code:
            raise UsageError("The crowd was not saved yet.", "Run: crowd.save(name, channels=[…])")
        return desk.get(self.room.home, self.code)

    @property
    def name(self) -> str:
        """Empty until it is saved."""
        return self.kept.name if self.code else ""

    @property
    def status(self) -> str:
        """One of crowds.crowd.STATUSES; "new" until it is saved and refreshed."""
        return self.kept.status(today()) if self.code else "new"

    @property
    def size(self) -> Size | None:
        """Of the newest version; None where there is none."""
        return self.kept.size if self.code else None

    @property
    def versions(self) -> tuple[Version, ...]:
        """Oldest first."""
        return desk.history(self.room.home, self.kept.code)

    def refresh(self, day: dt.date | None = None, *, charge: bool = True) -> Version:
        """The version of a day (yesterday), frozen; charged where no plan tells its size (`price` says so before)."""
        return desk.refresh(self.room.home, self.kept.code, day, charge=charge, meeting=self.room.meeting)

    def diff(self, before: str, after: str) -> Difference:
        """Two versions (yyyyMMdd) side by side, as ranges."""
        return desk.diff(self.room.home, self.kept.code, before, after)

    def activate(self, channel: str, purpose: str = "", *, out_no: str = "", day: dt.date | None = None) -> Task:
        """Give it to whoever addresses people: charged, and one bit a person outside k and noise.

        purpose: of the contract; its only one by default. Raises Refused for what crowd or contract do not allow.
        """
        return desk.activate(self.room.home, self.kept.code, channel, self.room.purpose(purpose), out_no=out_no,
                             day=day, meeting=self.room.meeting)  # fmt: skip

    def archive(self) -> None:
        """An end for it."""
        desk.archive(self.room.home, self.kept.code)

    # -- shown

    def __repr__(self) -> str:
        return f"<Crowd {self.name or '(unsaved)'}: {told(self.size) if self.size else ' ∪ '.join(self._lines())}>"

    def _lines(self) -> list[str]:
        try:
            boxes = self.understood
        except KNOWN:  # of an archived crowd, or where a column went
            return []
        return [" · ".join(f"{name}: {', '.join(labels)}" for name, labels in box.items()) or t("everybody")
                for box in boxes]  # fmt: skip

    def _repr_html_(self) -> str:
        rule = html.title(t("People meant")) + html.items(self._lines())
        if not self.code:
            return html.box(rule, html.note(t("Not saved yet.")))
        kept = self.kept
        facts = {t("Crowd"): f"{kept.name}  {kept.code}", t("Room"): kept.room,
                 t("Status"): _word(STATUSES, self.status), t("Last day"): kept.ends,
                 t("Channels"): ", ".join(_word(CHANNELS, each) for each in kept.channels) or "–",
                 t("Size"): told(kept.size) if kept.size else "–"}  # fmt: skip
        tasks = [(each.version, _word(CHANNELS, each.channel), each.purpose, _word(TASKS, each.status))
                 for each in kept.tasks]  # fmt: skip
        heads = (t("day"), t("channel"), t("purpose"), t("status"))
        return html.box(html.facts(facts), rule, html.table(heads, tasks, t("Activations")) if tasks else "")


def people(room: "Room", *nodes: str | Node) -> Crowd:
    """Those of whom any of these holds; a text is a condition as after WHERE; none: everybody who matches."""
    found = tuple(Tags(each) if isinstance(each, str) else each for each in nodes)
    return Crowd(room, Rule((Pool(found or (Tags(""),)),)))


def uploaded(room: "Room", file: Path | str, name: str, *, on: str = "", channels: Sequence[str] = (),
             days: int = 90) -> Crowd:  # fmt: skip
    """A crowd of the people in a file; it is sealed in this home."""
    digests, _ = uploading.digests_of(room.home, room.name, str(file), on)
    matched = on or querying.opened(room.home, room.name)[1].contract.dataset_of(Home.open(room.home).party).identity
    return of(room, desk.create(room.home, room.name, name, digests=digests, identity=matched, channels=channels,
                                days=days))  # fmt: skip


def of(room: "Room", kept: Kept) -> Crowd:
    """As it is kept."""
    return Crowd(room, kept.rule, kept.code)


def found(room: "Room", code: str) -> Crowd:
    """The saved crowd of that code. Raises UsageError where this room has none."""
    kept = desk.get(room.home, code)
    if kept.room != room.name:
        raise UsageError("There is no crowd {code}.", "cleanroom crowd list shows them.", code=code[:64])
    return of(room, kept)


def listed(room: "Room") -> list[Crowd]:
    """The room's crowds, the newest first."""
    return [of(room, each) for each in desk.listed(room.home, room=room.name, size=desk.MOST_PAGE)[0]]


def compared(crowds: Sequence[Crowd]) -> Figures:
    """Crowds side by side: a range each, from the plan where it tells."""
    lines = [{t("Crowd"): each.name or " ∪ ".join(each._lines()), t("Size"): told(each.size or each.estimate())}
             for each in crowds]  # fmt: skip
    return Figures(lines, t("Sizes are ranges of noised numbers."))


def told(size: Size) -> str:
    """A size and where it is from."""
    if size.source == "run":
        source = t("counted, with noise")
    elif size.estimated:
        source = t("estimated from the plan of {day}", day=size.made)
    else:
        source = t("from the plan of {day}", day=size.made)
    return f"{size.text} ({source})"


def _word(words: Any, name: str) -> str:
    titles = words.get(name, (name, name))
    return str(titles[0 if lang.current() == "zh" else 1])
