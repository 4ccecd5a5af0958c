"""Afterwards: whether a ledger and a receipt hold, and what stands in the ledger. Writes nothing but exports.

Whose keys count comes from the rooms of the home, and from the homes of parties that run on this same machine; what
those have seen of this ledger is its witness.
"""

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from cleanroom.answer import closing
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.ledger import audit, words
from cleanroom.ledger import export as exports
from cleanroom.ledger.audit import AuditReport
from cleanroom.ledger.chain import Head
from cleanroom.ledger.export import Export
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import Receipt, SignedReceipt
from cleanroom.ledger.receipt import verify as verify_receipt
from cleanroom.ledger.store import Contents, read
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room, Rooms, from_plain
from cleanroom.rooms.taking_part import signers


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


def exported(path: Path, out: Path) -> dict[str, Any]:
    """The home's ledger, checked, in one file for an auditor. Raises BadData naming the step that failed."""
    home = Home.open(path.expanduser())
    _ledger(home)
    contracts = tuple(room.signed for room in _rooms(home) if _signed_by_all(room))
    export = Export(read(home.ledger_path), home.keys.public, contracts, tuple(_witnesses(home)))
    out = out.expanduser()
    exports.write(out, export)
    return {"path": str(out), **_of_export(export)}


def verified_export(path: Path, file: Path, receipt: Path | None, contract: Path | None) -> dict[str, Any]:
    """An export, and a receipt that is in it, without a home. Raises BadData naming the step that failed.

    Where there is a home at `path`, its own ledger and the heads it has seen are held against the export. contract: the
    file of one that was agreed on, which must be among the export's.
    """
    export = exports.read(file.expanduser())
    near = path.expanduser() / "ledger.sqlite"
    copy, seen = _near(near, export) if near.exists() else (None, ())
    told = _told(exports.verify(export, copy=copy, witnesses=seen))
    if contract is not None and _room_file(contract).contract.digest() not in _held(export):
        raise BadData("The contract {name} is not among those of the export.", name=contract.name)
    checked: dict[str, Any] = {"party": export.ledger.party, "ledger": told, "receipt": None, **_of_export(export)}
    if receipt is not None:
        checked["receipt"] = _told(_exported_receipt(export, receipt))
    return checked


def _near(path: Path, export: Export) -> tuple[Contents | None, tuple[Head, ...]]:
    """This node's copy of the exported ledger, verified, or the heads of it that this node has seen."""
    ours = read(path)
    if ours.key != export.ledger.key:
        return None, audit.heads_seen(path, export.keys.signing)
    audit.verify_entries(ours, export.keys.signing)
    return ours, ()


def _exported_receipt(export: Export, path: Path) -> AuditReport:
    signed = SignedReceipt.parse(_bytes(path))
    held = _held(export)
    if signed.receipt.contract not in held:
        raise BadData("The export has no contract of this receipt.")
    keys = signers(held[signed.receipt.contract], signed.receipt)
    steps = verify_receipt(signed, keys, contract=signed.receipt.contract)
    steps = (*steps, audit.check_release(signed.receipt, export.ledger.entries))
    return AuditReport(signed.receipt.room, 0, steps, isolation=signed.receipt.isolation)


def _held(export: Export) -> dict[str, Contract]:
    return {signed.contract.digest(): signed.contract for signed in export.contracts}


def _of_export(export: Export) -> dict[str, Any]:
    """What its reader compares by another way: the head, the parties' fingerprints, the contracts."""
    contents = export.ledger
    return {
        "party": contents.party,
        "entries": len(contents.entries),
        "head": contents.entries[-1].hash if contents.entries else "",
        "fingerprints": export.fingerprints,
        "contracts": {signed.contract.room: signed.contract.digest() for signed in export.contracts},
        "missing_contracts": list(export.missing),
    }


def entries(path: Path) -> dict[str, Any]:
    """Every entry of the home's ledger in words, unverified."""
    home = Home.open(path.expanduser())
    rows = [
        {"seq": row.seq, "time": row.time, "kind": row.kind, "template": row.text, "params": dict(row.params),
         "asked_by": list(row.asked_by)}
        for row in words.show(home.ledger_path)
    ]  # fmt: skip
    return {"home": str(home.path), "party": home.party, "entries": rows}


def _ledger(home: Home) -> AuditReport:
    key = home.keys.public.signing
    neighbours = _neighbours(home)
    peers = {(party.name, bytes.fromhex(party.signing)) for room in _rooms(home) for party in room.contract.parties}
    peers |= {(neighbour.party, neighbour.keys.public.signing) for neighbour in neighbours}
    report = audit.verify_home_ledger(home.ledger_path, key, peers=peers, witnesses=_witnesses(home))
    contracts = {room.contract.digest(): room.contract for room in _rooms(home)}
    exports.check_budgets(read(home.ledger_path).entries, contracts)
    return report


def _witnesses(home: Home) -> list[Head]:
    """Heads of the home's ledger that parties on this same machine have seen."""
    ledgers = [neighbour.ledger_path for neighbour in _neighbours(home) if neighbour.ledger_path.exists()]
    return [head for path in ledgers for head in audit.heads_seen(path, home.keys.public.signing)]


def _receipt(home: Home | None, path: Path, contract: Path | None, has_ledger: bool) -> AuditReport:
    signed = SignedReceipt.parse(_bytes(path))
    room = _room_file(contract) if contract is not None else _room_of(home, signed.receipt.contract)
    terms = _in_force_then(room, signed.receipt.time)
    keys = signers(terms, signed.receipt)
    ours = home is not None and has_ledger and keys.get(home.party) == home.keys.public.signing
    if home is None or not ours:
        return audit.verify_receipt_file(path, keys, contract=terms.digest())
    answer = _answer(home, room, signed.receipt) if home.party in terms.owners else None
    return audit.verify_receipt_file(path, keys, contract=terms.digest(), answer=answer, ledger=home.ledger_path)


def _answer(home: Home, room: Room, receipt: Receipt) -> tuple[pa.Table, bytes] | None:
    """The released table that this home keeps, and the salt of its digest; None where it keeps none."""
    question = receipt.asked()
    with open_ledger(home) as ledger:
        if ledger.stored_answer(question.digest()) is None:
            return None
    over = () if receipt.tables else receipt.over  # the salt of a board is all owners'
    side = Side(home, room, Query(receipt.by, receipt.sums), {}, None, lambda *_: None, over=over)
    return closing.recall(home, question.digest())[0].table, closing.salt(side, question)


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
    room = None if home is None else Rooms(home.rooms).under(digest)
    if room is not None:
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
    return Rooms(home.rooms).every()


def _signed_by_all(room: Room) -> bool:
    return room.signed.signatures.keys() == {party.name for party in room.contract.parties}


def _neighbours(home: Home) -> list[Home]:
    """Homes of parties on this same machine."""
    return [Home.open(path) for path in sorted(home.peers.iterdir()) if (path / "node.json").exists()]


def _told(report: AuditReport) -> dict[str, Any]:
    spent = [asdict(each) for each in report.spent]
    told = {"subject": report.subject, "entries": report.entries, "steps": list(report.steps), "spent": spent}
    return told if report.isolation is None else {**told, "isolation": report.isolation}
