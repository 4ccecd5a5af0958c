"""Proposing a change: the contract in force, as somebody would have it. Nothing changes before all have signed."""

import datetime as dt
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.rooms import draft, room_secrets
from cleanroom.rooms.contract import Contract, SignedContract
from cleanroom.rooms.meetings import MOST_DAYS, said
from cleanroom.rooms.offers import check_change, in_force
from cleanroom.rooms.store import Room, Rooms


@dataclass(frozen=True)
class Wished:
    """Terms that are to be others; None for as they are. expires: a day, or a number of days from now."""

    expires: str | None = None
    k: int | None = None
    epsilon: int | None = None
    sigma: int | None = None
    purpose: str | None = None


def proposed(home: Home, name: str, wished: Wished, file: Path | None) -> tuple[Room, Room]:
    """The room as it is, and as it is to be: with the wished terms, or as the draft in `file` says. It begins now.

    Raises UsageError where nothing would change, Refused where it is more than a change.
    """
    held = Rooms(home.rooms).load(name)
    before = in_force(home, name, held.contract.digest())
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    if file is not None:
        if wished != Wished():
            raise UsageError("A change is given by a draft or by options, not by both.")
        terms, annexes = draft.read(file)
        if home.party not in before.contract.owners:
            raise Refused("A draft has labels, which an operator does not hold.", "Use options.")
        after = Room(SignedContract(replace(terms, created=now.isoformat())), annexes)
    else:
        if wished == Wished():
            raise UsageError("Say what is to change.", "E.g. --expires 2027-01-31, --k 200, or a draft.")
        after = Room(SignedContract(_with(before.contract, wished, now)), before.annexes)
    if after.contract.dataset(after.contract.match.left).owner == home.party:
        after = replace(after, secrets=room_secrets.offered(home, after.contract, ()))
    check_change(before.contract, after.contract)
    return before, after


def _with(contract: Contract, wished: Wished, now: dt.datetime) -> Contract:
    release: dict[str, Any] = {
        name: getattr(wished, name) for name in ("k", "epsilon", "sigma") if getattr(wished, name) is not None
    }
    expires = contract.expires if wished.expires is None else _end(wished.expires, now)
    purposes = contract.purposes if wished.purpose is None else (said(wished.purpose),)
    return replace(contract, release=replace(contract.release, **release), expires=expires, purposes=purposes,
                   created=now.isoformat())  # fmt: skip


def _end(text: str, now: dt.datetime) -> str:
    """A day as 2027-01-31 (to its end, UTC), or a number of days."""
    try:
        end = now + dt.timedelta(days=int(text))
    except (ValueError, OverflowError):
        try:
            end = dt.datetime.fromisoformat(f"{dt.date.fromisoformat(text)}T23:59:59+00:00")
        except ValueError as error:
            raise UsageError("This is no day: {text}.", "Write 2027-01-31, or a number of days.", text=text) from error
    if not now < end <= now + dt.timedelta(days=MOST_DAYS):
        raise UsageError("A room ends within {days} days from now.", days=MOST_DAYS)
    return end.isoformat()
