"""A platform whose boards a room allows: a merchant, the platform, an operator, and a shop."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.rooms import room_secrets, store
from cleanroom.rooms.assembly import Plan, assemble
from cleanroom.rooms.cards import Card
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.signing import for_party, with_signature
from cleanroom.rooms.store import Room, from_plain, to_plain
from cleanroom.rooms.terms import Party
from tests import near
from tests.room import world as room_world

K = 50
PEOPLE = 3000
ROLES: dict[str, Any] = {"merchant": "merchant", "platform": "platform", "shop": "merchant", "operator": "operator"}
DATASETS = {"merchant": "crm", "platform": "users", "shop": "orders"}
SUMS = ("net_paid_30d",)


def users(people: int = PEOPLE, seed: int = 5) -> pd.DataFrame:
    """The platform's dataset; nobody has the stage `repeat` with a reach."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({
        "phone": [str(13_800_000_000 + number) for number in range(people)],
        "stage_30d": rng.choice(["none", "visit", "interact", "pay"], people, p=[0.4, 0.3, 0.2, 0.1]),
        "imported": rng.choice(["yes", "no"], people, p=[0.2, 0.8]),
        "visited_last": rng.choice(["1 day", "2-7 days", "8-30 days", "never"], people),
        "gender": rng.choice(["f", "m"], people),
        "net_paid_30d": rng.integers(0, 5000, people),
    })  # fmt: skip


def others(people: int = 400) -> pd.DataFrame:
    """What the other owners have."""
    phones = [str(13_800_000_000 + number) for number in range(people)]
    return pd.DataFrame({"phone": phones, "level": ["gold" if number % 2 else "plain" for number in range(people)]})


def add(home: Home, folder: Path, dataset: str, frame: pd.DataFrame) -> None:
    """Import a frame as a dataset's next version."""
    path = folder / f"{dataset}.csv"
    frame.to_csv(path, index=False)
    sums = [name for name in frame.columns if name in SUMS]
    by = [name for name in frame.columns if name not in ("phone", *sums)]
    PartyJobs(home, {}, lambda *_: None).job_import(dataset=dataset, source=str(path), on="phone", by=by, sums=sums)


def homes(folder: Path, names: Sequence[str] = ("merchant", "platform", "operator")) -> dict[str, Home]:
    """Homes with their datasets."""
    made = {name: near.new_home(folder / name, name) for name in names}
    for name, home in made.items():
        if name in DATASETS:
            add(home, folder, DATASETS[name], users() if name == "platform" else others())
    return made


def card(home: Home) -> Card:
    """What a party offers; a bound of 10,000 rows."""
    public, name = home.keys.public, home.party
    party = Party(name, ROLES[name], public.signing.hex(), public.exchange.hex())
    if name not in DATASETS:
        return Card(party, None)
    dataset = DATASETS[name]
    meta: Any = home.vault.manifest(dataset).meta
    columns = [each for each in home.vault.schema(dataset).names if each.startswith("t.")]
    sums = [each[2:] for each in columns if each[2:] in SUMS]
    by = [each[2:] for each in columns if each[2:] not in SUMS]
    terms = PartyJobs(home, {}, lambda *_: None).job_propose(dataset, by, sums, most=20, least=K)
    return Card(party, {"name": dataset, "identity": meta["identity"], "profile": meta["profile"], "rows": 10_000,
                        "columns": terms, "paillier": {"bits": 2048, "key": "00" * 32}})  # fmt: skip


def room(made: dict[str, Home], name: str, *, alone: tuple[str, ...] = ("users",), noise: bool = True,
         protocol: Any = "keyed", **release: Any) -> Room:  # fmt: skip
    """A room of these homes, signed by all and kept."""
    part = [each for each in made if protocol == "keyed" or each in DATASETS]
    owners = [card(made[each]) for each in part if each in DATASETS]
    commitment = room_secrets.draw(made[part[0]]) if len(owners) > 2 else ""
    plan = Plan(name, protocol, "platform", K, "autumn", noise=noise, commitment=commitment)
    operator = card(made["operator"]).party if "operator" in part else None
    contract, annexes = assemble(plan, owners, operator, ())
    contract = replace(contract, release=replace(contract.release, alone=alone, **release))
    return agree({each: made[each] for each in part}, Room(SignedContract(contract), annexes))


def agree(part: dict[str, Home], room: Room) -> Room:
    """Signed by all, one after the other, and kept."""
    for name, home in part.items():
        received = from_plain(to_plain(room, for_operator=name == "operator"))
        room = store.gathered(room, [with_signature(home, for_party(name, received))])
    for name, home in part.items():
        keep(home, from_plain(to_plain(room, for_operator=name == "operator")))
    return room


def frames_of(ran: room_world.Ran, party: str) -> bytes:
    """All that came to a party."""
    return b"".join(frame for frames in ran.frames.get(party, {}).values() for frame in frames)
