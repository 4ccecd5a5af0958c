"""Afterwards: whether this node's ledger and a receipt hold, and what stands in the ledger. Nothing here writes.

Whose keys count comes from the rooms of the home, and from the homes of parties that run on this same machine; what
those have seen of this ledger is its witness.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.ledger import audit, words
from cleanroom.ledger.audit import AuditReport
from cleanroom.ledger.chain import Head
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room, Rooms, from_plain


def verified(path: Path, receipt: Path | None, contract: Path | None) -> dict[str, Any]:
    """The ledger of the home, and the receipt where one is named. Raises BadData naming the step that failed.

    A receipt with its contract's file can be checked without any home.
    """
    path = path.expanduser()
    home = Home.open(path) if receipt is None or contract is None or (path / "node.json").exists() else None
    has_ledger = home is not None and home.ledger_path.exists()
    checked: dict[str, Any] = {"party": home.party if home else None, "ledger": None, "receipt": None}
    if home is not None and (has_ledger or receipt is None):
        checked["ledger"] = _told(_ledger(home))
    if receipt is not None:
        checked["receipt"] = _told(_receipt(home, receipt, contract, has_ledger))
    return checked


def entries(path: Path) -> dict[str, Any]:
    """Every entry of the home's ledger in words, unverified."""
    home = Home.open(path.expanduser())
    rows = [
        {"seq": row.seq, "time": row.time, "kind": row.kind, "template": row.text, "params": dict(row.params)}
        for row in words.show(home.ledger_path)
    ]
    return {"home": str(home.path), "party": home.party, "entries": rows}


def _ledger(home: Home) -> AuditReport:
    key = home.keys.public.signing
    neighbours = _neighbours(home)
    peers = {(party.name, bytes.fromhex(party.signing)) for room in _rooms(home) for party in room.contract.parties}
    peers |= {(neighbour.party, neighbour.keys.public.signing) for neighbour in neighbours}
    witnesses: list[Head] = []
    for neighbour in neighbours:
        if neighbour.ledger_path.exists():
            witnesses += audit.heads_seen(neighbour.ledger_path, key)
    return audit.verify_home_ledger(home.ledger_path, key, peers=peers, witnesses=witnesses)


def _receipt(home: Home | None, path: Path, contract: Path | None, has_ledger: bool) -> AuditReport:
    signed = SignedReceipt.parse(_bytes(path))
    room = _room_file(contract) if contract is not None else _room_of(home, signed.receipt.contract)
    terms = _in_force_then(room, signed.receipt.time)
    keys = {party.name: bytes.fromhex(party.signing) for party in terms.parties}
    ours = home is not None and has_ledger and keys.get(home.party) == home.keys.public.signing
    ledger = home.ledger_path if home is not None and ours else None
    return audit.verify_receipt_file(path, keys, contract=terms.digest(), ledger=ledger)


def _in_force_then(room: Room, time: str) -> Contract:
    """The contract, if all had signed it and it ran at the time of the receipt."""
    try:
        moment = dt.datetime.fromisoformat(time)
    except (ValueError, RecursionError) as error:
        raise BadData("The receipt is damaged or incomplete.") from error
    if moment.tzinfo is None:
        raise BadData("The receipt is damaged or incomplete.")
    return room.signed.check(moment)


def _room_of(home: Home | None, digest: str) -> Room:
    for room in _rooms(home) if home is not None else ():
        if room.contract.digest() == digest:
            return room
    raise UsageError("This node has no room with the receipt's contract.", "Name the contract's file with --contract.")


def _room_file(path: Path) -> Room:
    try:
        return from_plain(json.loads(_bytes(path)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadData("{name} is not a contract.", "Ask the partner for it again.", name=path.name) from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError("{name} cannot be read: {reason}.", name=path.name, reason=error.strerror) from error


def _rooms(home: Home) -> list[Room]:
    kept = Rooms(home.rooms)
    return [kept.load(name) for name in kept.names()]


def _neighbours(home: Home) -> list[Home]:
    """Homes of parties on this same machine."""
    return [Home.open(path) for path in sorted(home.peers.iterdir()) if (path / "node.json").exists()]


def _told(report: AuditReport) -> dict[str, Any]:
    return {"subject": report.subject, "entries": report.entries, "steps": list(report.steps)}
