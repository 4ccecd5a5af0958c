"""Rooms as pages need them again and again: read and verified once for each state of their files on the disk.

A room's files are replaced, never changed; whether its days are over is looked at every time.
"""

import datetime as dt
import functools
from pathlib import Path
from typing import Any

from cleanroom.home import Home
from cleanroom.rooms import desk
from cleanroom.rooms.store import FILE, Room, Rooms

_Stamp = tuple[tuple[str, int, int], ...]


def held(home: Home, name: str) -> Room:
    """The room of that name. Raises as `Rooms.load`."""
    return _held(home.rooms, name, _stamp(home, name))


def line(home: Home, name: str) -> dict[str, Any]:
    """The room in one line, as `rooms.desk.line` tells it now."""
    found = _line(home.rooms, name, _stamp(home, name))
    if dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(found["expires"]):
        return desk.line(held(home, name))
    return found


def lines(home: Home) -> list[dict[str, Any]]:
    """All rooms of the home, a line each."""
    return [line(home, name) for name in Rooms(home.rooms).names()]


def in_force(home: Home) -> list[str]:
    """Names of the rooms in which something may run."""
    return [name for name in Rooms(home.rooms).names() if line(home, name)["in_force"]]


@functools.lru_cache(128)
def _held(folder: Path, name: str, stamp: _Stamp) -> Room:
    return Rooms(folder).load(name)


@functools.lru_cache(128)
def _line(folder: Path, name: str, stamp: _Stamp) -> dict[str, Any]:
    return desk.line(_held(folder, name, stamp))


def _stamp(home: Home, name: str) -> _Stamp:
    """What tells one state of a room's files from another; () where there are none."""
    folder = home.rooms / Path(name).name
    found = [path for path in (folder / FILE, folder / "left.json") if path.is_file()]
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in found)
