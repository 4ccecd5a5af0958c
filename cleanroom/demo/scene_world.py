"""What the made-up people of a scene do after a campaign began, and the truth of it, which only their maker knows.

Events go to the platform's files and orders to the merchant's, as they would come by themselves. Who was sent something
is read from the platform's own file, who is in which arm from its own dataset. Nobody's phone leaves this module but in
those two files.
"""

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.activation import people as own_people
from cleanroom.campaigns import columns
from cleanroom.campaigns.campaign import Terms
from cleanroom.demo import people as made_up
from cleanroom.demo.domain import EVENT_SCHEMA
from cleanroom.demo.effects import Effect, Response, respond
from cleanroom.demo.market import CRM, USERS
from cleanroom.demo.people import Ints
from cleanroom.demo.scene_stage import DAYS, Facts, Stage
from cleanroom.home import Home
from cleanroom.matching.cells import TYPED
from connectors.arrays import as_flags, values_of

_DAY_US = 86_400_000_000
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cast:
    """The people of a crowd. persons: running indices, int64[n]; treated, sent, matched: bool[n]: by their arm, whether
    something was sent to them, whether they are the merchant's members too."""

    persons: Ints
    treated: Flags
    sent: Flags
    matched: Flags


def cast(stage: Stage, terms: Terms, file: Path) -> Cast:
    """Everybody with an arm. file: whom the platform sent something, Parquet."""
    import pyarrow.parquet as pq

    platform, merchant = Home.open(stage.platform), Home.open(stage.merchant)
    manifest = platform.vault.manifest(USERS)
    phones, arms = _arms(platform, terms)
    inside = ~as_flags(pc.equal(arms, "outside"))
    known = made_up.phones(stage.market.people)
    at = values_of(pc.index_in(phones, value_set=known))[inside]
    sent = as_flags(pc.is_in(phones, value_set=pq.read_table(file).column(0).combine_chunks()))
    digests = own_people.keys_of(columns.digests(platform, manifest))
    members = own_people.keys_of(columns.digests(merchant, merchant.vault.manifest(CRM)))
    return Cast(stage.market.people[at], as_flags(pc.equal(arms, "treated"))[inside], sent[inside],
                np.isin(digests, members)[inside])  # fmt: skip


def react(stage: Stage, terms: Terms, who: Cast, effect: Effect, seed: int, *, at_once: bool = False,
          coupon: str = "") -> tuple[Facts, Path, Path]:  # fmt: skip
    """(the truth, the platform's events, the merchant's orders) of the days after. at_once: all are reached on the
    first day. Those who were sent something convert with the effect's lift more, all others with its base."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    found = respond(effect, terms.name, who.persons, who.sent, stage.first, seed)
    told = _at_once(found.events, stage.first) if at_once else found.events
    if coupon:
        told = told.append_column("batch", pa.array([coupon] * told.num_rows, pa.string()))
    events, orders = stage.folder_of("platform") / "campaign.parquet", stage.folder_of("merchant") / "orders.csv"
    pq.write_table(told, events, compression="zstd")
    csv.write_csv(found.orders, orders)
    steps = [pc.sum(pc.equal(told.column("event"), name)).as_py() or 0 for name in effect.events]
    return {**_truth(who, effect, found, terms.clamp), "events": told.num_rows, "orders": found.orders.num_rows,
            "steps": dict(zip(effect.events, steps, strict=True)), "base": effect.base, "lift": effect.lift,
            "first": stage.first.isoformat(), "last": stage.last.isoformat()}, events, orders  # fmt: skip


def _truth(who: Cast, effect: Effect, found: Response, clamp: int) -> Facts:
    """Of the matched people: the difference that was planted, as assigned, and the one that came of it."""
    arms = [who.matched & who.treated, who.matched & ~who.treated]
    paid = [float(found.converted[arm].mean()) for arm in arms]
    spent = [float(np.minimum(found.cents[arm], clamp).mean()) / 100 for arm in arms]
    sent = float(who.sent[arms[0]].mean())
    return {"matched": [int(arm.sum()) for arm in arms], "sent_share": sent, "planted": effect.lift * sent,
            "came": paid[0] - paid[1], "payers": round((paid[0] - paid[1]) * int(arms[0].sum())),
            "revenue": (spent[0] - spent[1]) * int(arms[0].sum())}  # fmt: skip


def _at_once(events: pa.Table, first: dt.date) -> pa.Table:
    """The same, each person's events so many days earlier that the first falls on the first day."""
    codes = values_of(events.column("user").combine_chunks().dictionary_encode().indices).astype(np.int64)
    times = values_of(events.column("time").combine_chunks().cast(pa.int64()))
    start = (first - dt.date(1970, 1, 1)).days * _DAY_US - 8 * 3_600_000_000
    earliest = np.full(int(codes.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(earliest, codes, times)
    moved = times - (earliest[codes] - start) // _DAY_US * _DAY_US
    place = events.schema.get_field_index("time")
    return events.set_column(place, "time", pa.array(moved, pa.timestamp("us", "UTC")))


def further(stage: Stage, found: Path, orders: Path) -> Path:
    """The platform's folder of the second report date: its parts of before, everyday life as in the fourteen days
    before, the campaign's events, and the merchant's orders as payments on the platform."""
    import pyarrow.csv as csv
    import pyarrow.parquet as pq

    folder = stage.folder_of("platform") / "domain"
    folder.mkdir(mode=0o700)
    since = pa.scalar((stage.first - dt.date(1970, 1, 1)).days * _DAY_US - 8 * 3_600_000_000 - DAYS * _DAY_US)
    for part in sorted(stage.market.events.glob("*.parquet")):
        os.link(part, folder / part.name)
        if part.name.startswith("events-"):
            table = pq.read_table(part)
            times = table.column("time").cast(pa.int64())
            recent, moved = table.filter(pc.greater_equal(times, since)), pc.add(times, DAYS * _DAY_US)
            moved = moved.filter(pc.greater_equal(times, since)).cast(pa.timestamp("us", "UTC"))
            place = table.schema.get_field_index("time")
            pq.write_table(recent.set_column(place, "time", moved), folder / f"later-{part.name}", compression="zstd")
    campaign = pq.read_table(found)
    pq.write_table(_as_events(campaign), folder / "campaign.parquet", compression="zstd")
    bought = csv.read_csv(orders, convert_options=csv.ConvertOptions(column_types={
        "phone": pa.string(), "day": pa.date32(), "amount": pa.float64()}))  # fmt: skip
    pq.write_table(_payments(bought), folder / "payments.parquet", compression="zstd")
    return folder


def visitors(stage: Stage, terms: Terms) -> Facts:
    """Of each arm (people, visitors in the campaign's days): the platform's own count of its own events."""
    import pyarrow.parquet as pq

    phones, arms = _arms(Home.open(stage.platform), terms)
    found = []
    for part in sorted((stage.folder_of("platform") / "domain").glob("*.parquet")):
        if part.name.startswith(("later-", "campaign")):
            table = pq.read_table(part, columns=["user", "event"])
            visits = pc.equal(table.column("event").cast(pa.string()), "mini-program.visit")
            found.append(table.filter(visits).column("user").combine_chunks())
    came = as_flags(pc.is_in(phones, value_set=pa.concat_arrays(found)))
    inside = {name: as_flags(pc.equal(arms, name)) for name in ("treated", "holdout")}
    return {name: [int(arm.sum()), int((arm & came).sum())] for name, arm in inside.items()}


def _arms(platform: Home, terms: Terms) -> tuple[pa.StringArray, pa.StringArray]:
    """(phone, arm) of all users, row for row."""
    handle = own_people.handle_column(platform.vault.manifest(USERS))
    arm = TYPED + terms.column("arm")
    table = pa.Table.from_batches(list(platform.vault.read(USERS, [handle, arm])))
    phones = pc.utf8_trim_whitespace(table.column(handle).combine_chunks().cast(pa.string()))
    return phones, table.column(arm).combine_chunks().cast(pa.string())


def _payments(orders: pa.Table) -> pa.Table:
    """Orders as payments at noon."""
    noon = pc.add(pc.multiply(orders.column("day").cast(pa.int32()).cast(pa.int64()), _DAY_US), 4 * 3_600_000_000)
    cents = pc.round(pc.multiply(orders.column("amount"), 100)).cast(pa.int64())
    names = pa.array(["payment.pay"] * orders.num_rows, pa.string())
    return _as_events(pa.table({"user": orders.column("phone"), "event": names, "amount": cents,
                                "time": noon.cast(pa.timestamp("us", "UTC"))}))  # fmt: skip


def _as_events(table: pa.Table) -> pa.Table:
    """With all columns that the platform's events have; those that are missing are unknown."""
    found: dict[str, Any] = {}
    for field in EVENT_SCHEMA:
        if field.name not in table.column_names:
            found[field.name] = pa.nulls(table.num_rows, field.type)
        elif pa.types.is_dictionary(field.type):
            found[field.name] = table.column(field.name).combine_chunks().dictionary_encode()
        else:
            found[field.name] = table.column(field.name).cast(field.type)
    return pa.table(found)
