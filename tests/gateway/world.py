"""A room with a gateway at the merchant: made-up members and users, a plan, an app whose private key the tests hold."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom import planning
from cleanroom.gateway.apps import App, Apps
from cleanroom.gateway.server import Listening, Server, running
from cleanroom.gateway.service import Service
from cleanroom.gateway.signing import public_text
from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.node.log import Log
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, from_plain, gathered, to_plain
from cleanroom.rooms.terms import Activation
from connectors.qipan import Account, Qipan
from tests.near import new_home
from tests.room.world import csv, reference

ROOM = "overlap"
MEMBERS, USERS, SHARED = 6_000, 8_000, 5_000
PLACES = {"Hangzhou": "浙江", "Ningbo": "浙江", "Nanjing": "江苏"}


@dataclass(frozen=True)
class World:
    """homes by party; phones of members by row, and their levels."""

    homes: dict[str, Home]
    room: Room
    members: list[str]
    level: list[str]
    app: App
    private_key: str

    @property
    def merchant(self) -> Home:
        return self.homes["merchant"]

    @property
    def gateway_key(self) -> str:
        return public_text(Apps(self.merchant).key().public_key())

    def account(self, server: Server) -> Account:
        return Account(server.url, self.app.app_id, self.private_key, self.gateway_key)

    def client(self, server: Server, **settings: Any) -> Qipan:
        return Qipan(self.account(server), **settings)

    def users(self, first: int, count: int, kind: str = "SHA256_MOBILE") -> list[dict[str, str]]:
        return [{"encrypt_identity_id": hashed(phone), "encrypt_identity_type": kind}
                for phone in self.members[first : first + count]]  # fmt: skip


def hashed(phone: str) -> str:
    return hashlib.sha256(phone.encode()).hexdigest()


def phones(first: int, count: int) -> list[str]:
    return [f"139{number:08d}" for number in range(first, first + count)]


def build(folder: Path, *, plan: bool = True) -> World:
    """The first SHARED users are the first SHARED members."""
    random = np.random.default_rng(11)
    level = random.choice(("gold", "silver", "basic"), MEMBERS, p=[0.3, 0.4, 0.3]).tolist()
    city = random.choice(list(PLACES), USERS).tolist()
    columns = {
        "stage": random.choice(("none", "visit", "pay"), USERS).tolist(),
        "city": city, "province": [PLACES[each] for each in city],
        "mini_program": random.choice(("yes", "no"), USERS, p=[0.7, 0.3]).tolist(),
        "visits": random.integers(0, 100, USERS).tolist(),
    }  # fmt: skip
    own, theirs = phones(0, MEMBERS), phones(0, SHARED) + phones(50_000_000, USERS - SHARED)
    files = {"merchant": csv(folder / "crm.csv", {"phone": own, "level": level}),
             "platform": csv(folder / "users.csv", {"phone": theirs, **columns})}  # fmt: skip
    asked = Overlap(files["merchant"], files["platform"],
                    by=("merchant.level", *(f"platform.{name}" for name in columns)), receiver="platform",
                    operator=True, datasets={"merchant": "crm", "platform": "users"}, noise=True)  # fmt: skip
    homes, room = _agreed(folder, asked)
    if plan:
        planning.make(homes["merchant"].path, ROOM, "monthly")
    app, private_key = Apps(homes["merchant"]).add(room.contract)
    return World(homes, room, own, level, app, private_key)


def _agreed(folder: Path, asked: Overlap) -> tuple[dict[str, Home], Room]:
    names = [*SIDES, OPERATOR]
    homes = {name: new_home(folder / name, name) for name in names}
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    by = [reference(asked, name) for name in asked.by]
    wanted = {side: columns_of(side, by, []) for side in SIDES}
    imports = {side: jobs[side].job_import(**asked.wish(side), **wanted[side]) for side in SIDES}
    proposed = {side: jobs[side].job_propose(asked.datasets[side], **wanted[side], most=20, least=50) for side in SIDES}
    keys = {name: job.job_keys(0) for name, job in jobs.items()}
    contract, annexes = draft_contract(asked, "keyed", keys, imports, proposed, by, [], [])
    datasets = tuple(
        replace(each, rows=12_000, columns=tuple(replace(column, members=True) for column in each.columns))
        for each in contract.datasets
    )
    contract = replace(
        contract, datasets=datasets, release=replace(contract.release, sigma=5, epsilon=100),
        activation=Activation("platform", ("coupon", "message"), lists=True),
    )  # fmt: skip
    unsigned = Room(SignedContract(contract), annexes)
    signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in homes]
    room = gathered(unsigned, [from_plain(one) for one in signed])
    for name in homes:
        jobs[name].job_keep(to_plain(room, for_operator=name == OPERATOR))
    return homes, room


@contextmanager
def serving(world: World, log: Log, listening: Listening) -> Iterator[Server]:
    with Service(world.merchant, log) as service, running(service, listening) as server:
        yield server
