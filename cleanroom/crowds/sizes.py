"""How large a crowd is, as a range: read from the room's plan for nothing where that can tell, else charged.

Edges are those of `privacy.ranges`; the noised size is put in its range, never a true one. Below the contract's floor
for addressing people nothing is said but that it is below.
"""

import datetime as dt
from pathlib import Path

from cleanroom.crowds.crowd import Size
from cleanroom.crowds.running import Found
from cleanroom.crowds.running import run as released
from cleanroom.crowds.selection import Listed, Selection
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.node.parties import Meeting, usual
from cleanroom.plan import reading
from cleanroom.plan.store import Plans
from cleanroom.privacy.ranges import size_range
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room


def floor(contract: Contract) -> int:
    """The least size of a crowd that is told: that of one that may be addressed, where the room addresses people."""
    term = contract.activation
    return contract.release.k if term is None else max(contract.release.k, term.floor)


def by_plan(home: Home, room: Room, selection: Selection) -> Size | None:
    """The size by the room's newest plan, free; None where no plan can tell: a list is named, a column is not in the
    plan, or columns cross in too many ways."""
    cube = Plans(home).latest(room.contract.room)
    if cube is None or cube.contract != room.contract.digest():
        return None
    where = []
    for box in selection.boxes:
        if any(isinstance(each, Listed) for each in box):
            return None
        where.append(tuple((each.column, each.cells) for each in box if not isinstance(each, Listed)))
    if not set(selection.columns) <= cube.columns.keys():
        return None
    try:
        found = reading.answer(cube, (), () if where == [()] else tuple(where))
    except Refused:
        return None
    people = found.groups[0].people if found.groups else None
    shown = size_range(people or 0, floor(room.contract))
    return Size(shown.low, shown.high, shown.withheld, "plan", found.made.date().isoformat(),
                estimated=found.estimated, receipt=found.receipt)  # fmt: skip


def of_run(contract: Contract, found: Found) -> Size:
    """The size that a crowd's run released."""
    shown = size_range(max(0, found.people), floor(contract))
    made = dt.datetime.now(dt.UTC).date().isoformat()
    return Size(shown.low, shown.high, shown.withheld, "run", made, charged=found.charged, receipt=found.receipt)


def size_of(home: Home, room: Room, selection: Selection, *, charge: bool = True,
            meeting: Meeting = usual) -> tuple[Size, Found | None]:  # fmt: skip
    """The size, and the run it is from where it needed one. Raises Refused where it needed one and `charge` is false,
    and as `running.run`."""
    free = by_plan(home, room, selection)
    if free is not None:
        return free, None
    if not charge:
        raise Refused("No plan of the room tells how large this crowd is: counting it is charged.",
                      "Ask with --charge, or make a plan: cleanroom plan make {room}",
                      room=room.contract.room)  # fmt: skip
    found = released(Path(home.path), room.contract.room, selection, meeting=meeting)
    return of_run(room.contract, found), found
