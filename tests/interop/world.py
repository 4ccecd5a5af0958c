"""A room whose contract lets tokens out for a tool and provides for three keys; made-up people that the tests know."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, from_plain, gathered, to_plain
from tests.crowds.world import phones
from tests.near import new_home
from tests.room.world import csv, reference

ROOM = "overlap"
TOOL = "warehouse"
PURPOSES = (f"match tokens for {TOOL}", "three-key matching")
MEMBERS, USERS, SHARED = 1_500, 2_000, 1_200


@dataclass(frozen=True)
class World:
    """homes by party; phones of both sides by row: the first SHARED users are the first SHARED members."""

    homes: dict[str, Home]
    room: Room
    members: list[str]
    users: list[str]

    def path(self, party: str) -> Path:
        """Its home's."""
        return self.homes[party].path


def build(folder: Path, protocol: str = "keyed", purposes: tuple[str, ...] = PURPOSES) -> World:
    """A merchant with members and a platform with users."""
    level = np.random.default_rng(7).choice(("gold", "silver"), MEMBERS).tolist()
    stage = np.random.default_rng(8).choice(("none", "visit"), USERS).tolist()
    own, theirs = phones(0, MEMBERS), phones(0, SHARED) + phones(50_000_000, USERS - SHARED)
    files = {
        "merchant": csv(folder / "crm.csv", {"phone": own, "level": level}),
        "platform": csv(folder / "users.csv", {"phone": theirs, "stage": stage,
                                               "handle": [f"u{row}" for row in range(USERS)]}),
    }  # fmt: skip
    asked = Overlap(files["merchant"], files["platform"], by=("merchant.level", "platform.stage"), receiver="platform",
                    operator=protocol == "keyed", datasets={"merchant": "crm", "platform": "users"})  # fmt: skip
    names = [*SIDES, OPERATOR] if protocol == "keyed" else list(SIDES)
    homes = {name: new_home(folder / name, name) for name in names}
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    by = [reference(asked, name) for name in asked.by]
    wanted = {side: columns_of(side, by, []) for side in SIDES}
    imports = {side: jobs[side].job_import(**asked.wish(side), **wanted[side]) for side in SIDES}
    proposed = {side: jobs[side].job_propose(asked.datasets[side], **wanted[side], most=20, least=50) for side in SIDES}
    keys = {name: job.job_keys(0) for name, job in jobs.items()}
    contract, annexes = draft_contract(asked, protocol, keys, imports, proposed, by, [], [])
    contract = replace(contract, purposes=(*contract.purposes, *purposes))
    unsigned = Room(SignedContract(contract), annexes)
    signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in homes]
    room = gathered(unsigned, [from_plain(one) for one in signed])
    for name in homes:
        jobs[name].job_keep(to_plain(room, for_operator=name == OPERATOR))
    return World(homes, room, own, theirs)
