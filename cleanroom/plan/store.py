"""Plans kept in the home, sealed by its root key as answers are: a folder a room, a file a plan, none ever changed.

rooms/ROOM/plans/20261122T100701Z
"""

import datetime as dt
from pathlib import Path
from typing import Literal

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.plan.cube import MOST_COUNTS, Cube

Period = Literal["weekly", "monthly"]

_FOLDER = "plans"
_STAMP = "%Y%m%dT%H%M%SZ"
_MOST_BYTES = 8 * MOST_COUNTS + (1 << 24)


class Plans:
    """The plans of a home's rooms."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def keep(self, room: str, cube: Cube) -> None:
        """Durably. Raises UsageError for a cube of another room or where the room is not here."""
        if cube.room != room or not self._folder(room).parent.is_dir():
            raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(room).name)
        folder = self._folder(room)
        folder.mkdir(mode=0o700, exist_ok=True)
        name = cube.made.strftime(_STAMP)
        write_bytes(folder / name, self._home.wrapping.wrap(_sealed_as(room, name), cube.to_bytes()))

    def list(self, room: str) -> tuple[dt.datetime, ...]:
        """When the room's plans were made, oldest first."""
        folder = self._folder(room)
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return tuple(moment for name in names if (moment := _moment(name)) is not None)

    def load(self, room: str, made: dt.datetime) -> Cube:
        """The plan made then. Raises UsageError where there is none, BadData where it was changed."""
        path = self._folder(room) / made.strftime(_STAMP)
        if not path.exists():
            raise UsageError("The room {room} has no plan of {day}.", room=room, day=made.date().isoformat())
        sealed = private_files.read(path, _MOST_BYTES)
        cube = Cube.from_bytes(self._home.wrapping.unwrap(_sealed_as(room, path.name), sealed))
        if (cube.room, cube.made) != (room, made):
            raise BadData("A plan stands under the name of another.", "Restore it from a backup.")
        return cube

    def latest(self, room: str) -> Cube | None:
        """The room's newest plan, or None."""
        made = self.list(room)
        return self.load(room, made[-1]) if made else None

    def due(self, room: str, period: Period, now: dt.datetime) -> bool:
        """Whether no plan was made in the calendar week (from Monday) or month of `now`, in UTC, nor later."""
        made = self.list(room)
        return not made or _number(made[-1], period) < _number(now.astimezone(dt.UTC), period)

    def _folder(self, room: str) -> Path:
        if Path(room).name != room or room in ("", ".", ".."):
            raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(room).name)
        return self._home.rooms / room / _FOLDER


def _sealed_as(room: str, name: str) -> str:
    return f"plan/{room}/{name}"


def _moment(name: str) -> dt.datetime | None:
    """When the plan of that name was made; None for a file that is none, as one left over from a crash."""
    try:
        return dt.datetime.strptime(name, _STAMP).replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def _number(moment: dt.datetime, period: Period) -> tuple[int, int]:
    return moment.isocalendar()[:2] if period == "weekly" else (moment.year, moment.month)
