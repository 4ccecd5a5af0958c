"""Drafts of crowds' rules: what a user is building, kept sealed on this node between two clicks, one file a draft.

A draft is for its user alone. It holds conditions by column and label, codes of lists and crowds, and SQL that the user
wrote; nobody's identity. Saving it as a crowd, or leaving it for a month, ends it.

    console/drafts/D0123456789abcdef
"""

import datetime as dt
import json
import re
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.console.visit import Visit
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes

FORMAT = "cleanroom-crowd-draft/1"
MOST_DRAFTS, MOST_BYTES, KEPT_DAYS = 50, 1 << 20, 30
MOST_POOLS, MOST_NODES, MOST_CONDITIONS = 16, 32, 16
TAG, SQL, LIST, CROWD = "tag", "sql", "list", "crowd"
_CODE = re.compile(r"D[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True)
class Condition:
    """People who have one of these labels of a column; other: everybody who has another."""

    column: str = ""
    labels: tuple[str, ...] = ()
    other: bool = False


@dataclass(frozen=True)
class Part:
    """What stands in a pool. kind: tag (conditions; every: all of them hold, or any; other: everybody else), sql
    (where), list or crowd (code)."""

    kind: str = TAG
    conditions: tuple[Condition, ...] = ()
    every: bool = True
    other: bool = False
    where: str = ""
    code: str = ""


@dataclass(frozen=True)
class Group:
    """A pool: inside: union or intersection; join: how it is joined to those before it."""

    parts: tuple[Part, ...] = ()
    inside: str = "union"
    join: str = "union"


@dataclass(frozen=True)
class Draft:
    """code: D and 16 hex digits; changed: UTC, ISO 8601; counted: the job of its charged size and the digest of the
    rule that was counted, both "" where none was."""

    code: str
    user: str
    room: str
    changed: str
    name: str = ""
    description: str = ""
    channels: tuple[str, ...] = ()
    days: int = 90
    pools: tuple[Group, ...] = (Group((Part(conditions=(Condition(),)),)),)
    counted: tuple[str, str] = ("", "")


class Drafts:
    """The drafts of whoever visits."""

    def __init__(self, visit: Visit) -> None:
        self._home, self._user = visit.home, visit.caller.name
        self._folder = visit.path / "console" / "drafts"

    def new(self, room: str, **parts: Any) -> Draft:
        """An empty one, or with these parts. Raises Refused where there are too many; old ones are removed."""
        kept = self.listed()
        if len(kept) >= MOST_DRAFTS:
            raise Refused("You have {most} drafts already.", "Save or discard some of them.", most=MOST_DRAFTS)
        self._folder.parent.mkdir(0o700, exist_ok=True)  # by itself: mkdir makes parents that anybody may enter
        self._folder.mkdir(0o700, exist_ok=True)
        return self.save(Draft(f"D{secrets.token_hex(8)}", self._user, room, "", **parts))

    def get(self, code: str) -> Draft:
        """Raises UsageError where this user has none of that code."""
        path = self._folder / code
        if not _CODE.fullmatch(code) or not path.is_file():
            raise _missing()
        found = self._read(code)
        if found.user != self._user:
            raise _missing()
        return found

    def save(self, draft: Draft) -> Draft:
        """Durably, in the place of what was kept of it."""
        changed = replace(draft, changed=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        content = canonical.encode({"format": FORMAT, "draft": asdict(changed)})
        if len(content) > MOST_BYTES:
            raise UsageError("This rule is too long to be kept.", "Use fewer conditions.")
        write_bytes(self._folder / draft.code, self._home.wrapping.wrap(_label(draft.code), content))
        return changed

    def remove(self, code: str) -> None:
        """One of this user's; none is no error."""
        if _CODE.fullmatch(code) and (self._folder / code).is_file() and self._read(code).user == self._user:
            (self._folder / code).unlink()

    def listed(self, room: str = "") -> list[Draft]:
        """This user's, the newest first. What nobody touched for a month is removed."""
        if not self._folder.is_dir():
            return []
        found = [self._read(path.name) for path in self._folder.iterdir() if _CODE.fullmatch(path.name)]
        oldest = (dt.datetime.now(dt.UTC) - dt.timedelta(days=KEPT_DAYS)).isoformat()
        own = [each for each in found if each.user == self._user and room in ("", each.room) and each.changed >= oldest]
        return sorted(own, key=lambda each: each.changed, reverse=True)

    def _read(self, code: str) -> Draft:
        sealed = private_files.read(self._folder / code, 2 * MOST_BYTES)
        try:
            value = json.loads(self._home.wrapping.unwrap(_label(code), sealed))
            if value["format"] != FORMAT:
                raise BadData("A draft of a crowd is of an unknown version.", "Update this program.")
            return _draft(value["draft"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadData("A draft of a crowd is damaged.", "Discard it, and begin again.") from error


def _draft(value: dict[str, Any]) -> Draft:
    pools = tuple(Group(tuple(map(_part, each["parts"])), each["inside"], each["join"]) for each in value["pools"])
    return Draft(**{**value, "pools": pools, "channels": tuple(value["channels"]), "counted": tuple(value["counted"])})


def _part(value: dict[str, Any]) -> Part:
    conditions = tuple(Condition(each["column"], tuple(each["labels"]), each["other"]) for each in value["conditions"])
    return Part(**{**value, "conditions": conditions})


def _label(code: str) -> str:
    return f"console/draft/{code}"


def _missing() -> UsageError:
    return UsageError("There is no such draft.", "Begin a new crowd; saved crowds are in the list.")
