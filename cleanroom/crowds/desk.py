"""What people, programs and playbooks do with crowds: one function each, over a home's path. No member comes back.

A crowd made of an uploaded list has its list sealed in this home; other crowds are rules. Sizes, versions and
activations are in `cleanroom.crowds.using`; their functions are offered here too.
"""

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from cleanroom.crowds import channels as known_channels
from cleanroom.crowds import lists as own_lists
from cleanroom.crowds import rule as rules
from cleanroom.crowds.crowd import Crowd, Kind, fingerprint
from cleanroom.crowds.entries import Bytes, Entries
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.reading import check_usable, understood
from cleanroom.crowds.rule import Join, Rule
from cleanroom.crowds.spreading import settled, spread
from cleanroom.crowds.store import Crowds
from cleanroom.crowds.using import activate, diff, estimate, history, price, refresh, task
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.querying import opened
from cleanroom.rooms.terms import Dataset

__all__ = [
    "activate", "add", "archive", "create", "diff", "estimate", "get", "history", "listed", "modify", "pool", "price",
    "refresh", "remove", "risk", "settled", "spread", "task", "usable",
]  # fmt: skip
MOST_DAYS = 366
MOST_NAME, MOST_TEXT = 64, 500
MOST_PAGE = 200


def create(path: Path, room: str, name: str, *, rule: Rule | None = None, digests: Bytes | None = None,
           identity: str = "phone", external: str = "", channels: Sequence[str] = (), hidden: bool = False,
           description: str = "", days: int = 90, kind: Kind | None = None) -> Crowd:  # fmt: skip
    """A new crowd by rule, or of uploaded people, uint8[n, 32]; days: until it expires.

    The same external code with the same content gives the crowd there is. Raises UsageError for what cannot be meant,
    Refused for an external code that means another crowd; then nothing is made.
    """
    if (rule is None) == (digests is None):
        raise UsageError("A crowd is made by a rule or of an uploaded list.")
    home, held = opened(path, room)
    _check_texts(name, external, description)
    if not 1 <= days <= MOST_DAYS:
        raise UsageError("A crowd lasts 1 to {most} days.", most=MOST_DAYS)
    used = known_channels.check(channels)
    content = fingerprint(room, name, description, list(used), hidden, identity,
                          rule.plain() if rule else _digest(cast(Bytes, digests)))  # fmt: skip
    crowds = Crowds(home)
    if (found := _same(crowds, room, external, content)) is not None:
        return found
    if rule is not None:
        understood(home, held, rule)
    else:
        _check_matches(held.contract.dataset_of(home.party), identity)
    with crowds.lock():
        if (found := _same(crowds, room, external, content)) is not None:
            return found
        today, code = own_lists.today(), crowds.new_code()
        lists: tuple[str, ...] = ()
        if rule is None:
            lists, rule = _uploaded(home, "upload", name, cast(Bytes, digests), identity)
        crowd = Crowd(
            code, room, name, kind or ("upload" if lists else "rule"), rule, today.isoformat(),
            (today + dt.timedelta(days=days)).isoformat(), home.party, external, used, hidden, description,
            content=content, lists=lists,
        )  # fmt: skip
        crowds.add(crowd)
    return crowd


def risk(path: Path, name: str, digests: Bytes, *, black: bool = False, tags: Sequence[str] = (),
         until: dt.date | None = None, identity: str = "phone") -> str:  # fmt: skip
    """A new grey or black list, whose people are left out where a guard (grey) or always (black); its code."""
    home = Home.open(path.expanduser())
    code = f"L{secrets.token_hex(8)}"
    Lists(home).create(code, "black" if black else "grey", name, digests, identity, tags=tags, until=until)
    return code


def add(path: Path, code: str, digests: Bytes) -> None:
    """More people for an uploaded crowd; they gather into its next version. Raises UsageError for another kind."""
    home = Home.open(path.expanduser())
    Lists(home).add(_list_of(home, code), digests)


def remove(path: Path, code: str, digests: Bytes) -> None:
    """Fewer people, likewise; whether they were in it is not told."""
    home = Home.open(path.expanduser())
    Lists(home).remove(_list_of(home, code), digests)


def modify(path: Path, code: str, name: str | None = None, channels: Sequence[str] | None = None) -> Crowd:
    """Another name, other channels; what a crowd means never changes."""
    if name is not None:
        _check_texts(name, "", "")
    used = None if channels is None else known_channels.check(channels)

    def changed(crowd: Crowd) -> Crowd:
        check_usable(crowd.code, crowd.status(own_lists.today()), crowd.ends)
        return replace(crowd, name=name or crowd.name, channels=crowd.channels if used is None else used)

    return Crowds(Home.open(path.expanduser())).change(code, changed)


def get(path: Path, code: str = "", external: str = "") -> Crowd:
    """By its code, or by the one that its maker gave it. Raises UsageError where there is none."""
    home = Home.open(path.expanduser())
    crowds = Crowds(home)
    found = crowds.get(code) if code else crowds.by_external(external)
    if found is None:
        raise UsageError("There is no crowd {code}.", "cleanroom crowd list shows them.", code=external[:64])
    return settled(home, found)


def listed(path: Path, name: str = "", page: int = 1, size: int = 20, *, room: str = "",
           hidden: bool = False, archived: bool = False) -> tuple[list[Crowd], int]:  # fmt: skip
    """A page of crowds whose name has `name` in it, the newest first, and how many there are in all.

    hidden, archived: those too. Raises UsageError for a page that cannot be.
    """
    if page < 1 or not 1 <= size <= MOST_PAGE:
        raise UsageError("A page has 1 to {most} crowds, the first is 1.", most=MOST_PAGE)
    crowds = Crowds(Home.open(path.expanduser()))
    found = [
        each for each in crowds.entries()
        if name.casefold() in each.name.casefold() and room in ("", each.room)
        and (hidden or not each.hidden) and (archived or not each.archived)
    ]  # fmt: skip
    return [crowds.get(each.code) for each in found[(page - 1) * size : page * size]], len(found)


def pool(path: Path, room: str, name: str, codes: Sequence[str], operation: str,
         channels: Sequence[str] = (), *, external: str = "") -> Crowd:  # fmt: skip
    """Crowds taken together: union, intersection, or difference (the first without all others)."""
    rule = rules.combined(tuple(codes), cast(Join, operation))
    return create(path, room, name, rule=rule, channels=channels, external=external, kind="pool")


def archive(path: Path, code: str) -> Crowd:
    """An end for it: nothing is made of it any more, and its lists are removed with everybody in them.

    Raises Refused where another crowd stands on it.
    """
    home = Home.open(path.expanduser())
    crowds = Crowds(home)
    for entry in crowds.entries():
        if not entry.archived and code in crowds.get(entry.code).rule.crowds:
            raise Refused("The crowd {other} stands on {code}.", "Archive that one first.", other=entry.code, code=code)
    made = crowds.change(code, lambda crowd: replace(crowd, archived=True))
    for each in made.lists:
        Lists(home).drop(each)
    return made


def usable(crowd: Crowd) -> bool:
    """Whether it can be activated as it stands."""
    return crowd.status(own_lists.today()) == "ready"


def _check_matches(dataset: Dataset, identity: str) -> None:
    """Raises UsageError for people who are known by an identity that the room does not match."""
    if identity not in (kinds := [each.kind for each in dataset.identities]):
        raise UsageError("The room matches people by {identity}: a list of others matches nobody.",
                         identity=", ".join(kinds))  # fmt: skip


def _same(crowds: Crowds, room: str, external: str, content: str) -> Crowd | None:
    found = crowds.by_external(external, room)
    if found is not None and found.content != content:
        raise Refused("The external code {code} means another crowd already.", "Choose another code.", code=external)
    return found


def _uploaded(home: Home, kind: str, name: str, digests: Bytes, identity: str) -> tuple[tuple[str, ...], Rule]:
    code = f"L{secrets.token_hex(8)}"
    Lists(home).create(code, kind, name, digests, identity)
    return (code,), rules.listed(code)


def _digest(digests: Bytes) -> str:
    """Of a set of people, in whatever order they come."""
    people = np.unique(Entries.of(digests).digests, axis=0)
    return hashlib.sha256(people.tobytes()).hexdigest()


def _list_of(home: Home, code: str) -> str:
    crowd = Crowds(home).get(code)
    check_usable(crowd.code, crowd.status(own_lists.today()), crowd.ends)
    if not crowd.lists:
        raise UsageError("The crowd {code} is made by a rule: nobody is added to it one by one.", code=code)
    return crowd.lists[0]


def _check_texts(name: str, external: str, description: str) -> None:
    if not 0 < len(name) <= MOST_NAME or not name.isprintable() or name.strip() != name:
        raise UsageError("A name has 1 to {most} letters that can be shown.", most=MOST_NAME)
    if len(external) > MOST_NAME or not external.isprintable():
        raise UsageError("An external code has at most {most} letters that can be shown.", most=MOST_NAME)
    if len(description) > MOST_TEXT or not description.isprintable():
        raise UsageError("A description has at most {most} letters that can be shown.", most=MOST_TEXT)
