"""A room of three owners and an operator, with datasets of which every pair has people in common."""

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from cleanroom.enclave.query import Query
from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.rooms import room_secrets, store
from cleanroom.rooms.assembly import Plan, assemble
from cleanroom.rooms.cards import Card
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.paillier_keys import own_fingerprint
from cleanroom.rooms.signing import for_party, with_signature
from cleanroom.rooms.store import Room, Rooms, from_plain, to_plain
from cleanroom.rooms.taking_part import parties_of
from cleanroom.rooms.terms import Party, Slots
from tests import near
from tests.room import world

K, BITS = 50, 2048
OWNERS = {"brand": "crm", "shop": "orders", "platform": "users"}
OPERATOR = "operator"
SLOTTED = ("brand", "shop")

TRIPLE = tuple(OWNERS.values())


def phone(number: int) -> str:
    return str(13_800_000_000 + number)


@cache
def tables() -> dict[str, pd.DataFrame]:
    """People by number: crm 0–449, orders 150–599, users 50–524; each pair has 300 or more in common, all have 300."""
    rng = np.random.default_rng(7)

    def people(start: int, end: int, **columns: Any) -> pd.DataFrame:
        return pd.DataFrame({"phone": [phone(n) for n in range(start, end)], **columns}).sample(frac=1, random_state=3)

    return {
        "crm": people(0, 450, level=rng.choice(["gold", "plain"], 450), spend=rng.integers(1, 900, 450)),
        "orders": people(150, 600, goods=rng.choice(["shoes", "hats"], 450), fee=rng.integers(1, 500, 450)),
        "users": people(50, 525, zone=rng.choice(["T1", "T2"], 475)),
    }


def offer(home: Home, dataset: str) -> dict[str, Any]:
    """What a card would offer of it, with a shorter Paillier key, which takes less time to make."""
    columns = [name for name in tables()[dataset].columns if name != "phone"]
    sums = [name for name in columns if name in ("spend", "fee")]
    by = [name for name in columns if name not in sums]
    manifest = home.vault.manifest(dataset)
    meta: Any = manifest.meta
    terms = PartyJobs(home, {}, lambda *_: None).job_propose(dataset, by, sums, most=20, least=K)
    paillier = {"bits": BITS, "key": own_fingerprint(home, BITS) if sums else "00" * 32}
    return {"name": dataset, "identity": meta["identity"], "profile": meta["profile"], "rows": 1000, "columns": terms,
            "paillier": paillier}  # fmt: skip


def card(home: Home, role: Any, dataset: str | None = None) -> Card:
    public = home.keys.public
    party = Party(home.party, role, public.signing.hex(), public.exchange.hex())
    return Card(party, None if dataset is None else offer(home, dataset))


def drafted(homes: dict[str, Home], name: str, *, noise: bool = False) -> Room:
    """A draft by the owner of crm."""
    cards = [card(homes[owner], "platform" if owner == "platform" else "merchant", each)
             for owner, each in OWNERS.items()]  # fmt: skip
    slots = [Slots(OWNERS[owner], (), ("spend" if owner == "brand" else "fee",), key_bits=BITS,
                   key=own_fingerprint(homes[owner], BITS)) for owner in SLOTTED]  # fmt: skip
    plan = Plan(name, "keyed", "platform", K, "autumn", noise=noise, commitment=room_secrets.draw(homes["brand"]))
    contract, annexes = assemble(plan, cards, card(homes[OPERATOR], "operator").party, slots)
    return Room(SignedContract(contract), annexes)


def agreed(homes: dict[str, Home], room: Room) -> Room:
    """Signed by all, one after the other, as files go round, and kept."""
    for name in homes:
        received = from_plain(to_plain(room, for_operator=name == OPERATOR))
        room = store.gathered(room, [with_signature(homes[name], for_party(name, received))])
    for name, home in homes.items():
        keep(home, from_plain(to_plain(room, for_operator=name == OPERATOR)))
    return room


def build(folder: Path) -> None:
    """Homes of all four, with a room without noise, `exact`, and one with noise, `noised`."""
    homes = {name: near.new_home(folder / name, name, BITS if name in SLOTTED else 0) for name in (*OWNERS, OPERATOR)}
    for owner, dataset in OWNERS.items():
        tables()[dataset].to_csv(folder / f"{dataset}.csv", index=False)
        columns = [name for name in tables()[dataset].columns if name != "phone"]
        sums = [name for name in columns if name in ("spend", "fee")]
        by = [name for name in columns if name not in sums]
        PartyJobs(homes[owner], {}, lambda *_: None).job_import(
            dataset=dataset, source=str(folder / f"{dataset}.csv"), on="phone", by=by, sums=sums
        )
    agreed(homes, drafted(homes, "exact"))
    agreed(homes, drafted(homes, "noised", noise=True))


def copied(made: Path, folder: Path) -> dict[str, Home]:
    """The homes as they were built, in a folder of their own."""
    for name in (*OWNERS, OPERATOR):
        shutil.copytree(made / name, folder / name)
    return {name: Home.open(folder / name) for name in (*OWNERS, OPERATOR)}


def asked(homes: dict[str, Home], room: str, over: Sequence[str], by: Sequence[str] = (), sums: Sequence[str] = (),
          **wishes: Any) -> world.Ran:  # fmt: skip
    """A run of those alone that take part."""
    contract = Rooms(homes["brand"].rooms).load(room).contract
    part = {name: homes[name] for name in parties_of(contract, over)}
    names = () if len(over) == len(OWNERS) else tuple(over)
    return world.run(part, Query(tuple(by), tuple(sums)), name=room, over=names, **wishes)


def joined(over: Sequence[str], by: Sequence[str], sums: Sequence[str]) -> list[tuple[Any, ...]]:
    """The same by a plain join."""
    with duckdb.connect() as connection:
        for name in over:
            connection.register(name, tables()[name])
        first, *others = over
        source = " ".join([first, *(f"JOIN {name} USING (phone)" for name in others)])
        chosen = [*by, "count(*)::INT", *(f"sum({name})::DOUBLE" for name in sums)]
        grouped = f"GROUP BY {', '.join(by)}" if by else ""
        return sorted(connection.sql(f"SELECT {', '.join(chosen)} FROM {source} {grouped}").fetchall())


def segments(ran: world.Ran, owner: str, by: Sequence[str], sums: Sequence[str]) -> list[tuple[Any, ...]]:
    assert not ran.failures, ran.failures
    names = [*(name.split(".")[1] for name in by), "people", *(name.split(".")[1] for name in sums)]
    return sorted(tuple(row[name] for name in names) for row in ran.outcomes[owner].segments or ())
