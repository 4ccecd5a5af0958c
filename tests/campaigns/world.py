"""A room with noise that gives crowds and has a campaign's columns: 4,000 persons in both; homes beside each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, from_plain, gathered, to_plain
from cleanroom.rooms.terms import Activation
from tests.cli.support import phone
from tests.near import new_home
from tests.room.world import csv, reference

PEOPLE = 4_000
ROOM, PURPOSE = "overlap", "audience overlap"
BY = ("city_tier", "arm_1", "exposed_1", "engaged_1", "arm_2", "paid_last", "touch_1")
TOUCHES = ("none", "commercial-promotion@2-7 days", "commercial-promotion@2-7 days>coupon@2-7 days")
PAID = ("paid_after_1", "paid_when_1")
SUMS = ("payers_after_1", "spend_after_1", "spend_sq_1", "payers_after_2")


def files(folder: Path) -> Overlap:
    """What both sides bring before any campaign: every value of the campaign's columns is there, at random."""
    random = np.random.default_rng(5)
    every = np.arange(PEOPLE)
    arms = np.array(["outside", "treated", "holdout"])[random.integers(0, 3, (2, PEOPLE))]
    pays = random.integers(0, 2, PEOPLE) > 0
    users = {
        "mobile": [phone(n) for n in range(PEOPLE)], "city_tier": np.char.add("T", (every % 3).astype(str)),
        "arm_1": arms[0], "exposed_1": np.where(every % 2, "yes", "no"), "engaged_1": np.where(every % 5, "yes", "no"),
        "arm_2": arms[1], "paid_last": np.where(every % 2, "8-30 days", "never"),
        "touch_1": np.array(TOUCHES)[every % 3],
    }  # fmt: skip
    crm = {
        "phone": users["mobile"], "paid_after_1": np.where(pays, "yes", "no"),
        "paid_when_1": np.where(pays, "2-7 days", "none"),
        "payers_after_1": np.where(pays, "0.01", "0.00"), "spend_after_1": np.where(pays, "500.00", "0.00"),
        "spend_sq_1": np.where(pays, "2500.00", "0.00"), "payers_after_2": np.where(every % 2, "0.01", "0.00"),
    }  # fmt: skip
    return Overlap(csv(folder / "crm.csv", crm), csv(folder / "users.csv", users), receiver="platform", noise=True,
                   by=(*(f"platform.{name}" for name in BY), *(f"merchant.{name}" for name in PAID)),
                   sums=tuple(f"merchant.{name}" for name in SUMS), key_bits=2048)  # fmt: skip


def made(folder: Path) -> Path:
    """The merchant's home, with those of the platform and the operator beside it."""
    asked, names = files(folder), (*SIDES, OPERATOR)
    homes = {name: new_home(folder / name, name, asked.key_bits if name == "merchant" else 0) for name in names}
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    by, sums = ([reference(asked, name) for name in names] for names in (asked.by, asked.sums))
    wanted = {side: columns_of(side, by, sums) for side in SIDES}
    imports = {side: jobs[side].job_import(**asked.wish(side), **wanted[side]) for side in SIDES}
    proposed = {side: jobs[side].job_propose(asked.datasets[side], **wanted[side], most=20, least=50) for side in SIDES}
    keys = {name: job.job_keys(asked.key_bits if name == "merchant" else 0) for name, job in jobs.items()}
    contract, annexes = draft_contract(asked, "keyed", keys, imports, proposed, by, sums, ["merchant"])
    contract = replace(contract, release=replace(contract.release, epsilon=100),
                       activation=Activation("platform", ("coupon", "message")))  # fmt: skip
    unsigned = Room(SignedContract(contract), annexes)
    signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in homes]
    room = gathered(unsigned, [from_plain(one) for one in signed])
    for name in homes:
        jobs[name].job_keep(to_plain(room, for_operator=name == OPERATOR))
    return homes["merchant"].path


def platform(home: Path) -> Home:
    """The platform's own."""
    return Home.open(home.parent / "platform")
