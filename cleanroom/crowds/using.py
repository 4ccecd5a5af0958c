"""What is done with a crowd that there is: its size, its version of a day, and giving it to whoever addresses people.

A version is frozen when it is made: its lists, its selection, its size. Everything that counts people goes through the
room's plan, or through a run that is charged; nothing here sees a member.
"""

import datetime as dt
import hashlib
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from cleanroom.crowds import lists as own_lists
from cleanroom.crowds import sizes, spreading
from cleanroom.crowds.crowd import Crowd, Size, Task, Version
from cleanroom.crowds.guards import guarded
from cleanroom.crowds.history import Difference, difference
from cleanroom.crowds.lists import DAY, Lists
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.reading import check_usable, frozen, report_day
from cleanroom.crowds.rule import Rule
from cleanroom.crowds.running import price as priced
from cleanroom.crowds.running import run as released
from cleanroom.crowds.selection import Listed, Selection, from_plain, members_only_by
from cleanroom.crowds.store import Crowds
from cleanroom.errors import KNOWN, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.parties import Meeting, usual
from cleanroom.querying import opened
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room
from cleanroom.rooms.terms import Activation

MOST_TASKS = 1_000
"""Kept of one crowd; older ones go."""


def estimate(path: Path, room: str, rule: Rule, *, charge: bool = True, meeting: Meeting = usual) -> Size:
    """How many people the rule means, as a range: free where a plan tells, else charged; charge false: refused then."""
    home, held = opened(path, room)
    return sizes.size_of(home, held, frozen(home, held, rule), charge=charge, meeting=meeting)[0]


def price(path: Path, room: str, rule: Rule) -> dict[str, Any]:
    """What `estimate` would cost: nothing, where a plan tells. Nothing is charged here."""
    home, held = opened(path, room)
    selection = frozen(home, held, rule)
    free = sizes.by_plan(home, held, selection) is not None
    return {"free": True, "rho_micro": 0} if free else {"free": False, **priced(path.expanduser(), room)}


def refresh(path: Path, code: str, day: dt.date | None = None, *, charge: bool = True,
            meeting: Meeting = usual) -> Version:  # fmt: skip
    """The crowd's version of a day (yesterday, as data are), made now unless there is one; frozen.

    Raises Refused for an expired or archived crowd, UsageError for a day to come or before its last version.
    """
    home = Home.open(path.expanduser())
    crowds = Crowds(home)
    crowd, name = _current(crowds, code), (day or report_day()).strftime(DAY)
    if crowd.kind == "spread":
        return spreading.made(home, crowd)
    if (there := crowd.version(name)) is not None:
        return there
    if (day or report_day()) > own_lists.today() or (crowd.versions and name < crowd.versions[-1].day):
        raise UsageError("A version is of a day after the last one, and not of one to come.")
    _, room = opened(path, crowd.room)
    selection = frozen(home, room, crowd.rule)
    size, found = sizes.size_of(home, room, selection, charge=charge, meeting=meeting)
    made = Version(
        name, _now(), selection.plain(), size, found.people if found else 0, found.sigma if found else 0
    )  # fmt: skip

    def with_version(held: Crowd) -> Crowd:
        return held if held.version(name) else replace(held, versions=(*held.versions, made))

    return _version(crowds.change(code, with_version), name)


def history(path: Path, code: str) -> tuple[Version, ...]:
    """The crowd's versions, oldest first."""
    return Crowds(Home.open(path.expanduser())).get(code).versions


def diff(path: Path, code: str, day_a: str, day_b: str) -> Difference:
    """Two versions (yyyyMMdd) side by side, as ranges."""
    home = Home.open(path.expanduser())
    crowd = Crowds(home).get(code)
    _, room = opened(path, crowd.room)
    return difference(Lists(home), crowd, day_a, day_b, room.contract.release.k)


def activate(path: Path, code: str, channel: str, purpose: str, *, meeting: Meeting = usual,
             out_no: str = "", day: dt.date | None = None) -> Task:  # fmt: skip
    """Give the crowd's version of a day (yesterday's, made where there is none) to whoever addresses people.

    The same out_no again gives the same task, or goes on with one that failed. Raises Refused for what crowd or
    contract do not allow, before anything is charged; nothing is half-made: what fails is a task that failed.
    """
    home = Home.open(path.expanduser())
    crowds = Crowds(home)
    crowd = _current(crowds, code)
    if (there := _task(crowds, out_no)) is not None:
        if (there.crowd, there.channel, there.purpose) != (code, channel, purpose):
            raise Refused("The number {number} means another activation already.", "Choose another.", number=out_no)
        if there.status in ("done", "small"):
            return there
    _, room = opened(path, crowd.room)
    term = _allowed(room.contract, crowd, channel, purpose)
    if crowd.kind == "spread":
        return _given_already(home, crowds, crowd, channel, purpose, out_no)
    version = _version_for(path, home, room, crowd, day)
    selection = _guarded(home, room, crowd, version)
    members_only_by(room.contract, selection, term.receiver)
    number = there.number if there else f"T{secrets.token_hex(8)}"
    begun = Task(number, out_no, code, channel, purpose, version.day, "running", _now())
    _keep(crowds, begun)
    note = CrowdNote(code, version.day, crowd.name, channel, purpose, min(crowd.ends, room.contract.expires[:10]))
    try:
        found = released(home.path, crowd.room, selection, note=note, meeting=meeting)
    except KNOWN as error:
        _keep(crowds, replace(begun, status="failed", error=_word(error)))
        raise
    size = sizes.of_run(room.contract, found)
    return _keep(crowds, replace(begun, status="done" if found.enough else "small", size=size))


def task(path: Path, out_no: str) -> Task:
    """An activation by the asker's number or ours. Raises UsageError where there is none."""
    found = _task(Crowds(Home.open(path.expanduser())), out_no)
    if found is None:
        raise UsageError("There is no activation {number}.", number=out_no[:64])
    return found


def crowd_of(home: Home, code: str) -> Crowd:
    """The crowd of that code."""
    return Crowds(home).get(code)


def _current(crowds: Crowds, code: str) -> Crowd:
    """The crowd, where it can still be used."""
    crowd = crowds.get(code)
    check_usable(code, crowd.status(own_lists.today()), crowd.ends)
    return crowd


def _version(crowd: Crowd, day: str) -> Version:
    found = crowd.version(day)
    if found is None:
        raise UsageError("The crowd {code} has no version of {day}.", code=crowd.code, day=day)
    return found


def _allowed(contract: Contract, crowd: Crowd, channel: str, purpose: str) -> Activation:
    """The contract's term. Raises Refused."""
    term = contract.activation
    if term is None:
        raise Refused("The contract of this room lets no crowd be made.", "Agree on an [activation] in the contract.")
    for allowed in (crowd.channels or term.channels, term.channels):
        if channel not in allowed:
            raise Refused("The crowd {code} is not for the channel {channel}.", "It is for: {channels}.",
                          code=crowd.code, channel=channel[:64], channels=", ".join(allowed))  # fmt: skip
    if purpose not in contract.purposes:
        raise Refused("The contract has no purpose {purpose}.", "It has: {purposes}.",
                      purpose=purpose[:64], purposes=", ".join(contract.purposes))  # fmt: skip
    return term


def _version_for(path: Path, home: Home, room: Room, crowd: Crowd, day: dt.date | None) -> Version:
    """The version that is activated; one made for it alone has the size that the activation itself releases."""
    name = (day or report_day()).strftime(DAY)
    if (there := crowd.version(name)) is not None:
        return there
    selection = frozen(home, room, crowd.rule)
    if sizes.by_plan(home, room, selection) is not None:
        return refresh(path, crowd.code, day)
    return Version(name, _now(), selection.plain(), Size(0, 0, withheld=True, source="run", made=_now()[:10]))


def _given_already(home: Home, crowds: Crowds, crowd: Crowd, channel: str, purpose: str, out_no: str) -> Task:
    """A lookalike was given when it was made, for all its channels: that is told."""
    version = spreading.made(home, crowd)
    number, status = f"T{secrets.token_hex(8)}", "small" if version.size.withheld else "done"
    return _keep(crowds, Task(number, out_no, crowd.code, channel, purpose, version.day, status, _now(), version.size))


def _guarded(home: Home, room: Room, crowd: Crowd, version: Version) -> Selection:
    """Whom the version means, less whom the room's activations leave out."""
    literals = (each for box in from_plain(version.selection).boxes for each in box)
    named = (each.code.partition("@") for each in literals if isinstance(each, Listed))
    pins = {code: day for code, _, day in named if day}
    return frozen(home, room, guarded(home, room, crowd.rule), pins)


def _task(crowds: Crowds, number: str) -> Task | None:
    for entry in crowds.entries() if number else ():
        for each in crowds.get(entry.code).tasks:
            if number in (each.number, each.out_no):
                return each
    return None


def _keep(crowds: Crowds, made: Task) -> Task:
    """The task as it stands, durably."""

    def with_task(crowd: Crowd) -> Crowd:
        others = [each for each in crowd.tasks if each.number != made.number]
        return replace(crowd, tasks=(*others, made)[-MOST_TASKS:])

    crowds.change(made.crowd, with_task)
    return made


def _word(error: BaseException) -> str:
    return error.code if isinstance(error, CleanroomError) else "peer"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def unattended(crowd: str, channel: str, day: dt.date) -> str:
    """The number of a day's activation by a schedule: the same day again is the same one."""
    return hashlib.sha256(f"cleanroom/daily/1 {crowd} {channel} {day.isoformat()}".encode()).hexdigest()[:32]
