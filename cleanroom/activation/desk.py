"""What the commands `activation` and `coupon` call: plain values for `--json` and for people; no person among them."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.activation import approving, keeping, memberships, sending
from cleanroom.activation.coupons import Batch, Coupons, from_json
from cleanroom.activation.memberships import Membership
from cleanroom.activation.sending import Outcome, Progress
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.rooms.store import Rooms


def listed(path: Path, room: str) -> dict[str, Any]:
    """The versions of crowds that are kept of a room."""
    home = Home.open(path.expanduser())
    contract = Rooms(home.rooms).load(room).contract
    memberships.term_of(contract, home.party)
    kept = [_kept(held) for held in memberships.listed(home, room)]
    return {"home": str(home.path), "party": home.party, "room": room, "versions": kept}


def shown(path: Path, room: str, code: str, version: str = "") -> dict[str, Any]:
    """One version, and what its use discloses of each person."""
    home = Home.open(path.expanduser())
    contract = Rooms(home.rooms).load(room).contract
    memberships.term_of(contract, home.party)
    held = memberships.load(home, room, code, version or None)
    told = []
    for use in held.uses:
        what, reveals = approving.of_kept(home, contract, held, use)
        told.append({"channel": use.channel, "what": [t(text, **params) for text, params in what],
                     "reveals": [t(text, **params) for text, params in reveals]})  # fmt: skip
    return {"home": str(home.path), "room": room, **_kept(held), "columns": list(held.columns), "approvals": told}


def sent(path: Path, room: str, code: str, *, version: str = "", channel: str = "",
         progress: Progress | None = None) -> dict[str, Any]:  # fmt: skip
    """Push a crowd to its channel's server, or go on where it was left."""
    home = Home.open(path.expanduser())
    return {"home": str(home.path), **outcome(sending.send(home, room, code, version=version, channel=channel,
                                                           progress=progress))}  # fmt: skip


def exported(path: Path, room: str, code: str, file: Path, *, version: str = "", channel: str = "") -> dict[str, Any]:
    """Write a crowd's people to a file."""
    home = Home.open(path.expanduser())
    found = sending.write(home, room, code, file, version=version, channel=channel)
    return {"home": str(home.path), "file": str(file), **outcome(found)}


def status(path: Path, room: str) -> dict[str, Any]:
    """How far each send of a room has come."""
    home = Home.open(path.expanduser())
    memberships.term_of(Rooms(home.rooms).load(room).contract, home.party)
    return {"home": str(home.path), "room": room, "sends": [outcome(each) for each in sending.outcomes(home, room)]}


def told(home: Home, room: str, code: str, version: str, channel: str) -> dict[str, Any]:
    """What the other side may be told of a send: whether it is through, and the range of the crowd's noised size, which
    it has from the run. Nothing of who was left out, nor of how many."""
    contract = Rooms(home.rooms).load(room).contract
    held = memberships.load(home, room, code, version)
    size = approving.shown_size(contract, held.noised)
    wanted = (code, version, channel)
    every = sending.outcomes(home, room)
    found = next((each for each in every if (each.plan.code, each.plan.version, each.plan.channel) == wanted), None)
    state = "waiting" if found is None else "done" if found.complete else "sending"
    return {"crowd": code, "version": version, "channel": channel, "state": state,
            "range": None if size is None else [size.low, size.high]}  # fmt: skip


def swept(path: Path) -> dict[str, Any]:
    """Remove what is over."""
    home = Home.open(path.expanduser())
    return {"home": str(home.path), **keeping.sweep(home)}


def outcome(found: Outcome) -> dict[str, Any]:
    """The counts of a send, for the platform alone."""
    plan, done = found.plan, found.done
    late = {name: plan.left_out.get(name, 0) + done.late.get(name, 0) for name in {*plan.left_out, *done.late}}
    over = {"over-cap": found.over_cap} if found.over_cap else {}
    return {
        "crowd": plan.code, "version": plan.version, "channel": plan.channel, "purpose": plan.purpose,
        "ends": plan.ends, "way": plan.way, "made": plan.made, "batches": plan.batches, "through": done.batches,
        "state": "done" if found.complete else "sending", "sent": done.sent,
        "left_out": dict(sorted((late | over).items())),
    }  # fmt: skip


def _kept(held: Membership) -> dict[str, Any]:
    return {
        "crowd": held.code, "version": held.version, "dataset": held.dataset, "members": len(held.keys),
        "over_cap": held.left_out, "kept": held.kept,
        "uses": [{"channel": use.channel, "purpose": use.purpose, "ends": use.ends, "name": use.name}
                 for use in held.uses],
    }  # fmt: skip


# -- coupons


def created(path: Path, batch: Batch) -> dict[str, Any]:
    """Keep a batch of coupons."""
    home = Home.open(path.expanduser())
    return _batch(home, Coupons(home).create(batch))


def taken(path: Path, file: Path) -> dict[str, Any]:
    """Keep a batch that the other side made, from its file."""
    return created(path, from_json(private_files.read(file)))


def coupons(path: Path) -> dict[str, Any]:
    """All batches."""
    home = Home.open(path.expanduser())
    return {"home": str(home.path), "coupons": [_plain(each) for each in Coupons(home).every()]}


def coupon(path: Path, code: str, events: str = "", as_of: str | None = None) -> dict[str, Any]:
    """One batch, and with events (of this home's own) what came of it."""
    from cleanroom.activation.redemptions import events_of, fold
    from cleanroom.importing import as_day
    from connectors.open import open_source

    home = Home.open(path.expanduser())
    batch = Coupons(home).get(code)
    found = _batch(home, batch)
    if events:
        day = as_day(as_of)
        (figures,) = fold(events_of(open_source(events)), [batch], day)
        found["figures"] = {"report_date": day.strftime("%Y%m%d"), **figures.plain()}
    return found


def _batch(home: Home, batch: Batch) -> dict[str, Any]:
    return {"home": str(home.path), **_plain(batch), "json": batch.to_json().decode()}


def _plain(batch: Batch) -> dict[str, Any]:
    return {**asdict(batch), "digest": batch.digest}
