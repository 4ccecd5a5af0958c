"""What a user keeps of insight: pages with their settings under a name, and the conditions that were typed.

    console/USER.insight, where USER is a digest of the name; sealed by the home's root key
    {"format": "cleanroom-insight-kept/1", "views": [...], "conditions": [...]}

A condition may hold values of the data, so it never stands in an address or in a log: pages name it by its id. Any user
of the node who may see insight can open a page by its link, so an id is looked for with all of them.
"""

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home

FORMAT = "cleanroom-insight-kept/1"
MOST_VIEWS, MOST_CONDITIONS, MOST_NAME, MOST_CONDITION = 200, 300, 80, 4_000
_FOLDER, _TAIL, _LOCK = "console", ".insight", "insight.lock"
_MOST_BYTES = 1 << 22


@dataclass(frozen=True)
class Saved:
    """A page with its settings. tab, query: of its address; made: UTC."""

    id: str
    name: str
    room: str
    tab: str
    query: str
    made: str

    @property
    def path(self) -> str:
        """Its address."""
        return f"/insight/{self.room}/{self.tab}" + (f"?{self.query}" if self.query else "")


@dataclass(frozen=True)
class Condition:
    """A condition that was typed or put together for a room."""

    id: str
    room: str
    text: str


@dataclass(frozen=True)
class Kept:
    """All that a user keeps, the oldest first."""

    views: tuple[Saved, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def of_room(self, room: str) -> tuple[Saved, ...]:
        """The views of a room, by name."""
        return tuple(sorted((each for each in self.views if each.room == room), key=lambda each: each.name))


def kept_of(home: Home, user: str) -> Kept:
    """What the user keeps. Raises BadData where it was changed."""
    return _load(home, _path(home, user))


def save(home: Home, user: str, name: str, room: str, tab: str, query: str) -> Saved:
    """Keep a page under a name; a view of that name in the room is replaced. Raises UsageError, Refused."""
    made = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    view = Saved(secrets.token_hex(8), _named(name), room, tab, query, made)

    def changed(held: Kept) -> Kept:
        others = tuple(each for each in held.views if (each.room, each.name) != (room, view.name))
        if len(others) >= MOST_VIEWS:
            raise Refused("More than {most} views cannot be kept.", "Delete some first.", most=MOST_VIEWS)
        return replace(held, views=(*others, view))

    _change(home, user, changed)
    return view


def rename(home: Home, user: str, number: str, name: str) -> None:
    """Another name for a view. Raises UsageError where there is none."""
    wanted = _named(name)

    def changed(held: Kept) -> Kept:
        _found(held, number)
        return replace(held, views=tuple(replace(each, name=wanted) if each.id == number else each
                                         for each in held.views))  # fmt: skip

    _change(home, user, changed)


def delete(home: Home, user: str, number: str) -> None:
    """A view less. Raises UsageError where there is none."""

    def changed(held: Kept) -> Kept:
        _found(held, number)
        return replace(held, views=tuple(each for each in held.views if each.id != number))

    _change(home, user, changed)


def keep_condition(home: Home, user: str, room: str, text: str) -> str:
    """The id under which pages name a condition; "" for none. The oldest that no view uses make room. Raises
    UsageError for one that is too long."""
    text = text.strip()
    if not text:
        return ""
    if len(text) > MOST_CONDITION:
        raise UsageError("A condition has at most {most} signs.", most=MOST_CONDITION)
    for each in kept_of(home, user).conditions:
        if (each.room, each.text) == (room, text):
            return each.id
    made = Condition(secrets.token_hex(8), room, text)

    def changed(held: Kept) -> Kept:
        used = [each for each in held.conditions if any(each.id in view.query for view in held.views)]
        free = [each for each in held.conditions if each not in used]
        return replace(held, conditions=(*used, *free[-(MOST_CONDITIONS - 1) :], made))

    _change(home, user, changed)
    return made.id


def condition(home: Home, room: str, number: str) -> str:
    """The condition of that id, "" for none. Raises UsageError where it is gone."""
    if not number:
        return ""
    folder = home.path / _FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.endswith(_TAIL):
            for each in _load(home, path).conditions:
                if (each.id, each.room) == (number, room):
                    return each.text
    raise UsageError("This segment is not kept any more.", "Choose it once more.")


def _named(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MOST_NAME:
        raise UsageError("A view has a name of at most {most} signs.", most=MOST_NAME)
    return name


def _found(held: Kept, number: str) -> Saved:
    for each in held.views:
        if each.id == number:
            return each
    raise UsageError("There is no such view.", "The list shows what there is.")


def _path(home: Home, user: str) -> Path:
    return home.path / _FOLDER / (hashlib.sha256(user.encode()).hexdigest()[:32] + _TAIL)


def _sealed_as(path: Path) -> str:
    return f"console/{path.name}"


def _load(home: Home, path: Path) -> Kept:
    if not path.exists():
        return Kept()
    content = home.wrapping.unwrap(_sealed_as(path), private_files.read(path, _MOST_BYTES))
    try:
        told: Any = json.loads(content)
        if told["format"] != FORMAT:
            raise BadData("What is kept of insight has a format that this version does not know.",
                          "Update this program.")  # fmt: skip
        return Kept(tuple(Saved(**each) for each in told["views"]),
                    tuple(Condition(**each) for each in told["conditions"]))  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise BadData("What is kept of insight is damaged.", "Restore it from a backup.") from error


def _change(home: Home, user: str, changed: Callable[[Kept], Kept]) -> None:
    path = _path(home, user)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with private_files.locked(path.parent / _LOCK):
        held = changed(_load(home, path))
        content = canonical.encode({"format": FORMAT, "views": [asdict(each) for each in held.views],
                                    "conditions": [asdict(each) for each in held.conditions]})  # fmt: skip
        write_bytes(path, home.wrapping.wrap(_sealed_as(path), content))
