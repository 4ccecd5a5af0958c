"""Keeping a room: on disk, and in the ledger the first time that all have signed it."""

import shutil

from cleanroom.home import Home
from cleanroom.ledger.opening import open_ledger
from cleanroom.rooms import paillier_keys, room_secrets
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import PROTOCOLS


def keep(home: Home, room: Room, *, instead_of: str = "") -> None:
    """Store the room under its name, its Paillier keys checked; where all have signed and this is new, the ledger says
    so. instead_of: digest of the contract in force that it replaces, which is kept beside; what was kept of persons for
    the next run under it goes. Raises BadData or BadMessage for a key that is not the one signed, or not proved,
    Refused where another contract of that name is in force."""
    paillier_keys.check(home, room.contract, room.keys)
    room_secrets.check(home, room.contract, room.secrets)
    kept, contract = Rooms(home.rooms), room.contract
    known = contract.room in kept.names() and kept.load(contract.room).signed == room.signed
    kept.save(room, instead_of=instead_of)
    if instead_of:
        _end_epochs(home, contract.room)
    if room.complete and not known:
        parties = [party.name for party in contract.parties]
        with open_ledger(home) as ledger:
            ledger.append("contract", {"contract": contract.digest(), "room": contract.room, "parties": parties})


def _end_epochs(home: Home, room: str) -> None:
    """Key epochs are counted from a contract's beginning, and sealed under its digest: another one begins its own."""
    for protocol in PROTOCOLS:
        for folder in (home.rooms / room).glob(f"{protocol}-[0-9]*"):
            shutil.rmtree(folder)


def free_name(home: Home, wanted: str) -> str:
    """`wanted`, or `wanted-2` and so on where that is taken: a room's receipts need its contract. Now it is taken."""
    name, number = wanted, 1
    while True:
        try:
            (home.rooms / name).mkdir(mode=0o700)
        except FileExistsError:
            number += 1
            name = f"{wanted}-{number}"
        else:
            return name
