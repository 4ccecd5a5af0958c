"""Grants: what others than the party itself may do with its home, and until when.

An analyst, an agency or a program is known by an Ed25519 key of its own. The party signs what that key may call, in
which rooms, and a day on which it ends; and it may revoke a grant at any time. Every check reads the store anew, so
that a grant revoked is none at the next call. Only the party's own key gives grants: none can be handed on. Whoever
calls `check` has made sure before that the caller holds the key it names (by a session or a signature of it).
"""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, verify
from cleanroom.rooms.terms import _named

FORMAT = "cleanroom-grants/1"
GRANT_LABEL = "cleanroom/grant/1"
REVOCATION_LABEL = "cleanroom/revocation/1"
CALLS = ("import", "draft", "sign", "query", "plan", "members", "audit", "budget", "forget", "grant")
OWN = ("grant",)
"""Calls that no grant gives."""
EVERY_ROOM = "*"
"""In place of names: all rooms, those to come too, and what is about the whole home (import, forget, the ledger)."""
MOST_DAYS = 366
_STORE = "grants.json"
_LOCK = "grants.lock"
_LIMIT = 1 << 24


class GrantRefused(Refused):
    """A call that no grant in force covers. code: grant, unknown, forged, revoked, expired, call or room."""

    def __init__(self, template: str, hint: str = "", *, code: str, **params: object) -> None:
        """`code`: for programs."""
        self.code = code
        super().__init__(template, hint, **params)

    def details(self) -> dict[str, object]:
        """The code."""
        return {"code": self.code}


@dataclass(frozen=True)
class Grant:
    """What `party` lets the holder of `key` do. key: Ed25519, 32 bytes in hex, of the one called `name`; calls: some of
    `CALLS`; rooms: names, or `EVERY_ROOM`; created, expires: UTC in ISO 8601; number: which it is, from 1."""

    party: str
    name: str
    key: str
    calls: tuple[str, ...]
    rooms: tuple[str, ...]
    created: str
    expires: str
    number: int

    def __post_init__(self) -> None:
        _typed(self)
        _named(self.name)
        for room in self.rooms:
            if room != EVERY_ROOM:
                _named(room)
        if not self.calls or not self.rooms or self.number < 1:
            raise BadData("A grant names calls, rooms and its number.")
        for call in self.calls:
            if call not in CALLS or call in OWN:
                allowed = ", ".join(each for each in CALLS if each not in OWN)
                raise GrantRefused(
                    "A grant cannot give this call.", "There are: {allowed}.", code="call", allowed=allowed
                )
        PublicKeys(_bytes(self.key), bytes(32))  # refuses keys under which a signature proves nothing
        if not dt.timedelta() < _moment(self.expires) - _moment(self.created) <= dt.timedelta(days=MOST_DAYS):
            raise _too_long()

    def message(self) -> bytes:
        """What is signed."""
        return canonical.encode(_plain(self))


@dataclass(frozen=True)
class Revocation:
    """The end of grant `number`, at `time` (UTC, ISO 8601)."""

    party: str
    number: int
    time: str

    def __post_init__(self) -> None:
        _typed(self)

    def message(self) -> bytes:
        """What is signed."""
        return canonical.encode(_plain(self))


@dataclass(frozen=True)
class Held:
    """All that a home holds: grants and revocations, each with its signature in hex. Nothing is verified yet."""

    grants: tuple[tuple[Grant, str], ...] = ()
    revocations: tuple[tuple[Revocation, str], ...] = ()

    @property
    def revoked(self) -> set[int]:
        """Numbers of the grants that are revoked."""
        return {revocation.number for revocation, _ in self.revocations}


def check(home: Home, who: bytes, call: str, room: str, now: dt.datetime) -> None:
    """Raises GrantRefused unless the key `who` (Ed25519, 32 bytes) may make this call.

    room: its name, or "" for a call about the whole home; now: with its zone. One grant must cover all of it:
    1. signed by this party, for this key, 2. not revoked, 3. begun and not expired, 4. for this call, 5. for this room.
    """
    if call not in CALLS:
        raise UsageError("There is no call {call}.", call=call)
    own = home.keys.public.signing
    if who == own:
        return
    if call in OWN:
        raise GrantRefused("Only the party itself gives grants.", "Ask the party.", code="grant")
    held = load(home)
    furthest = -1
    for grant, signature in held.grants:
        if grant.key == who.hex():
            step = _step(grant, signature, home, held.revoked, (call, room), now)
            if step == len(_STEPS):
                return
            furthest = max(furthest, step)
    raise _refusal(_STEPS[furthest] if furthest >= 0 else "unknown")


def add(home: Home, name: str, key: str, calls: Iterable[str], rooms: Iterable[str], expires: dt.datetime) -> Grant:
    """A new grant by this home's party, kept at return. key: 32 bytes in hex. Raises GrantRefused, BadData."""
    with private_files.locked(home.path / _LOCK):
        held = load(home)
        numbers = [grant.number for grant, _ in held.grants] + [gone.number for gone, _ in held.revocations]
        terms = (tuple(dict.fromkeys(calls)), tuple(dict.fromkeys(rooms)), _text(_now()), _text(expires))
        grant = Grant(home.party, name, key.strip().lower(), *terms, max(numbers, default=0) + 1)
        signature = home.keys.sign(GRANT_LABEL, grant.message()).hex()
        _save(home, Held((*held.grants, (grant, signature)), held.revocations))
    return grant


def revoke(home: Home, number: int) -> Revocation:
    """The end of a grant, kept at return. Raises UsageError where there is no such grant."""
    with private_files.locked(home.path / _LOCK):
        held = load(home)
        if number not in {grant.number for grant, _ in held.grants}:
            raise UsageError("There is no grant {number}.", "cleanroom grant list names them.", number=number)
        revocation = Revocation(home.party, number, _text(_now()))
        signature = home.keys.sign(REVOCATION_LABEL, revocation.message()).hex()
        _save(home, Held(held.grants, (*held.revocations, (revocation, signature))))
    return revocation


def state(home: Home, grant: Grant, signature: str, held: Held, now: dt.datetime) -> str:
    """Of a list: 'in force', or why a grant is not: forged, revoked or expired."""
    step = _step(grant, signature, home, held.revoked, (grant.calls[0], grant.rooms[0]), now)
    return _STEPS[step] if step < _STEPS.index("call") else "in force"


def listed(path: Path) -> dict[str, Any]:
    """The grants of a home."""
    home = Home.open(path.expanduser())
    held, now = load(home), _now()
    lines = [{**_plain(grant), "state": state(home, grant, signature, held, now)} for grant, signature in held.grants]
    return {"home": str(home.path), "party": home.party, "grants": lines}


def given(path: Path, name: str, key: str, calls: Sequence[str], rooms: Sequence[str], days: int) -> dict[str, Any]:
    """`add` for so many days from now."""
    if not 1 <= days <= MOST_DAYS:
        raise _too_long()
    home = Home.open(path.expanduser())
    grant = add(home, name, key, calls, rooms, _now() + dt.timedelta(days=days))
    return {"home": str(home.path), **_plain(grant)}


def ended(path: Path, number: int) -> dict[str, Any]:
    """`revoke`."""
    home = Home.open(path.expanduser())
    return {"home": str(home.path), **_plain(revoke(home, number))}


def load(home: Home) -> Held:
    """What the home holds now. Raises BadData for another format, or a revocation that this party did not sign."""
    path = home.path / _STORE
    if not path.exists() and not path.is_symlink():
        return Held()
    try:
        value = json.loads(private_files.read(path, _LIMIT))
        if value["format"] != FORMAT:
            raise BadData("The grants of this home have a format that this version does not know.")
        held = Held(tuple(_parsed(Grant, each) for each in value["grants"]),
                    tuple(_parsed(Revocation, each) for each in value["revocations"]))  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, GrantRefused) as error:
        raise BadData("The file of the grants is damaged.", "Restore it from a backup.") from error
    for revocation, signature in held.revocations:
        verify(home.keys.public.signing, REVOCATION_LABEL, revocation.message(), _bytes(signature))
    return held


_STEPS = ("forged", "revoked", "expired", "call", "room")


def _step(grant: Grant, signature: str, home: Home, revoked: set[int], what: tuple[str, str], now: dt.datetime) -> int:
    """The first of `_STEPS` that fails, or their number."""
    call, room = what
    holds = (
        grant.party == home.party and _signed(home, grant, signature),
        grant.number not in revoked,
        _moment(grant.created) <= now < _moment(grant.expires),
        call in grant.calls,
        EVERY_ROOM in grant.rooms or (room != "" and room in grant.rooms),
    )
    return holds.index(False) if False in holds else len(_STEPS)


def _signed(home: Home, grant: Grant, signature: str) -> bool:
    try:
        verify(home.keys.public.signing, GRANT_LABEL, grant.message(), _bytes(signature))
    except BadData:
        return False
    return True


def _too_long() -> GrantRefused:
    return GrantRefused(
        "A grant is in force for one day to {most}.", "Name other days.", code="expired", most=MOST_DAYS
    )


def _refusal(code: str) -> GrantRefused:
    if code == "forged":
        return GrantRefused("The party did not sign this grant.", "Ask the party for one.", code=code)
    if code == "revoked":
        return GrantRefused("The party has revoked this grant.", "Ask the party.", code=code)
    if code == "expired":
        return GrantRefused("This grant has expired or has not begun.", "Ask the party for a new one.", code=code)
    if code == "call":
        return GrantRefused("No grant is for this call.", "Ask the party for one.", code=code)
    if code == "room":
        return GrantRefused("No grant for this call is for this room.", "Ask the party for one.", code=code)
    return GrantRefused("The party has granted this key nothing.", "Ask the party for a grant.", code=code)


def _save(home: Home, held: Held) -> None:
    content: canonical.Json = {
        "format": FORMAT,
        "grants": [{**_plain(grant), "signature": signature} for grant, signature in held.grants],
        "revocations": [{**_plain(gone), "signature": signature} for gone, signature in held.revocations],
    }
    write_bytes(home.path / _STORE, canonical.encode(content))


def _plain(term: Grant | Revocation) -> dict[str, canonical.Json]:
    return {each.name: getattr(term, each.name) for each in fields(term)}


def _parsed(kind: Any, value: dict[str, Any]) -> Any:
    """A grant or revocation with its signature, of its stored form."""
    plain = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    signature = plain.pop("signature")
    if not isinstance(signature, str):
        raise TypeError
    return kind(**plain), signature


def _typed(term: Any) -> None:
    for each in fields(term):
        value = getattr(term, each.name)
        fits = all(type(item) is str for item in value) if type(value) is tuple else type(value) is each.type
        if not fits or (type(value) is tuple) != (each.name in ("calls", "rooms")):
            raise BadData("The entry {entry} of a grant is of another type.", entry=each.name)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise BadData("A key or signature of a grant is not in hex.") from error


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise BadData("A time of a grant is not in ISO 8601.") from error
    if moment.tzinfo is None:
        raise BadData("A time of a grant is not in ISO 8601.")
    return moment


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).replace(microsecond=0).isoformat()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
