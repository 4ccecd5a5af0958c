"""Meetings: what a node remembers of a room that is being agreed on, or of a change to one, until all have signed.

One file a meeting in `home/meetings`, under an id that its inviter drew; it holds labels where this party may see them,
so it is as private as a room. Nothing here is in force: a meeting becomes a room when `agreeing` has every signature.
What is still to be told to others stands in it too (`pending`), so that a crash loses no message.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.rooms.store import Room, from_plain, to_plain
from cleanroom.rooms.terms import LEAST_K, PROTOCOLS, _typed

FORMAT = "cleanroom-meeting/1"
BODY = 1
"""Version of the bodies of all messages about rooms."""
MOST_DAYS, MOST_TEXT, MOST_PARTIES = 3650, 500, 20
MOST_ENDED = 100
"""Meetings that are kept after their end, of all rooms."""
_FOLDER, _LOCK, _LIMIT = "meetings", ".lock", 16 << 20
_ID, _NAME = re.compile("[0-9a-f]{32}"), re.compile(r"[^\W\d_][\w-]{0,63}")

NAME_TAKEN, CHANGE_WAITS = "This name cannot be used here.", "Another change of this room waits already."
NOT_IN_TIME, PARTY_LEFT = "Nobody decided in time.", "A party has left the room."
REASONS = (NAME_TAKEN, CHANGE_WAITS, NOT_IN_TIME, PARTY_LEFT)
"""Of a no that nobody typed."""
Part = Literal["owner", "operator"]
PARTS: tuple[Part, ...] = ("owner", "operator")


@dataclass(frozen=True)
class Asked:
    """What an inviter wishes the contract to say. protocol: one, or auto; receiver: an owner, or "" for the one with
    the most rows (of `oprf` the fewest); days: how long it runs; updates: matches go on from the last one; channels,
    lists, boards: as of `Marketing`."""

    purpose: str
    protocol: str = "auto"
    receiver: str = ""
    k: int = 100
    noise: bool = True
    days: int = 90
    updates: bool = False
    channels: tuple[str, ...] = ()
    lists: bool = False
    boards: bool = False

    def __post_init__(self) -> None:
        _typed(self)
        if self.protocol not in ("auto", *PROTOCOLS) or not 1 <= self.days <= MOST_DAYS or self.k < LEAST_K:
            raise UsageError(
                "A room runs for 1 to {days} days, with k of {least} at least, by a protocol that is known.",
                days=MOST_DAYS, least=LEAST_K,
            )  # fmt: skip
        said(self.purpose)
        if self.receiver:
            named(self.receiver)


def asked_of(plain: Mapping[str, Any]) -> Asked:
    """Of JSON. Raises UsageError, TypeError."""
    return Asked(**{**plain, "channels": tuple(plain.get("channels", ()))})


@dataclass(frozen=True)
class Meeting:
    """A meeting as one node sees it.

    invited: every party and its part, the inviter too; asked: None of a change; of: digest of the contract in force
    that it is to replace, "" for a new room; cards: those this node has; offered: the contract to be signed, with the
    signatures that have come; ended: "", "kept" or "refused" (by whom, why: `no`); pending: kind of the message that
    is still to be sent; approval: the id under which it waits for a person's yes.
    """

    id: str
    room: str
    inviter: str
    invited: Mapping[str, Part]
    asked: Asked | None = None
    of: str = ""
    cards: Mapping[str, Any] = field(default_factory=dict)
    offered: Room | None = None
    ended: str = ""
    no: tuple[str, str] = ("", "")
    pending: str = ""
    approval: str = ""
    created: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"))

    @property
    def open(self) -> bool:
        """Whether it may still come to a contract."""
        return not self.ended

    def others(self, party: str) -> list[str]:
        """All who are invited but `party`."""
        return [name for name in self.invited if name != party]

    def missing(self, party: str) -> list[str]:
        """Whom the meeting waits for, as `party` can know: for cards, then for signatures."""
        if self.offered is not None:
            return [each.name for each in self.offered.contract.parties if each.name not in self.signatures]
        if party == self.inviter or party not in self.cards:
            return [name for name in self.invited if name not in self.cards and party in (name, self.inviter)]
        return [self.inviter]

    @property
    def signatures(self) -> Mapping[str, str]:
        """Those that have come."""
        return self.offered.signed.signatures if self.offered is not None else {}

    def because(self, who: str, reason: str) -> "Meeting":
        """The same, ended by a no."""
        return replace(self, ended="refused", no=(who, reason))


class Meetings:
    """The meetings of a home. Only `changing` writes."""

    def __init__(self, home: Home) -> None:
        self._folder = home.path / _FOLDER

    def all(self) -> list[Meeting]:
        """Oldest first."""
        found = [self._load(path.stem) for path in self._folder.glob("*.json")] if self._folder.is_dir() else []
        return sorted(found, key=lambda each: (each.created, each.id))

    def find(self, identity: str) -> Meeting | None:
        """The meeting of that id, or None."""
        there = _ID.fullmatch(identity) and (self._folder / f"{identity}.json").exists()
        return self._load(identity) if there else None

    def about(self, identity_: str, room: str) -> Meeting | None:
        """The meeting of that id, or None. Raises BadData where it is about another room."""
        meeting = self.find(identity(identity_))
        if meeting is not None and meeting.room != room:
            raise malformed()
        return meeting

    def open_for(self, room: str) -> Meeting | None:
        """The one that is open about a room: there is one at most."""
        return next((each for each in self.all() if each.room == room and each.open), None)

    def last_for(self, room: str) -> Meeting | None:
        """The open one about a room, else the newest that ended."""
        about = [each for each in self.all() if each.room == room]
        return max(about, key=lambda each: (each.open, each.created), default=None)

    @contextmanager
    def changing(self) -> Iterator["Meetings"]:
        """Alone: what is read in here and put in here belongs together, across processes."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        private_files.check_folder(self._folder)
        with private_files.locked(self._folder / _LOCK):
            yield self

    def add(self, meeting: Meeting) -> Meeting:
        """A new one. Of those that have come to their end the oldest go, so that nobody can fill the disk with them."""
        over = [each for each in self.all() if not each.open and not each.pending]
        for each in over[:-MOST_ENDED]:
            (self._folder / f"{each.id}.json").unlink()
        return self.put(meeting)

    def put(self, meeting: Meeting) -> Meeting:
        """Keep it, durably."""
        plain = {**vars(meeting), "asked": meeting.asked and asdict(meeting.asked), "format": FORMAT}
        plain["offered"] = None if meeting.offered is None else to_plain(meeting.offered)
        write_bytes(self._folder / f"{meeting.id}.json", canonical.encode(plain))
        return meeting

    def _load(self, identity: str) -> Meeting:
        path = self._folder / f"{identity}.json"
        try:
            plain = json.loads(private_files.read(path, _LIMIT))
            if plain.pop("format") != FORMAT:
                raise BadData("This meeting has a format that this version does not know.")
            plain["asked"] = plain["asked"] and asked_of(plain["asked"])
            plain["offered"] = None if plain["offered"] is None else from_plain(plain["offered"])
            return Meeting(**{**plain, "no": tuple(plain["no"])})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadData("The file of the meeting {name} is damaged.", name=identity) from error


# -- what arrives, entry by entry


def taken(body: Mapping[str, Any], **entries: type) -> dict[str, Any]:
    """The entries of a message's body. Raises BadData unless it has exactly these, of these types, and our version."""
    known = body.keys() == {"format", *entries} and type(body["format"]) is int and body["format"] == BODY
    if not known or any(type(body[name]) is not kind for name, kind in entries.items()):
        raise malformed()
    return {name: body[name] for name in entries}


def malformed() -> BadData:
    """For a message that nobody could mean."""
    return BadData("A message about a room is not in a form that this version knows.")


def identity(text: str) -> str:
    """A meeting's id. Raises BadData."""
    if not _ID.fullmatch(text):
        raise malformed()
    return text


def named(text: str) -> str:
    """A name as contracts have it. Raises BadData."""
    if not _NAME.fullmatch(text):
        raise BadData("A name may have letters, digits, - and _, at most 64, and starts with a letter.")
    return text


def said(text: str) -> str:
    """A reason or a purpose as a person wrote it, in one line. Raises UsageError."""
    if not 1 <= len(text) <= MOST_TEXT or not text.isprintable() or not text.strip():
        raise UsageError("A reason or purpose is a line of 1 to {most} signs.", most=MOST_TEXT)
    return text


def parts_of(value: Mapping[str, Any]) -> dict[str, Part]:
    """Who is invited, and as what. Raises BadData unless there are two owners or more, and one operator at most."""
    if len(value) > MOST_PARTIES or any(part not in PARTS for part in value.values()):
        raise malformed()
    parts = {named(name): part for name, part in sorted(value.items())}
    counts = [list(parts.values()).count(part) for part in PARTS]
    if counts[0] < 2 or counts[1] > 1:
        raise BadData("A room has two data owners or more, and one operator at most.")
    return parts
