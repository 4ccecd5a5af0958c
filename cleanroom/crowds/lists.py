"""An owner's uploaded lists: identity digests exactly as its vault has them, sealed, never shown again.

What is added and removed on a day gathers, and is frozen as that day's version when the list is first used on it, or
when the day is over. A frozen version never changes; what comes later on the day is in the next day's. So whoever asks
twice on a day asks about the same people. Forgotten persons are in no version, whenever they were listed.

    lists/CODE/head        kind, name, versions, sealed        lists/CODE/days/20261122   a version, sealed
    lists/CODE/changes/7   what waits to be frozen, sealed     lists.lock                 one writer at a time
"""

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cleanroom import canonical, private_files
from cleanroom.crowds.entries import NOBODY, Bytes, Entries, applied, bits, differing
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.node.schedule import USUAL_ZONE

KINDS = ("upload", "grey", "black", "holdout", "lookalike")
FORMAT = "cleanroom-list/1"
MOST_MEMBERS = 20_000_000
MOST_LISTS = 10_000
MOST_DAYS = 31
"""Versions kept; older ones go."""
_MOST_BYTES = 1 << 30
_MOST_NAME = 64
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,47}", re.ASCII)
DAY = "%Y%m%d"
"""How a day is written in the names of versions."""


@dataclass(frozen=True)
class ListHead:
    """What is known of a list beside its members. applied: the last change that is in a version; days: the versions,
    yyyyMMdd, ascending; waiting: how many changes are in none yet."""

    code: str
    kind: str
    name: str
    identity: str
    created: str
    applied: int = 0
    days: tuple[str, ...] = ()
    waiting: int = 0


class Lists:
    """The lists of a home. Any process of its owner may call it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = home.path / "lists"

    def create(self, code: str, kind: str, name: str, digests: Bytes, identity: str = "phone", *,
               tags: Iterable[str] = (), until: dt.date | None = None, day: dt.date | None = None) -> None:  # fmt: skip
        """A new list of these people, uint8[n, 32]; until: their last day in it. Raises UsageError where there is one
        of that code, or where code, kind, name or digests cannot be meant."""
        if not _CODE.fullmatch(code) or kind not in KINDS:
            raise UsageError("This cannot be a list.", "Kinds: {kinds}.", kinds=", ".join(KINDS))
        if not 0 < len(name) <= _MOST_NAME or not name.isprintable():
            raise UsageError("A name has 1 to {most} letters that can be shown.", most=_MOST_NAME)
        entries = Entries.of(digests, bits(tags), until.toordinal() if until else 0)
        with self._lock():
            if (self._folder / code / "head").is_file():
                raise UsageError("There is a list {code} already.", code=code)
            shutil.rmtree(self._folder / code, ignore_errors=True)  # what a crash left of one that never was
            if len(self._codes()) >= MOST_LISTS:
                raise Refused("A home has at most {most} lists.", "Archive crowds that are not used.", most=MOST_LISTS)
            moment = day or today()
            for folder in (code, f"{code}/days", f"{code}/changes"):
                (self._folder / folder).mkdir(mode=0o700, exist_ok=True)
            self._change(code, 1, "add", entries, moment)
            self._save(ListHead(code, kind, name, identity, moment.isoformat()))

    def add(self, code: str, digests: Bytes, day: dt.date | None = None, *, tags: Iterable[str] = (),
            until: dt.date | None = None) -> None:  # fmt: skip
        """These people too, from the next version on. Raises UsageError for an unknown list."""
        self._append(code, "add", Entries.of(digests, bits(tags), until.toordinal() if until else 0), day)

    def remove(self, code: str, digests: Bytes, day: dt.date | None = None) -> None:
        """Without these people, from the next version on; whoever is not in it is no error, and is not told."""
        self._append(code, "remove", Entries.of(digests), day)

    def put(self, code: str, digests: Bytes, day: dt.date | None = None) -> None:
        """These people and nobody else, from the next version on."""
        self._append(code, "set", Entries.of(digests), day)

    def freeze(self, code: str, day: dt.date | None = None) -> str:
        """What gathered becomes the day's version, unless it has one; the newest version up to that day, yyyyMMdd.

        Raises UsageError where there is none up to that day, Refused for a list that is too long.
        """
        moment = day or today()
        with self._lock():
            head = self._load(code)
            waiting = self._waiting(head)
            for upto in sorted({*(made for _, made in waiting), moment.strftime(DAY)}):
                ripe = [number for number, made in waiting if made <= upto and number > head.applied]
                if ripe and (not head.days or upto > head.days[-1]) and upto <= moment.strftime(DAY):
                    head = self._frozen(head, ripe, upto)
        made = [each for each in head.days if each <= moment.strftime(DAY)]
        if not made:
            raise UsageError("The list {code} has no version of {day}.", code=code, day=moment.isoformat())
        return made[-1]

    def pinned(self, code: str, day: dt.date | None = None) -> str:
        """The code of the list's version of that day, as a selection names it: CODE@20261122."""
        return code if "@" in code else f"{code}@{self.freeze(code, day)}"

    def digests(self, code: str, day: str | dt.date | None = None) -> Bytes:
        """uint8[n, 32], sorted: who is in the version of that day (yyyyMMdd), also as CODE@day; otherwise in today's.

        Without those whose entry ended before that day, and without everybody who is forgotten by now.
        """
        return self._entries(code, day).digests

    def size(self, code: str, day: str | None = None) -> int:
        """How many people this owner listed: its own data, exactly."""
        return len(self.digests(code, day))

    def changes(self, code: str, before: str, after: str) -> tuple[int, int]:
        """How many people came to the list between two versions, and how many went: own data, exactly."""
        return differing(self._entries(code, before), self._entries(code, after))

    def names(self, kind: str = "") -> list[ListHead]:
        """All lists, or those of a kind, by code."""
        found = [replace(head, waiting=len(self._waiting(head))) for head in map(self._load, self._codes())]
        return [head for head in found if kind in ("", head.kind)]

    def head(self, code: str) -> ListHead:
        """What is known of one. Raises UsageError where there is none."""
        head = self._load(code)
        return replace(head, waiting=len(self._waiting(head)))

    def drop(self, code: str) -> None:
        """Remove it with all its versions; nothing where there is none."""
        with self._lock():
            if _CODE.fullmatch(code) and (self._folder / code).is_dir():
                (self._folder / code / "head").unlink(missing_ok=True)
                shutil.rmtree(self._folder / code)

    def forget(self) -> None:
        """Write every version and every change anew without the persons who are forgotten."""
        with self._lock():
            for code in self._codes():
                for path in sorted((self._folder / code).glob("*/*")):
                    if path.name.startswith("."):
                        continue
                    held = Entries.from_bytes(self._open(path))
                    kept = self._living(held)
                    if len(kept.digests) < len(held.digests):
                        self._seal(path, kept.to_bytes())

    # -- one list

    def _append(self, code: str, what: str, entries: Entries, day: dt.date | None) -> None:
        with self._lock():
            head = self._load(code)
            numbers = [number for number, _ in self._waiting(head)]
            self._change(code, max([head.applied, *numbers]) + 1, what, entries, day or today())

    def _change(self, code: str, number: int, what: str, entries: Entries, day: dt.date) -> None:
        name = f"{number:09d}-{day.strftime(DAY)}-{what}"
        self._seal(self._folder / code / "changes" / name, self._living(entries).to_bytes())

    def _waiting(self, head: ListHead) -> list[tuple[int, str]]:
        """(number, day) of the changes in no version yet, in order; on no disk a change is in two."""
        found = (path.name.split("-") for path in self._changes(head.code))
        return [(int(number), day) for number, day, _ in found if int(number) > head.applied]

    def _changes(self, code: str) -> list[Path]:
        return sorted(path for path in (self._folder / code / "changes").iterdir() if not path.name.startswith("."))

    def _frozen(self, head: ListHead, numbers: list[int], day: str) -> ListHead:
        """The list with these changes as a version of that day."""
        ripe = [path for path in self._changes(head.code) if int(path.name.split("-")[0]) in set(numbers)]
        base = self._held(head.code, head.days[-1]) if head.days else NOBODY
        changes = ((path.name.split("-")[2], Entries.from_bytes(self._open(path))) for path in ripe)
        entries = self._living(applied(base, changes))
        if len(entries.digests) > MOST_MEMBERS:
            raise Refused("A list has at most {most} members.", "Split it.", most=f"{MOST_MEMBERS:,}")
        self._seal(self._folder / head.code / "days" / day, entries.to_bytes())
        days = (*head.days, day)
        made = replace(head, applied=max(numbers), days=days[-MOST_DAYS:])
        self._save(made)
        for path in [*ripe, *(self._folder / head.code / "days" / old for old in days[:-MOST_DAYS])]:
            path.unlink(missing_ok=True)
        return made

    def _entries(self, code: str, day: str | dt.date | None) -> Entries:
        name, _, pinned = code.partition("@")
        wanted = pinned or (day.strftime(DAY) if isinstance(day, dt.date) else day)
        head = self._load(name)
        if wanted is None:
            wanted = self.freeze(name)
        elif wanted not in head.days:
            older = [each for each in head.days if each <= wanted]
            if pinned or not older:
                raise UsageError("The list {code} has no version of {day}.", code=name, day=wanted[:8])
            wanted = older[-1]
        moment = dt.datetime.strptime(wanted, DAY).date()
        return self._living(self._held(name, wanted)).current(moment)

    def _held(self, code: str, day: str) -> Entries:
        return Entries.from_bytes(self._open(self._folder / code / "days" / day))

    def _living(self, entries: Entries) -> Entries:
        """Without forgotten persons."""
        gone = self._home.vault.forgotten(entries.digests)
        return entries.taken(~gone) if gone.any() else entries

    # -- files

    def _codes(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if (path / "head").is_file())

    def _load(self, code: str) -> ListHead:
        if not _CODE.fullmatch(code) or not (self._folder / code / "head").is_file():
            raise UsageError("There is no list {code}.", "cleanroom crowd lists shows them.", code=code[:64])
        try:
            value = json.loads(self._open(self._folder / code / "head"))
            if value.pop("format") != FORMAT:
                raise BadData("A list is of an unknown version.", "Update this program.")
            head = ListHead(**{**value, "days": tuple(value["days"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadData("A list is damaged.", "Restore it from a backup.") from error
        if head.code != code:
            raise BadData("A list is damaged.", "Restore it from a backup.")
        return head

    def _save(self, head: ListHead) -> None:
        value = canonical.encode({"format": FORMAT, **asdict(replace(head, waiting=0))})
        self._seal(self._folder / head.code / "head", value)

    def _seal(self, path: Path, content: bytes) -> None:
        write_bytes(path, self._home.wrapping.wrap(self._label(path), content))

    def _open(self, path: Path) -> bytes:
        return self._home.wrapping.unwrap(self._label(path), private_files.read(path, _MOST_BYTES))

    def _label(self, path: Path) -> str:
        return f"list/{path.relative_to(self._folder).as_posix()}"

    def _lock(self) -> AbstractContextManager[None]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return private_files.locked(self._home.path / "lists.lock")


def forget_lists(home: Home) -> None:
    """No list holds a forgotten person any more."""
    if (home.path / "lists").is_dir():
        Lists(home).forget()


def today() -> dt.date:
    """The day in the domain's zone."""
    return dt.datetime.now(USUAL_ZONE).date()


def as_rows(digests: Iterable[bytes]) -> Bytes:
    """Digests one by one as uint8[n, 32]. Raises UsageError for another length."""
    whole = list(digests)
    if any(len(each) != NOBODY.digests.shape[1] for each in whole):
        raise UsageError("A list holds SHA-256 digests of identities, 32 bytes each.", "MD5 is not taken.")
    return np.frombuffer(b"".join(whole), np.uint8).reshape(-1, NOBODY.digests.shape[1])
