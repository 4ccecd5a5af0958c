"""What a person sees of contracts: this node's rooms, a card to hand out, a contract in words, whether it holds."""

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.lang import explain
from cleanroom.rooms import cards
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.disclosure import Sentence, learns
from cleanroom.rooms.meetings import Meeting, Meetings
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import Dataset, Party

STEPS = (
    "1 signed by every party",
    "2 every signature verifies",
    "3 not expired",
    "4 the labels are those that were signed",
)
"""What `verified` checks, for people."""


def listed(path: Path) -> dict[str, Any]:
    """The rooms of a home, each with its state; and what is being agreed on, or came to nothing, without a room yet."""
    home = Home.open(path.expanduser())
    kept, about = Rooms(home.rooms), Meetings(home)
    rooms = []
    for name in kept.names():
        room, waiting = kept.load(name), about.open_for(name)
        state = state_of(home, waiting) if waiting is not None and waiting.of else state_of_room(room)
        rooms.append({**line(room), "state": state})
    names = sorted({each.room for each in about.all()} - set(kept.names()))
    meetings = [
        {"room": name, "from": each.inviter, "parties": list(each.invited), "state": state_of(home, each)}
        for name in names
        if (each := about.last_for(name)) is not None
    ]
    return {"home": str(home.path), "party": home.party, "rooms": rooms, "meetings": meetings}


def card(path: Path, role: str, dataset: str | None) -> dict[str, Any]:
    """This party's card. For a party without data, a home that is not there yet is made, named like its role."""
    path = path.expanduser()
    made = dataset is not None or (path / "node.json").exists()
    home = Home.open(path) if made else Home.create(path, role)
    return cards.make(home, role, dataset)


def described(path: Path, name: str) -> dict[str, Any]:
    """A room's contract, and what it discloses to whom."""
    home = Home.open(path.expanduser())
    return told(home, Rooms(home.rooms).load(name))


def told(home: Home, room: Room) -> dict[str, Any]:
    """A contract in words and numbers, also one that is not in force yet."""
    contract = room.contract
    return {
        **line(room),
        "created": contract.created,
        "party": home.party,
        "parties": [_party(party, room.signed) for party in contract.parties],
        "datasets": [_dataset(dataset, room) for dataset in contract.datasets],
        "match": dataclasses.asdict(contract.match),
        "release": dataclasses.asdict(contract.release),
        "slots": [dataclasses.asdict(slots) for slots in contract.slots],
        "purposes": list(contract.purposes),
        "notes": list(contract.notes),
        "learns": {
            party: [dataclasses.asdict(sentence) for sentence in found] for party, found in learns(contract).items()
        },
    }


def verified(path: Path, name: str) -> dict[str, Any]:
    """Checks a room as every run does. Raises Refused or BadData saying what is wrong."""
    home = Home.open(path.expanduser())
    room = Rooms(home.rooms).load(name)
    contract = room.in_force(dt.datetime.now(dt.UTC))
    steps = STEPS if room.annexes is not None else STEPS[:-1]
    return {"room": contract.room, "digest": contract.digest(), "expires": contract.expires, "steps": list(steps)}


def state_of(home: Home, meeting: Meeting) -> dict[str, Any]:
    """Where a meeting stands, as an English template with its parameters."""
    return _plain(_state(home, meeting))


def _state(home: Home, meeting: Meeting) -> Sentence:
    waiting = {"parties": meeting.missing(home.party)}
    if meeting.ended == "refused":
        return Sentence("refused by {party}: {reason}", {"party": meeting.no[0], "reason": meeting.no[1]})
    if meeting.ended:
        return Sentence("in force")
    if meeting.of:
        return Sentence("change waiting for {parties}", waiting)
    if meeting.offered is None and home.party not in meeting.cards:
        return Sentence("invited by {party}", {"party": meeting.inviter})
    return Sentence("waiting for {parties}", waiting)


def state_of_room(room: Room) -> dict[str, Any]:
    """Where a room stands, likewise."""
    if room.left:
        return _plain(Sentence("{party} left", {"party": room.left[0].party}))
    missing = [each.name for each in room.contract.parties if each.name not in room.signed.signatures]
    if missing:
        return _plain(Sentence("waiting for {parties}", {"parties": missing}))
    try:
        room.in_force(dt.datetime.now(dt.UTC))
    except (Refused, BadData):
        over = dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(room.contract.expires)
        return _plain(Sentence("expired") if over else Sentence("not in force"))
    return _plain(Sentence("in force"))


def _plain(sentence: Sentence) -> dict[str, Any]:
    return {"template": sentence.template, **sentence.params}


def line(room: Room) -> dict[str, Any]:
    """A room in one line of a list."""
    contract, why_not = room.contract, None
    try:
        room.in_force(dt.datetime.now(dt.UTC))
    except (Refused, BadData) as error:
        why_not = " ".join(filter(None, explain(error)))
    return {
        "room": contract.room,
        "digest": contract.digest(),
        "protocol": contract.match.protocol,
        "signed": sorted(room.signed.signatures),
        "parties": [party.name for party in contract.parties],
        "expires": contract.expires,
        "in_force": why_not is None,
        "why_not": why_not,
    }


def _party(party: Party, signed: SignedContract) -> dict[str, Any]:
    return {
        "name": party.name,
        "role": party.role,
        "fingerprint": cards.fingerprint(party),
        "signed": party.name in signed.signatures,
    }


def _dataset(dataset: Dataset, room: Room) -> dict[str, Any]:
    """A dataset's terms; labels and edges where this node holds them."""
    held = {annex.column: annex for annex in room.annexes or () if annex.dataset == dataset.name}
    columns = []
    for column in dataset.columns:
        if column.kind == "amount":
            detail: dict[str, Any] = {"low": column.low, "high": column.high, "unit": column.unit}
        else:
            annex = held.get(column.name)
            labels = {"labels": list(annex.labels), "edges": list(annex.edges)} if annex else {}
            detail = {"cells": column.cells, "members": column.members, **labels}
        columns.append({"name": column.name, "kind": column.kind, **detail})
    terms = dataclasses.asdict(dataset)
    return {**terms, "columns": columns}
