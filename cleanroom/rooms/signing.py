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
from cleanroom.rooms import draft, paillier_keys, room_secrets
from cleanroom.rooms.contract import LABEL, Contract, SignedContract
from cleanroom.rooms.desk import line
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.store import Room, Rooms, another, from_plain, gathered, to_plain


def sign(path: Path, file: Path, out: Path | None) -> dict[str, Any]:
    """Sign a draft or a contract that others sent, keep it, and write it for the partners.

    1. No signature under it is wrong. 2. It is not expired. 3. It does not replace another contract in force, unless
    all have signed that it does, this party too: then this home is older than that, restored from a backup. 4. What
    this party promises is there. 5. It names this party's keys.
    """
    from cleanroom.node.jobs import check_own  # pyarrow and DuckDB: only where something is signed

    home = Home.open(path.expanduser())
    offered = _offered(file)
    check_signatures(offered.signed)  # 1
    check_expiry(offered.contract)  # 2
    kept = Rooms(home.rooms)
    room = for_party(home.party, _with_kept(offered, kept))  # 3
    held = kept.load(room.contract.room).contract.digest() if room.contract.room in kept.names() else ""
    check_own(home, room)  # 4
    room = with_signature(home, room)  # 5
    shared = out or Path(f"{room.contract.room}.room.json")
    # before anybody gets the signature: what cannot be kept is not signed
    keep(home, room, instead_of=held if held != room.contract.digest() else "")
    for_operator = _share(room, shared)
    missing = [party.name for party in room.contract.parties if party.name not in room.signed.signatures]
    return {**line(room), "party": home.party, "path": str(shared), "for_operator": for_operator, "missing": missing}


def with_signature(home: Home, room: Room) -> Room:
    """The room with this party's signature, with the Paillier key that the contract names for its slots, and of the
    owner of the left dataset with the secret that more than two owners share. Raises Refused where another owner has
    not got that."""
    secrets = room_secrets.offered(home, room.contract, room.secrets)
    signed = room.signed.sign(home.party, home.keys)
    keys = paillier_keys.offered(home, room.contract)
    return gathered(room, [Room(signed, None, keys, secrets=secrets)])


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


def check_signatures(signed: SignedContract) -> None:
    """Raises BadData for a signature that is not its party's."""
    for name, signature in signed.signatures.items():
        key = bytes.fromhex(signed.contract.party(name).signing)
        verify(key, LABEL, bytes.fromhex(signed.contract.digest()), bytes.fromhex(signature))


def check_expiry(contract: Contract) -> None:
    """Raises Refused where it has ended already."""
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
    if held.complete and not _follows(offered, held):
        raise another(offered.contract.room)
    return offered


def _follows(offered: Room, held: Room) -> bool:
    """Whether all who signed the contract that is in force have signed this one later."""
    before, after = held.contract, offered.contract
    later = dt.datetime.fromisoformat(after.created) > dt.datetime.fromisoformat(before.created)
    return offered.complete and set(before.parties) == set(after.parties) and later


def for_party(name: str, room: Room) -> Room:
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
