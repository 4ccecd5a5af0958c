"""Where a call is carried out: the merchant's home, the app's room, the day. Kept open between calls.

What was read is read anew when its file changed; nobody's right is remembered longer than its file says.
"""

import datetime as dt
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cleanroom import private_files
from cleanroom.access import catalogue
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.reading import report_day
from cleanroom.crowds.store import Crowds
from cleanroom.gateway.apps import App
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.tags import Tags
from cleanroom.home import Home
from cleanroom.node.schedule import USUAL_ZONE
from cleanroom.plan.cube import Cube
from cleanroom.plan.store import Plans
from cleanroom.rooms.left import FILE as LEFT
from cleanroom.rooms.store import FILE, Room, Rooms
from cleanroom.rooms.terms import Dataset

_MOST_CUBES = 8


class Shelf:
    """Rooms, their tags and plans as they were last opened. A room is opened anew when its file changed, and is checked
    to be in force at every call; a plan never changes."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._rooms: dict[str, tuple[object, Room, dt.datetime]] = {}
        self._tags: dict[str, tuple[object, Tags]] = {}
        self._cubes: OrderedDict[tuple[str, dt.datetime], Cube] = OrderedDict()

    def room(self, name: str) -> Room:
        """The room, in force. Raises Refused, UsageError, BadData."""
        now, marks = dt.datetime.now(dt.UTC), self._marks(name)
        with self._lock:
            held = self._rooms.get(name)
        if held is None or held[0] != marks or now >= held[2]:
            room = Rooms(self._home.rooms).load(name)
            contract = room.in_force(now)
            held = (marks, room, dt.datetime.fromisoformat(contract.expires))
            with self._lock:
                self._rooms[name] = held
        return held[1]

    def tags(self, room: Room) -> Tags:
        """The room's, with the titles of the catalogue as they are now."""
        name = room.contract.room
        marks = (id(room), _mark(self._home.path / "catalogue.json"))
        with self._lock:
            held = self._tags.get(name)
        if held is None or held[0] != marks:
            held = (marks, Tags(room, catalogue.load(self._home)))
            with self._lock:
                self._tags[name] = held
        return held[1]

    def plan(self, room: Room, day: dt.date) -> Cube:
        """The newest plan of the contract whose report date, the day before it was made, is not after `day`.

        Raises Fault where there is none.
        """
        plans, name = Plans(self._home), room.contract.room
        for made in reversed(plans.list(name)):
            if report_date(made) <= day:
                cube = self._opened(plans, name, made)
                if cube.contract == room.contract.digest():
                    return cube
        raise Fault("REPORT_NOT_READY")

    def _opened(self, plans: Plans, room: str, made: dt.datetime) -> Cube:
        with self._lock:
            if (room, made) not in self._cubes:
                self._cubes[room, made] = plans.load(room, made)
            self._cubes.move_to_end((room, made))
            while len(self._cubes) > _MOST_CUBES:
                self._cubes.popitem(last=False)
            return self._cubes[room, made]

    def _marks(self, name: str) -> object:
        """What changes when the room does, or when somebody leaves it."""
        folder = self._home.rooms / Path(name).name
        return _mark(folder / FILE), _mark(folder / LEFT)


@dataclass(frozen=True)
class Place:
    """One call's."""

    home: Home
    app: App
    shelf: Shelf

    @property
    def path(self) -> Path:
        """Of the home."""
        return self.home.path

    @cached_property
    def room(self) -> Room:
        """The app's, in force. Raises Refused."""
        return self.shelf.room(self.app.room)

    @property
    def dataset(self) -> Dataset:
        """The merchant's in the room."""
        return self.room.contract.dataset_of(self.home.party)

    @cached_property
    def tags(self) -> Tags:
        """The room's."""
        return self.shelf.tags(self.room)

    @property
    def yesterday(self) -> dt.date:
        """The day that data are as of."""
        return report_day()

    def crowd(self, code: str) -> Crowd:
        """A crowd of the app's room. Raises Fault, UsageError."""
        found = Crowds(self.home).get(code)
        if found.room != self.app.room:
            raise Fault("CROWD_NOT_FOUND")
        return found


def report_date(made: dt.datetime) -> dt.date:
    """Of a plan made at that moment: the day before, in the domain's zone."""
    return made.astimezone(USUAL_ZONE).date() - dt.timedelta(days=1)


def _mark(path: Path) -> tuple[int, ...]:
    return private_files.mark(path) if path.exists() else ()
