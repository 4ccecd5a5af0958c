"""What a rule is read against at a home: the room's columns, this party's lists and crowds, and the day."""

import datetime as dt
from collections.abc import Callable, Mapping

from cleanroom.crowds import lists as own_lists
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.pools import Meaning, selection_of
from cleanroom.crowds.rule import Rule
from cleanroom.crowds.selection import Selection
from cleanroom.crowds.store import Crowds
from cleanroom.errors import Refused, UsageError
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.rooms.store import Room


def understood(home: Home, room: Room, rule: Rule) -> Selection:
    """Whom the rule means, to see whether it can be meant at all; its lists are named without a version.

    Raises as `selection_of`, and Refused for a party that brings no data.
    """
    lists = Lists(home)

    def known(code: str) -> str:
        return lists.head(code.partition("@")[0]).code

    return selection_of(rule, meaning(home, room, known))


def frozen(home: Home, room: Room, rule: Rule, pins: Mapping[str, str] | None = None) -> Selection:
    """Whom the rule means today, lists at their versions of today, or of the day that `pins` (code → yyyyMMdd) says."""
    lists, days, today = Lists(home), pins or {}, own_lists.today()

    def pinned(code: str) -> str:
        return f"{code}@{days[code]}" if code in days else lists.pinned(code, today)

    return selection_of(rule, meaning(home, room, pinned))


def meaning(home: Home, room: Room, pinned: Callable[[str], str]) -> Meaning:
    """What a rule is read against."""
    contract, crowds = room.contract, Crowds(home)
    if home.party not in contract.owners:
        raise Refused("Only an owner of data makes crowds.")
    today = own_lists.today()

    def rule_of(code: str) -> Rule:
        crowd = crowds.get(code)
        if crowd.room != contract.room:
            raise UsageError("The crowd {code} is of the room {room}.", "Crowds of one room are combined.",
                             code=code, room=crowd.room)  # fmt: skip
        check_usable(crowd.code, crowd.status(today), crowd.ends)
        if crowd.kind == "spread":
            raise Refused("Who is in the lookalike {code} is known to the other side alone.",
                          "Combine its seed instead.", code=crowd.code)  # fmt: skip
        return crowd.rule

    return Meaning(Schema.of(contract, room.annexes or ()), contract.dataset_of(home.party).name, rule_of, pinned)


def check_usable(code: str, status: str, ends: str) -> None:
    """Raises Refused for a crowd that is expired or archived."""
    if status == "expired":
        raise Refused("The crowd {code} expired: {day} was its last day.", "Create it again.", code=code, day=ends)
    if status == "archived":
        raise Refused("The crowd {code} is archived.", "Create it again.", code=code)


def report_day() -> dt.date:
    """The day that data are as of: yesterday."""
    return own_lists.today() - dt.timedelta(days=1)
