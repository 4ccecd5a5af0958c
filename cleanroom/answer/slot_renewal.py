"""After an import: the slots of the dataset's new version are encrypted for the rooms that keep some, before a run
waits for them. How much is encrypted anew is for each room's rule to say (`slot_store`).
"""

import datetime as dt
from typing import TYPE_CHECKING

from cleanroom.answer.slot_store import SlotStore
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.rooms.store import Room, Rooms

if TYPE_CHECKING:
    from cleanroom.answer.side import Step


def renew(home: Home, dataset: str, step: "Step") -> None:
    """Renew what rooms keep of this dataset's slots; remove it where it cannot be: a run says why, if there is one."""
    rooms = Rooms(home.rooms)
    for name in rooms.names():
        try:
            room = rooms.load(name)
        except BadData:
            continue
        if home.party in room.contract.owners and room.contract.dataset_of(home.party).name == dataset:
            _renew(home, room, step)


def _renew(home: Home, room: Room, step: "Step") -> None:
    store, slots = SlotStore(home, room.contract), room.contract.slots_of(room.contract.dataset_of(home.party).name)
    if slots is None or not store.path.exists():
        return
    from cleanroom.answer.side import Side  # gmpy2 and more, where something is encrypted

    try:
        room.in_force(dt.datetime.now(dt.UTC))
        side = Side(home, room, Query((), ()), {}, None, step)
        side.slot_rows(slots, side.paillier(slots))
    except (BadData, Refused, UsageError):  # expired, a column is missing, more rows than allowed
        store.remove()
