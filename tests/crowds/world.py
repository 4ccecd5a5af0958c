"""A room in which crowds can be made: a merchant's members, a platform's users, made-up people that the tests know."""

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cleanroom.activation import memberships
from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, from_plain, gathered, to_plain
from cleanroom.rooms.terms import Activation
from tests.near import new_home
from tests.room.world import csv, reference

ROOM = "overlap"
ENDS = (memberships.today_in_china() + dt.timedelta(days=27)).isoformat()
"""When what is given ends."""
LEVELS, STAGES, CITIES = ("gold", "silver", "basic"), ("none", "visit", "pay"), ("Hangzhou", "Shanghai")
MEMBERS, USERS, SHARED = 6_000, 8_000, 5_000


@dataclass(frozen=True)
class World:
    """homes by party; phones of both sides by row; level of members, stage and city of users, as cell labels."""

    homes: dict[str, Home]
    room: Room
    members: list[str]
    users: list[str]
    level: list[str]
    stage: list[str]
    city: list[str]

    @property
    def merchant(self) -> Path:
        """Its home's path."""
        return self.homes["merchant"].path

    def meant(self, level: tuple[str, ...] = LEVELS, stage: tuple[str, ...] = STAGES) -> set[str]:
        """Phones of the people of both sides who have one of these."""
        own = {phone for phone, each in zip(self.members, self.level, strict=True) if each in level}
        return own & {phone for phone, each in zip(self.users, self.stage, strict=True) if each in stage}


def phones(first: int, count: int) -> list[str]:
    """Made-up numbers."""
    return [f"139{number:08d}" for number in range(first, first + count)]


def build(folder: Path, protocol: str = "keyed", *, lists: bool = True, sigma: int = 5,
          members: tuple[str, ...] = ("level",)) -> World:  # fmt: skip
    """The first SHARED users are the first SHARED members. members: columns that may define who is addressed."""
    random = np.random.default_rng(7)
    level = random.choice(LEVELS, MEMBERS, p=[0.3, 0.4, 0.3]).tolist()
    stage = random.choice(STAGES, USERS, p=[0.3, 0.4, 0.3]).tolist()
    city = random.choice(CITIES, USERS).tolist()
    own, theirs = phones(0, MEMBERS), phones(0, SHARED) + phones(50_000_000, USERS - SHARED)
    files = {
        "merchant": csv(folder / "crm.csv", {"phone": own, "level": level}),
        "platform": csv(folder / "users.csv", {"phone": theirs, "stage": stage, "city": city}),
    }
    asked = Overlap(files["merchant"], files["platform"], by=("merchant.level", "platform.stage", "platform.city"),
                    receiver="platform", operator=protocol == "keyed",
                    datasets={"merchant": "crm", "platform": "users"}, noise=True)  # fmt: skip
    names = [*SIDES, OPERATOR] if protocol == "keyed" else list(SIDES)
    homes = {name: new_home(folder / name, name) for name in names}
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    by = [reference(asked, name) for name in asked.by]
    imports = {side: jobs[side].job_import(**asked.wish(side), **columns_of(side, by, [])) for side in SIDES}
    wanted = {side: columns_of(side, by, []) for side in SIDES}
    proposed = {side: jobs[side].job_propose(asked.datasets[side], **wanted[side], most=20, least=50) for side in SIDES}
    keys = {name: job.job_keys(0) for name, job in jobs.items()}
    contract, annexes = draft_contract(asked, protocol, keys, imports, proposed, by, [], [])
    datasets = tuple(
        replace(each, rows=12_000, columns=tuple(replace(c, members=c.name in members) for c in each.columns))
        for each in contract.datasets
    )
    contract = replace(
        contract, datasets=datasets, release=replace(contract.release, sigma=sigma, epsilon=100),
        activation=Activation("platform", ("coupon", "message"), lists=lists),
    )  # fmt: skip
    unsigned = Room(SignedContract(contract), annexes)
    signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in homes]
    room = gathered(unsigned, [from_plain(one) for one in signed])
    for name in homes:
        jobs[name].job_keep(to_plain(room, for_operator=name == OPERATOR))
    return World(homes, room, own, theirs, level, stage, city)
