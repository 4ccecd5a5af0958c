"""Keeping a room: on disk, and in the ledger the first time that all have signed it."""

from cleanroom.home import Home
from cleanroom.ledger.opening import open_ledger
from cleanroom.rooms import paillier_keys
from cleanroom.rooms.store import Room, Rooms


def keep(home: Home, room: Room) -> None:
    """Store the room under its name, its Paillier keys checked; where all have signed and this is new, the ledger says
    so. Raises BadData or BadMessage for a key that is not the one signed, or not proved."""
    paillier_keys.check(home, room.contract, room.keys)
    kept, contract = Rooms(home.rooms), room.contract
    complete = len(room.signed.signatures) == len(contract.parties)
    known = contract.room in kept.names() and kept.load(contract.room).signed == room.signed
    kept.save(room)
    if complete and not known:
        parties = [party.name for party in contract.parties]
        with open_ledger(home) as ledger:
            ledger.append("contract", {"contract": contract.digest(), "room": contract.room, "parties": parties})


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
