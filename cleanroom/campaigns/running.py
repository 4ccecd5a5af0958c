"""Campaigns as commands call them: planned, created, started, collected, measured, checked, and what they cost.

What comes back is plain values. Nothing here computes on persons (`holdout`, `outcomes`), nor asks the match but by the
gate (`querying.ask`).
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom.answer.slots import draws
from cleanroom.campaigns import attribution, columns, holdout, measuring, outcomes, worth
from cleanroom.campaigns.attribution import Paths
from cleanroom.campaigns.campaign import Terms, begun
from cleanroom.campaigns.outcomes import Window
from cleanroom.campaigns.power import people_for, smallest
from cleanroom.campaigns.store import Campaigns, Record
from cleanroom.enclave.query import PEOPLE, split_name
from cleanroom.errors import Refused, UsageError
from cleanroom.gate import gate
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.insight import costs
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.plan.accuracy import within as persons_of
from cleanroom.privacy import accounting
from cleanroom.querying import Answered, ask, opened, priced
from cleanroom.rooms import templates
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room
from connectors.open import open_source


def plan(path: Path, room: str, *, people: int = 0, crowd: str = "", base: float = 0.05, held_out: int = 100,
         wanted: float = 0.0, within: str | None = None) -> dict[str, Any]:  # fmt: skip
    """What a campaign of this size can show. people: matched; or of a crowd, by the low edge of its range.

    wanted: a difference of shares that is to be shown; then how many people it takes; within: how exact counts will be
    asked for, as `measure` takes it.
    """
    home, held = opened(path, room)
    contract = held.contract
    if crowd:
        people = _size(home, crowd)
    sigma, count = contract.release.sigma, noise_draws(contract)
    if within is not None and sigma:
        sigma = accounting.sigma_within(persons_of(within, people), count)
    found = smallest(people, held_out / 1000, base, sigma, draws=count, k=contract.release.k)
    needed = people_for(wanted, held_out / 1000, base, sigma, draws=count, k=contract.release.k) if wanted else None
    return {"room": room, "people": people, "held_out": held_out, "sigma": sigma, "k": contract.release.k,
            **asdict(found), "wanted": wanted or None, "people_wanted": needed}  # fmt: skip


def _size(home: Home, crowd: str) -> int:
    from cleanroom.crowds import desk

    size = desk.get(home.path, crowd).size
    if size is None or size.withheld:
        raise UsageError("The size of the crowd {code} is not known yet, or it is too small.",
                         "Refresh it, or say --people.", code=crowd)  # fmt: skip
    return size.low


def _check_shown(home: Home, room: Room, terms: Terms, sigma: int) -> None:
    """Raises Refused, before anything is charged, where the smaller arm is known to be too small to be shown."""
    from cleanroom.crowds import desk

    try:
        size = desk.get(home.path, terms.crowd).size
    except UsageError:
        return  # a crowd of the other side's home
    least = accounting.threshold(room.contract.release.k, sigma, noise_draws(room.contract))
    share = min(terms.share, 1 - terms.share)
    if size is not None and terms.held_out and size.high * share < least:
        raise Refused(
            "An arm of this campaign has {most} people at most, and one is shown from {least} on: nothing is charged.",
            "Ask more exactly with --within, or hold out more of a larger crowd next time.",
            most=f"{int(size.high * share):,}", least=f"{least:,}",
        )  # fmt: skip


def noise_draws(contract: Contract) -> int:
    """How many parties' noise is in an answer about both sides."""
    names = [f"{dataset.name}.{column.name}" for dataset in contract.datasets for column in dataset.columns]
    return draws(contract, names)


def create(path: Path, terms: Terms) -> dict[str, Any]:
    """Keep the terms at this home; the other side does so too. Raises Refused as `check`."""
    home, room = opened(path, terms.room)
    check(room, terms)
    return shown(Campaigns(home, terms.room).create(terms))


def check(room: Room, terms: Terms) -> None:
    """Raises Refused for a channel or purpose that the contract has not, or columns that it lacks."""
    contract = room.contract
    if contract.activation is not None and terms.channel not in contract.activation.channels:
        raise Refused("The contract lets no crowd be used in the channel {channel}.", "It names: {channels}.",
                      channel=terms.channel, channels=", ".join(contract.activation.channels))  # fmt: skip
    if terms.purpose not in contract.purposes:
        raise Refused("The contract is not for the purpose {purpose}.", "It names: {purposes}.",
                      purpose=terms.purpose, purposes=", ".join(contract.purposes))  # fmt: skip
    measuring.question(contract, terms)


def start(
    path: Path, room: str, name: str, *, version: str = "", commitment: str = "", day: str = ""
) -> dict[str, Any]:
    """Where people are addressed: draw and commit. At the other side: begin, with its partner's commitment."""
    home, _ = opened(path, room)
    first = begun(day) if day else None
    if commitment:
        return {**shown(holdout.recorded(home, room, name, commitment, first or _today())), "drawn": None}
    found = holdout.start(home, room, name, version, first)
    drawn = {"treated": found.treated, "held_out": found.held, "strata": len(found.strata)}
    return {**shown(Campaigns(home, room).load(name)), "drawn": drawn}


def collect(path: Path, room: str, name: str, source: str = "", *, on: str = "", day: str = "",
            amount: str = "") -> dict[str, Any]:  # fmt: skip
    """Put the campaign's columns beside this party's dataset: arms and events where people are addressed, orders
    at the other side. Without a source the arms alone, as after an import."""
    home, held = opened(path, room)
    store = Campaigns(home, room)
    with store.locked():
        record = store.load(name)
        if not record.starts:
            raise UsageError("The campaign {name} has not begun.", "Run: cleanroom campaign start", name=name)
        manifest = home.vault.manifest(held.contract.dataset_of(home.party).name)
        found, own = _columns(home, record, manifest, source, on, day, amount)
        columns.put(home, manifest, found)
        if own:
            own["as_of"] = _today().isoformat()
            record = store.change(name, own=own)
    return {"campaign": name, "columns": sorted(found), "own": own}


def _columns(home: Home, record: Record, manifest: Any, source: str, on: str, day: str,
             amount: str) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    terms, window = record.terms, Window(begun(record.starts), record.terms.days)
    addresses = record.manifest is not None
    if not source and not addresses:
        raise UsageError("Name the file of orders.", "As in: cleanroom campaign collect ROOM NAME orders.csv")
    found: dict[str, Any] = {}
    own: dict[str, Any] = {}
    if addresses:
        seed, members = Campaigns(home, terms.room).arms(terms.name)
        found[terms.column("arm")] = holdout.arm_codes(members, seed, columns.digests(home, manifest))
    if source and addresses:
        added, own = outcomes.responses(home, manifest, terms, window, open_source(source), on)
        found |= added
    elif source:
        added, own = outcomes.purchases(home, manifest, terms, window, open_source(source), on, day, amount)
        found |= added
    return found, own


def measure(path: Path, room: str, name: str, progress: Progress | None = None, *, within: str | None = None,
            reach: bool = False, touches: bool = False, dry_run: bool = False,
            meeting: Meeting = usual) -> dict[str, Any]:  # fmt: skip
    """Lift from one release; reach, touches: one more each. dry_run: only what it costs."""
    home, held = opened(path, room)
    store = Campaigns(home, room)
    record = store.load(name)
    if not record.starts:
        raise UsageError("The campaign {name} has not begun.", "Run: cleanroom campaign start", name=name)
    terms = record.terms
    asked = measuring.question(held.contract, terms)
    more = [*([measuring.reach_question] if reach else []), *([measuring.touch_question] if touches else [])]
    if dry_run:
        every = [asked, *(make(held.contract, terms) for make in more)]
        prices = [priced(home, held, _understood(held, each.sql), within)[1] for each in every]
        return {"campaign": name, "price": [each.plain() if each else None for each in prices]}
    _check_shown(home, held, terms, priced(home, held, _understood(held, asked.sql), within)[0])
    answered = _asked(home, held, asked.sql, progress, within, meeting)
    treated, held_arm, noise = measuring.arms_of(asked, terms, answered, held.contract)
    found = {**measuring.figures(treated, held_arm, noise), "receipts": [_receipt(answered)],
             "noise": answered.noise and {key: answered.noise[key] for key in ("sigma", "draws", "least")},
             "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
             "complete": _today() >= begun(record.starts) + dt.timedelta(days=terms.days)}  # fmt: skip
    if reach:
        answered = _asked(home, held, measuring.reach_question(held.contract, terms).sql, progress, within, meeting)
        found |= {"reach": _reached(answered, terms), "receipts": [*found["receipts"], _receipt(answered)]}
    if touches:
        question = measuring.touch_question(held.contract, terms)
        answered = _asked(home, held, question.sql, progress, within, meeting)
        found |= {"attribution": _attributed(answered, terms), "receipts": [*found["receipts"], _receipt(answered)]}
    with store.locked():
        record = store.change(name, measured=found)
    return shown(record)


def _asked(home: Home, room: Room, sql: str, progress: Progress | None, within: str | None,
           meeting: Meeting) -> Answered:  # fmt: skip
    return ask(home, room, _understood(room, sql), progress, within=within, meeting=meeting)


def _understood(room: Room, sql: str) -> Any:
    asked = gate.ask(sql, Schema.of(room.contract, room.annexes or ()))
    templates.check_allowed(room.contract, asked, None)
    return asked


def _receipt(answered: Answered) -> str:
    return "" if answered.receipt is None else answered.receipt.receipt.digest()


def _reached(answered: Answered, terms: Terms) -> dict[str, Any]:
    """People of the treated arm by exposure and answer, as released; what was withheld is missing from the totals."""
    rows = answered.release.to_pylist()
    names = {split_name(each)[1]: each for each in answered.release.column_names if "." in each}
    exposed, engaged = names[terms.column("exposed")], names[terms.column("engaged")]
    return {
        "people": sum(row[PEOPLE] for row in rows),
        "exposed": sum(row[PEOPLE] for row in rows if row[exposed] == "yes"),
        "engaged": sum(row[PEOPLE] for row in rows if row[engaged] == "yes"),
        "within": answered.noise["people"] if answered.noise else 0,
    }


def _attributed(answered: Answered, terms: Terms) -> dict[str, Any]:
    """Spend after a touch by channel, major units: last touch and by position. Not lift."""
    names = {split_name(each)[1]: each for each in answered.release.column_names if "." in each}
    touch, paid, spend = (names[terms.column(each)] for each in ("touch", "paid_when", "spend_after"))
    paths = [Paths(attribution.touches_of(row[touch]), row[paid], row[PEOPLE], float(row[spend]) / 100)
             for row in answered.release.to_pylist()]  # fmt: skip
    return {"last_touch": attribution.last_touch(paths), "position": attribution.by_position(paths)}


def verify(path: Path, room: str, name: str) -> dict[str, Any]:
    """Check the arms against the commitment and the ledger."""
    home, _ = opened(path, room)
    return holdout.verify(home, room, name)


def cost(path: Path, room: str, name: str, changes: Mapping[str, int]) -> dict[str, Any]:
    """Enter costs; what is not named stays."""
    home, _ = opened(path, room)
    store = Campaigns(home, room)
    with store.locked():
        held = store.load(name)
        record = store.change(name, costs=worth.Costs(**{**held.costs.plain(), **changes}))
    return shown(record)


def close(path: Path, room: str, name: str) -> dict[str, Any]:
    """End a campaign: its slot is free, its seed and draws are removed for good, its results stay. What it cost and
    brought goes into the table of costs that insight reads (cleanroom.insight.costs)."""
    home, _ = opened(path, room)
    store = Campaigns(home, room)
    with store.locked():
        held = store.load(name)
        record = store.change(name, closed=True)
        store.forget_arms(name)
    if not held.closed:
        for entry in _entries(held):
            costs.add(home, room, entry)
    return shown(record)


def _entries(record: Record) -> list[costs.Entry]:
    """The lines of the table of costs, of the campaign's first day; none of one that never began."""
    spent, found = record.costs, _worth(record) or {}
    points = spent.points * spent.point_price // 1000
    lines: list[tuple[str, int, int | None]] = [
        ("media", spent.media, None), ("coupons", spent.coupons, None), ("points", points, None),
    ]  # fmt: skip
    if found.get("attributed") is not None:
        lines.append(("attributed", round(100 * found["attributed"]), None))
    revenue = record.measured and record.measured["revenue"]
    if revenue:
        lines.append(("incremental", round(100 * revenue["value"]), spent.margin))
    name = record.terms.name
    return [costs.Entry(record.starts, name, *line) for line in lines if line[1] and record.starts]


def listed(path: Path, room: str) -> dict[str, Any]:
    """The room's campaigns at this home."""
    home, _ = opened(path, room)
    return {"room": room, "campaigns": [shown(record) for record in Campaigns(home, room).all()]}


def show(path: Path, room: str, name: str) -> dict[str, Any]:
    """One campaign."""
    home, _ = opened(path, room)
    return shown(Campaigns(home, room).load(name))


def shown(record: Record) -> dict[str, Any]:
    """A campaign as plain values, with what it was worth."""
    terms = {name: value for name, value in record.terms.plain().items() if name != "format"}
    committed = [asdict(each) for each in record.commitments]
    return {**terms, "starts": record.starts, "closed": record.closed, "commitments": committed, "own": record.own,
            "costs": {**record.costs.plain(), "total": record.costs.total}, "measured": record.measured,
            "worth": _worth(record)}  # fmt: skip


def _worth(record: Record) -> dict[str, Any] | None:
    found, paid = record.measured, record.costs
    if found is None:
        return None
    payers = measuring.interval(found["payers"])
    attributed = found.get("attribution")
    touched = None if attributed is None else sum(
        value for channel, value in attributed["last_touch"].items() if channel != outcomes.NONE
    )  # fmt: skip
    return {
        "cost_per_payer": None if payers is None else measuring.plain(worth.cost_per_payer(paid, payers)),
        "roi": measuring.plain(worth.roi(paid, measuring.interval(found["revenue"]))),
        "roas": worth.roas(paid, touched),
        "attributed": touched,
    }


def _today() -> dt.date:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(hours=8)).date()


def report(path: Path, room: str, name: str, out: Path, chart: Path | None = None) -> dict[str, Any]:
    """A campaign as a page at `out`, and its arms as a picture. Raises UsageError where nothing is to be drawn yet."""
    from cleanroom.campaigns import report as pages  # Altair

    found = show(path, room, name)
    if chart is not None:
        if found["measured"] is None:
            raise UsageError("The campaign {name} was not measured yet.", "Run: cleanroom campaign measure", name=name)
        pages.chart(chart, found)
    pages.write(out, found)
    return {"campaign": name, "report": str(out), "chart": str(chart) if chart else None}
