"""The crowds of a home, a sealed file each, and what holds for every activation of a room. No member stands here.

crowds/C0123456789abcdef   a crowd, sealed under its code        crowds/index   names and external codes, sealed
crowds/guards              what every activation leaves out      crowds.lock    one writer at a time
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.crowds import rule as rules
from cleanroom.crowds.crowd import Crowd, from_plain
from cleanroom.crowds.rule import Node
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home

INDEX_FORMAT, GUARDS_FORMAT = "cleanroom-crowds/1", "cleanroom-guards/1"
MOST_CROWDS = 10_000
_MOST_BYTES = 1 << 26
_CODE = re.compile(r"C[0-9a-f]{16}", re.ASCII)
Change = Callable[[Crowd], Crowd]


@dataclass(frozen=True)
class Entry:
    """A crowd as the index has it, for lists and look-ups."""

    code: str
    room: str
    name: str
    external: str
    hidden: bool
    archived: bool


@dataclass(frozen=True)
class Guard:
    """What every activation of a room leaves out: people of these nodes (lists, crowds, conditions on how often
    somebody was reached), and the share of people, in thousandths, whom nothing ever addresses."""

    nodes: tuple[Node, ...] = ()
    holdout: int = 0


class Crowds:
    """The crowds of one home. Any process of its owner may call it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.path / "crowds"

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever changes anything; not entered twice."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return private_files.locked(self._home.path / "crowds.lock")

    @staticmethod
    def new_code() -> str:
        """Never used before."""
        return f"C{secrets.token_hex(8)}"

    def add(self, crowd: Crowd) -> None:
        """A new one; the caller holds the lock. Raises Refused where there are too many."""
        index = self._index()
        if len(index) >= MOST_CROWDS:
            raise Refused("A home has at most {most} crowds.", "Start a new home for the next ones.", most=MOST_CROWDS)
        self._save(crowd)
        self._save_index({**index, crowd.code: _entry(crowd)})

    def get(self, code: str) -> Crowd:
        """Raises UsageError where there is none."""
        path = self._folder / code
        if not _CODE.fullmatch(code) or not path.is_file():
            raise UsageError("There is no crowd {code}.", "cleanroom crowd list shows them.", code=code[:64])
        crowd = from_plain(self._read(code))
        if crowd.code != code:
            raise BadData("A crowd's file is damaged.", "Restore it from a backup.")
        return crowd

    def change(self, code: str, change: Change) -> Crowd:
        """The crowd as `change` makes it, durably."""
        with self.lock():
            held = self.get(code)
            made = change(held)
            self._save(made)
            if _entry(made) != _entry(held):
                self._save_index({**self._index(), code: _entry(made)})
            return made

    def by_external(self, external: str, room: str = "") -> Crowd | None:
        """The crowd that was made under this code of somebody else's; room: in that one alone, where one is named."""
        every = (each for each in self._index().values() if room in ("", each.room))
        found = (each for each in every if external and each.external == external)
        entry = next(found, None)
        return self.get(entry.code) if entry else None

    def entries(self) -> tuple[Entry, ...]:
        """All, the newest first."""
        return tuple(reversed(self._index().values()))

    # -- what holds for every activation

    def guard(self, room: str) -> Guard:
        """What the room's activations leave out."""
        held = self._guards().get(room)
        if held is None:
            return Guard()
        pool = rules.from_plain(held["rule"]).pools[0].nodes if held["rule"] else ()
        return Guard(pool, held["holdout"])

    def set_guard(self, room: str, guard: Guard) -> None:
        """From the next activation on."""
        with self.lock():
            plain = rules.Rule((rules.Pool(guard.nodes),)).plain() if guard.nodes else None
            guards = {**self._guards(), room: {"rule": plain, "holdout": guard.holdout}}
            self._write("guards", {"format": GUARDS_FORMAT, "rooms": guards})

    def _guards(self) -> dict[str, Any]:
        if not (self._folder / "guards").is_file():
            return {}
        return dict(_known(self._read("guards"), GUARDS_FORMAT)["rooms"])

    # -- files

    def _index(self) -> dict[str, Entry]:
        if not (self._folder / "index").is_file():
            return {}
        held = _known(self._read("index"), INDEX_FORMAT)
        return {each["code"]: Entry(**each) for each in held["crowds"]}

    def _save_index(self, index: Mapping[str, Entry]) -> None:
        self._write("index", {"format": INDEX_FORMAT, "crowds": [vars(each) for each in index.values()]})

    def _save(self, crowd: Crowd) -> None:
        self._write(crowd.code, crowd.plain())

    def _write(self, name: str, value: canonical.Json) -> None:
        write_bytes(self._folder / name, self._home.wrapping.wrap(f"crowd/{name}", canonical.encode(value)))

    def _read(self, name: str) -> Any:
        sealed = private_files.read(self._folder / name, _MOST_BYTES)
        return json.loads(self._home.wrapping.unwrap(f"crowd/{name}", sealed))


def _entry(crowd: Crowd) -> Entry:
    return Entry(crowd.code, crowd.room, crowd.name, crowd.external, crowd.hidden, crowd.archived)


def _known(value: Any, form: str) -> Any:
    if value["format"] != form:
        raise BadData("A crowd is of an unknown version.", "Update this program.")
    return value
