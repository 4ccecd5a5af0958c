"""A market to work in: a merchant, a platform and a neutral operator with made-up people, and a room for marketers.

All data are synthetic. The merchant has members and their orders; the platform the private domain of these and of
others, as events folded to the standard columns. The room allows boards, plans, crowds in all channels, and lists.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom import datasets
from cleanroom.campaigns import slots
from cleanroom.crowds import channels
from cleanroom.crowds.reading import report_day
from cleanroom.demo import crm, data
from cleanroom.demo.domain import Platform, write
from cleanroom.demo.people import Ints
from cleanroom.demo.purchases import CUSTOMERS, deal
from cleanroom.home import Home
from cleanroom.overlap.asked import OPERATOR
from cleanroom.overlap.run import home_paths, make_homes
from cleanroom.rooms import cards
from cleanroom.rooms.assembly import Plan, assemble
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.signing import for_party, with_signature
from cleanroom.rooms.store import Room
from cleanroom.rooms.terms import Marketing, Slots

ROOM, CRM, USERS = "market", "crm", "users"
PURPOSE = "marketing to members"
CAMPAIGNS = 2
"""How many the room's contract has columns for: every version of its datasets has them."""
SHARED, USERS_A_MEMBER = 0.6, 1.6
"""Share of the merchant's people who are users; users for each of the merchant's people."""
MEMBERS = ("level", "gender", "city")
"""The merchant's columns that may define whom the platform addresses."""
PLANNED = ("crm.level", "users.stage_30d", "users.paid_last", "users.rfm", "users.spend_30d", "users.value_band",
           "users.coupon_30d", "users.gender", "users.age_band", "users.city_tier", "users.province", "users.city",
           "users.subscribed", "users.visited_last", "users.reach", "users.consent")  # fmt: skip
"""What plans of the match are of; boards are of all columns."""

Step = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class Market:
    """home: the merchant's, its peers' inside; orders: its purchases, a CSV; events: the platform's, with its users'
    table, a folder of Parquet; as_of: the last day of both; people: the running index of each user's person."""

    home: Path
    platform: Path
    as_of: dt.date
    orders: Path
    events: Path
    people: Ints


def build(folder: Path, as_of: dt.date | None = None, scale: float = 0.5, step: Step | None = None) -> Market:
    """Homes, data and the room, in the new folder. scale 1: 23,570 members, 37,712 users."""
    say: Step = step or (lambda *_: None)
    day = as_of or report_day()
    homes = home_paths(folder, operator=True)
    make_homes(homes)
    files = folder / "sample-data"
    files.mkdir(mode=0o700)
    bought = deal(round(CUSTOMERS * scale), day)
    orders, export, events = files / "orders.csv", files / "members.csv", files / "platform"
    data.write_csv(orders, data.orders(bought), "utf-8-sig")
    data.write_csv(export, crm.rows(crm.enrol(bought)), "utf-8")
    people = _people(bought.people)
    say("platform", "events", 0, 0)
    write(Platform(len(people), day, people=lambda rows: people[rows]), events)
    datasets.add(homes["merchant"], str(export), CRM, "phone", None, None, None, None, say)
    datasets.add(homes["platform"], str(events), USERS, "phone", None, None, "private-domain", day.isoformat(), say)
    slots.prepare(homes["merchant"], CRM, "merchant", CAMPAIGNS)
    slots.prepare(homes["platform"], USERS, "platform", CAMPAIGNS)
    _agree({name: Home.open(path) for name, path in homes.items()})
    return Market(homes["merchant"], homes["platform"], day, orders, events, people)


def _people(members: int) -> Ints:
    """Who the platform's users are: some of the members, and others, mixed."""
    stream = np.random.default_rng(20_260_303)
    both = stream.choice(members, round(SHARED * members), replace=False)
    others = np.arange(round(USERS_A_MEMBER * members) - len(both)) + members + CUSTOMERS
    return stream.permutation(np.concatenate([both, others]))


def _agree(homes: dict[str, Home]) -> None:
    """The contract, drafted of their cards and signed by all."""
    own = _card(homes["merchant"], "merchant", CRM, MEMBERS)
    theirs = _card(homes["platform"], "platform", USERS, ())
    operator = cards.parse(cards.make(homes[OPERATOR], "operator", None), OPERATOR)
    there = {f"{each.offer['name']}.{column['name']}" for each in (own, theirs) if each.offer
             for column in each.offer["columns"]}  # fmt: skip
    planned = tuple(name for name in PLANNED if name in there)
    marketing = Marketing(tuple(channels.CHANNELS), lists=True, boards=True, planned=planned)
    plan = Plan(ROOM, "keyed", theirs.party.name, 100, PURPOSE, marketing=marketing)
    contract, annexes = assemble(plan, (own, theirs), operator.party, [_slots(own), _slots(theirs)])
    room = Room(SignedContract(contract), annexes)
    for home in homes.values():
        room = with_signature(home, room)
    for home in homes.values():
        keep(home, for_party(home.party, room))


def _card(home: Home, role: str, dataset: str, members: tuple[str, ...]) -> cards.Card:
    return cards.parse(cards.make(home, role, dataset, members), home.party)


def _slots(card: cards.Card) -> Slots:
    offer: Any = card.offer
    sums = tuple(column["name"] for column in offer["columns"] if column["kind"] == "amount")
    return Slots(offer["name"], (), sums, **cards.paillier(offer))
