"""What is kept of crowds' people does not outlive its end, nor a person's wish to be forgotten."""

import datetime as dt

import numpy as np

from cleanroom import private_files
from cleanroom.activation import memberships, people, rules
from cleanroom.activation.sending import contacts_folder, lock
from cleanroom.activation.sends import Sends
from cleanroom.activation.tally import Tally, files
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.rooms.store import Rooms


def sweep(home: Home, today: dt.date | None = None) -> dict[str, int]:
    """Remove the members of versions whose last day is over or whose room is, the people of their sends (counts stay),
    and counts of contacts and versions that no rule looks at any more. How many of each were removed.

    To be called once a day. today: in China.
    """
    day = today or memberships.today_in_china()
    removed = {"versions": 0, "sends": 0, "contacts": 0}
    for room in Rooms(home.rooms).names():
        over = _is_over(home, room)
        for held in list(memberships.listed(home, room)):
            if over or held.last_day < day.isoformat():
                memberships.remove(home, held)
                removed["versions"] += 1
        sends = Sends(home, room)
        for plan in sends.each():
            if len(plan.keys) + len(plan.held) and (over or plan.ends < day.isoformat()):
                sends.remove_people(plan)
                removed["sends"] += 1
        month_before = (day.replace(day=1) - dt.timedelta(days=1)).strftime("%Y%m")
        for path in list(files(memberships.given_folder(home, room))):
            if path.name < month_before:
                path.unlink()
    first = (day - dt.timedelta(days=rules.load(home).days - 1)).strftime("%Y%m%d")
    for path in list(files(contacts_folder(home))):
        if path.name < first:
            path.unlink()
            removed["contacts"] += 1
    return removed


def forget_people(home: Home) -> None:
    """After people were forgotten: nothing that is kept of crowds, sends and contacts holds them any more.

    To be called after `Vault.forget`. Members stay as rows of the newest version.
    """
    every = [people.keys(home, name) for name in home.vault.datasets()]
    there = np.unique(np.concatenate([np.zeros(0, np.uint64), *every]))
    for room in Rooms(home.rooms).names():
        memberships.keep_only(home, room, there)
        with private_files.locked(lock(home)):
            Sends(home, room).keep_only(there)
    with private_files.locked(lock(home)):
        for path in files(contacts_folder(home)):
            Tally(home, path).keep_only(there)


def _is_over(home: Home, room: str) -> bool:
    """Whether the room was in force and is no longer."""
    try:
        Rooms(home.rooms).load(room).in_force(dt.datetime.now(dt.UTC))
    except Refused:
        return True
    return False
