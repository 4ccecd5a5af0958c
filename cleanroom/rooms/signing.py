"""Signing: a party takes a draft or a contract that others sent, checks it, signs it, keeps it and passes it on.

Whoever reads a file takes over the signatures that verify. Labels go to data owners only, never to an operator.
"""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import verify
from cleanroom.rooms import draft, paillier_keys
from cleanroom.rooms.contract import LABEL, Contract, SignedContract
from cleanroom.rooms.desk import line
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.store import Room, Rooms, from_plain, gathered, to_plain


def sign(path: Path, file: Path, out: Path | None) -> dict[str, Any]:
    """Sign a draft or a contract that others sent, keep it, and write it for the partners.

    1. No signature under it is wrong. 2. It is not expired. 3. It does not replace another contract in force. 4. What
    this party promises is there. 5. It names this party's keys.
    """
    from cleanroom.node.jobs import check_own  # pyarrow and DuckDB: only where something is signed

    home = Home.open(path.expanduser())
    offered = _offered(file)
    _check_signatures(offered.signed)  # 1
    _check_expiry(offered.contract)  # 2
    room = _for(home.party, _with_kept(offered, Rooms(home.rooms)))  # 3
    check_own(home, room)  # 4
    room = with_signature(home, room)  # 5
    shared = out or Path(f"{room.contract.room}.room.json")
    keep(home, room)  # before anybody gets the signature: what cannot be kept is not signed
    for_operator = _share(room, shared)
    missing = [party.name for party in room.contract.parties if party.name not in room.signed.signatures]
    return {**line(room), "party": home.party, "path": str(shared), "for_operator": for_operator, "missing": missing}


def with_signature(home: Home, room: Room) -> Room:
    """The room with this party's signature, and with the Paillier key that the contract names for its slots."""
    signed = room.signed.sign(home.party, home.keys)
    return gathered(room, [Room(signed, None, paillier_keys.offered(home, room.contract))])


def _offered(file: Path) -> Room:
    if file.suffix.lower() == ".toml":
        contract, annexes = draft.read(file)
        return Room(SignedContract(contract), annexes)
    try:
        return from_plain(json.loads(file.read_bytes()))
    except FileNotFoundError as error:
        raise UsageError("There is no file {name}.", "cleanroom room new writes a draft.", name=file.name) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadData("{name} is not a contract.", "Ask the partner for it again.", name=file.name) from error


def _check_signatures(signed: SignedContract) -> None:
    for name, signature in signed.signatures.items():
        key = bytes.fromhex(signed.contract.party(name).signing)
        verify(key, LABEL, bytes.fromhex(signed.contract.digest()), bytes.fromhex(signature))


def _check_expiry(contract: Contract) -> None:
    if dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(contract.expires):
        raise Refused("The contract is not in force: it runs from {start} to {end}.", "Agree on a new one.",
                      start=contract.created, end=contract.expires)  # fmt: skip


def _with_kept(offered: Room, kept: Rooms) -> Room:
    """`offered` with the labels and signatures this node has already. Raises Refused for a second contract of a name.

    Once all have signed, a room keeps its contract: its ledger entries and receipts are checked by the keys in it.
    """
    if offered.contract.room not in kept.names():
        return offered
    held = kept.load(offered.contract.room)
    if held.contract.digest() == offered.contract.digest():
        return gathered(offered, [held])
    if len(held.signed.signatures) == len(held.contract.parties):
        raise Refused(
            "The room {room} has another contract, which all have signed.", "Give the new one another name.",
            room=offered.contract.room,
        )  # fmt: skip
    return offered


def _for(name: str, room: Room) -> Room:
    """The room as this party may hold it. Raises BadData where a data owner got it without the labels."""
    if room.contract.party(name).role == "operator":
        return Room(room.signed, None, room.keys)
    if room.annexes is None and name in room.contract.owners:
        raise BadData("This file has no labels, which a data owner needs.", "Ask for the file that is for the owners.")
    return room


def _share(room: Room, path: Path) -> str | None:
    """Write the contract to `path`, and for an operator beside it, without labels: that file's path."""
    write_bytes(path, canonical.encode(to_plain(room)))
    operator = next((party.name for party in room.contract.parties if party.role == "operator"), None)
    if operator is None or room.annexes is None:
        return None
    beside = path.with_name(f"{path.name.removesuffix('.json')}.{operator}.json")
    write_bytes(beside, canonical.encode(to_plain(room, for_operator=True)))
    return str(beside)
