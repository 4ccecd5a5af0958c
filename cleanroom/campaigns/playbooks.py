"""Playbooks: a preset crowd, channel, holdout and window for what merchants mostly want, and the lift it can show.

    first-order 拉新转化     repurchase 复购提升     win-back 流失召回
A playbook is conditions over the standard columns; those that a room lacks are left out and named, but for the first,
without which it would mean somebody else. Starting one makes a crowd and a campaign, and nobody is sent anything by it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.campaigns import running
from cleanroom.campaigns.campaign import SLOTS, Terms
from cleanroom.campaigns.power import smallest
from cleanroom.campaigns.store import Campaigns
from cleanroom.crowds import rule as rules
from cleanroom.errors import Refused, UsageError
from cleanroom.node.parties import Meeting, usual
from cleanroom.querying import opened
from cleanroom.rooms.store import Room


@dataclass(frozen=True)
class Condition:
    """A column's values, of which a person has one."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Playbook:
    """zh, en: its name; aim_zh, aim_en: what it is for; conditions: the first is needed; base: share that pays anyway,
    where nobody knows better; held_out: of a thousand; days: window."""

    name: str
    zh: str
    en: str
    aim_zh: str
    aim_en: str
    conditions: tuple[Condition, ...]
    channel: str
    held_out: int
    days: int
    base: float


PLAYBOOKS = {
    each.name: each
    for each in (
        Playbook(
            "first-order", "拉新转化", "First order",
            "来过或互动过、但从未付款的可触达用户，促成首单",
            "Reachable people who visited or interacted and never paid: a first order",
            (Condition("paid_last", ("never",)), Condition("stage_30d", ("visit", "interact")),
             Condition("reach", ("yes",)), Condition("consent", ("yes",))),
            "coupon", 100, 14, 0.02,
        ),
        Playbook(
            "repurchase", "复购提升", "Repurchase",
            "90 天内付过一两次款、最近一周没有付款的可触达用户，促成再次购买",
            "Reachable people who paid on one or two days of the last 90 and not in the last week: another order",
            (Condition("pay_days_90d", ("1", "2")), Condition("paid_last", ("8-30 days", "31-90 days")),
             Condition("reach", ("yes",)), Condition("consent", ("yes",))),
            "message", 100, 14, 0.06,
        ),
        Playbook(
            "win-back", "流失召回", "Win back",
            "付过款、但 90 天以上没有再付的用户，召回",
            "People who paid once and not for more than 90 days: bring them back",
            (Condition("paid_last", ("91+ days",)), Condition("visited_last", ("31-90 days", "91+ days")),
             Condition("consent", ("yes",))),
            "commercial-promotion", 150, 30, 0.015,
        ),
    )
}  # fmt: skip


EXAMPLES = (10_000, 100_000)
"""Sizes of crowds at which the smallest lift is told where the real one is not known."""


def find(name: str) -> Playbook:
    """By its name, Chinese or English. Raises UsageError."""
    for each in PLAYBOOKS.values():
        if name.casefold() in (each.name, each.zh, each.en.casefold()):
            return each
    raise UsageError("There is no playbook {name}.", "There are: {known}.", name=name[:64], known=", ".join(PLAYBOOKS))


def where_of(book: Playbook, room: Room) -> tuple[str, tuple[str, ...]]:
    """(its rule as an SQL condition over the room's columns, the columns it would have used and which are not there).

    Raises Refused where the room lacks its first column, or all of that column's values.
    """
    parts: list[str] = []
    lacking: list[str] = []
    for condition in book.conditions:
        part = _part(condition, room)
        if part is None and not parts and not lacking:
            raise Refused("The room has no column {column} with the values that the playbook {name} is about.",
                          "Agree on it: cleanroom room change.", column=condition.column, name=book.name)  # fmt: skip
        if part is None:
            lacking.append(condition.column)
        else:
            parts.append(part)
    return " AND ".join(parts), tuple(lacking)


def _part(condition: Condition, room: Room) -> str | None:
    for annex in room.annexes or ():
        if annex.column == condition.column:
            known = [value for value in condition.values if value in annex.labels]
            quoted = ", ".join(f"'{value}'" for value in known)
            return f"{annex.dataset}.{annex.column} IN ({quoted})" if known else None
    return None


def shown(path: Path, room: str, name: str, *, base: float = 0.0) -> dict[str, Any]:
    """A playbook in this room: its rule, its size by the newest plan (None: no plan tells), the smallest lift that it
    can show at either edge of that size, or at EXAMPLES. Nothing is charged."""
    from cleanroom.crowds import desk

    book, held = find(name), opened(path, room)[1]
    where, lacking = where_of(book, held)
    told = {**plain(book), "room": room, "where": where, "lacking": list(lacking), "size": None, "smallest": []}
    edges: list[int] = list(EXAMPLES)
    try:
        size = desk.estimate(path, room, rules.simple(where), charge=False)
        edges = [] if size.withheld else sorted({size.low, size.high})
        told["size"] = {"range": [size.low, size.high], "withheld": size.withheld, "text": size.text}
    except Refused:
        pass  # no plan tells: examples stand for the size
    contract, count = held.contract, running.noise_draws(held.contract)
    found = [smallest(people, book.held_out / 1000, base or book.base, contract.release.sigma, draws=count,
                      k=contract.release.k) for people in edges if people > 1]  # fmt: skip
    told["smallest"] = [{"people": each.treated + each.held, **dataclasses.asdict(each)} for each in found]
    return told


def plain(book: Playbook) -> dict[str, Any]:
    """A playbook as plain values."""
    return {**dataclasses.asdict(book), "conditions": [
        {"column": each.column, "values": list(each.values)} for each in book.conditions
    ]}  # fmt: skip


def start(path: Path, room: str, name: str, *, purpose: str = "", channel: str = "", slot: int = 0,
          campaign: str = "", schedule: str = "") -> dict[str, Any]:  # fmt: skip
    """Make the playbook's crowd and its campaign; schedule: also give the crowd anew by it, unattended, at this node.

    The same again gives what there is. Nobody is addressed by it: that is `crowd activate`, or the schedule.
    """
    from cleanroom.crowds import desk

    book, (home, held) = find(name), opened(path, room)
    where, lacking = where_of(book, held)
    used = _channel(held, channel or book.channel)
    taken = [each.terms for each in Campaigns(home, room).all() if not each.closed]
    called = campaign or book.name
    slot = slot or next((each.slot for each in taken if each.name == called), 0) or _free(taken)
    terms = Terms(called, room, "new", used, purpose or held.contract.purposes[0], book.days, book.held_out, slot)
    running.check(held, terms)
    crowd = desk.create(path, room, book.en, rule=rules.simple(where), external=f"playbook/{room}/{called}",
                        channels=[used], description=book.aim_en)  # fmt: skip
    made = running.create(path, dataclasses.replace(terms, crowd=crowd.code))
    job = _scheduled(path, room, made, schedule) if schedule else ""
    return {"playbook": book.name, "where": where, "lacking": list(lacking), "campaign": made, "schedule": job}


def _scheduled(path: Path, room: str, made: dict[str, Any], spec: str) -> str:
    """The id of a schedule of this node that gives the crowd every day (cleanroom.crowds.daily)."""
    from cleanroom.home import Home
    from cleanroom.node.queue import Jobs
    from cleanroom.node.schedule import Schedules
    from cleanroom.node.state import State

    home = Home.open(path.expanduser())
    state = State.open(home)
    try:
        schedules = Schedules(state, Jobs(state))
        arguments = {"crowd": made["crowd"], "channel": made["channel"], "purpose": made["purpose"]}
        for held in schedules.listed():
            if (held.kind, held.room, held.arguments) == ("crowd", room, arguments):
                return held.id
        return schedules.add(spec, "crowd", room, arguments, home.party)
    finally:
        state.close()


def push(path: Path, room: str, campaign: str, *, meeting: Meeting = usual) -> dict[str, Any]:
    """The campaign's crowd of the day, given to whoever addresses people: what the schedule does, once and by hand.

    The same day again changes nothing, and costs nothing.
    """
    from cleanroom.crowds import desk, using
    from cleanroom.crowds.reading import report_day

    home, _ = opened(path, room)
    terms = Campaigns(home, room).load(campaign).terms
    day = report_day()
    number = using.unattended(terms.crowd, terms.channel, day)
    task = desk.activate(path, terms.crowd, terms.channel, terms.purpose, meeting=meeting, out_no=number, day=day)
    return {"campaign": campaign, "crowd": terms.crowd, "day": task.version, "task": task.number,
            "status": task.status, "size": task.size.text if task.size else None}  # fmt: skip


def _channel(room: Room, wanted: str) -> str:
    """The channel, or another that the contract allows where it does not allow this one."""
    term = room.contract.activation
    return wanted if term is None or wanted in term.channels else term.channels[0]


def _free(taken: Sequence[Terms]) -> int:
    used = {each.slot for each in taken}
    for slot in SLOTS:
        if slot not in used:
            return slot
    raise UsageError("All campaign slots of the room are used.", "Close a campaign: cleanroom campaign close.")
