"""Keeping a room: on disk, and in the ledger the first time that all have signed it."""

from cleanroom.home import Home
from cleanroom.ledger.opening import open_ledger
from cleanroom.rooms.store import Room, Rooms


def keep(home: Home, room: Room) -> None:
    """Store the room under its name; where all have signed and this is new, the ledger says so."""
    kept, contract = Rooms(home.rooms), room.contract
    complete = len(room.signed.signatures) == len(contract.parties)
    known = contract.room in kept.names() and kept.load(contract.room).signed == room.signed
    kept.save(room)
    if complete and not known:
        parties = [party.name for party in contract.parties]
        with open_ledger(home) as ledger:
            ledger.append("contract", {"contract": contract.digest(), "room": contract.room, "parties": parties})


def free_name(home: Home, wanted: str) -> str:
    """`wanted`, or `wanted-2` and so on where a room of that name is kept: its receipts need its contract."""
    names = set(Rooms(home.rooms).names())
    return next(name for number in range(1, len(names) + 2)
                if (name := wanted if number == 1 else f"{wanted}-{number}") not in names)  # fmt: skip
