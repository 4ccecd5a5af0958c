"""What a campaign leaves behind: who was reached, engaged and paid, as tags that crowds and portraits can name.

The tags are the campaign's own columns of the room's datasets, so that nothing new has to be agreed on. No person
stands here, and no number.
"""

from dataclasses import dataclass

from cleanroom.campaigns.store import Campaigns, Record
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Rooms

TAGS = {
    "reached": ("exposed", "yes", "Reached by {campaign}"),
    "engaged": ("engaged", "yes", "Engaged with {campaign}"),
    "paying": ("paid_after", "yes", "Paid after {campaign}"),
    "treated": ("arm", "treated", "In {campaign}"),
    "held-out": ("arm", "holdout", "Held out of {campaign}"),
}
"""Name of the tag → column of the slot, its value, what it is called."""


@dataclass(frozen=True)
class Asset:
    """A tag. where: an SQL condition over the room's columns, fit for a crowd's rule; column: dataset.column, fit for a
    portrait; value: of it; title: for people, in the current language; since: the campaign's first day."""

    room: str
    campaign: str
    tag: str
    column: str
    value: str
    where: str
    title: str
    since: str


def assets(home: Home, room: str = "") -> tuple[Asset, ...]:
    """Of all campaigns of this home that were started, of all its rooms or one: those whose columns its contract has.

    The columns hold a campaign until another takes its slot.
    """
    rooms = Rooms(home.rooms)
    names = [room] if room else sorted(rooms.names())
    found: list[Asset] = []
    for name in names:
        contract = rooms.load(name).contract
        newest: dict[int, Record] = {}
        for record in sorted(Campaigns(home, name).all(), key=lambda each: each.starts):
            if record.starts:
                newest[record.terms.slot] = record
        found += [asset for record in newest.values() for asset in _of(contract, record)]
    return tuple(found)


def _of(contract: Contract, record: Record) -> list[Asset]:
    made = []
    for tag, (column, value, title) in TAGS.items():
        name = record.terms.column(column)
        owner = next((each.name for each in contract.datasets if name in {own.name for own in each.columns}), None)
        if owner is not None:
            made.append(Asset(
                contract.room, record.terms.name, tag, f"{owner}.{name}", value, f"{owner}.{name} = '{value}'",
                t(title, campaign=record.terms.name), record.starts,
            ))  # fmt: skip
    return made
