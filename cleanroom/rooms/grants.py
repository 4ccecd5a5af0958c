"""Grants: what others than the party itself may do with its home, and until when.

An analyst, an agency or a program is known by an Ed25519 key of its own. The party signs what that key may call, in
which rooms, and a day on which it ends; and it may revoke a grant at any time. Every check reads the store anew, so
that a grant revoked is none at the next call. Only the party's own key gives grants: none can be handed on. Whoever
calls `check` has made sure before that the caller holds the key it names (by a session or a signature of it).
"""

import datetime as dt
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.access.matrix import CALLS, GRANTABLE
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, verify
from cleanroom.rooms.terms import _named

FORMAT = "cleanroom-grants/2"
FIRST_FORMAT = "cleanroom-grants/1"
"""Of grants without channels and columns; what was given in it is for all of them."""
GRANT_LABEL = "cleanroom/grant/2"
FIRST_LABEL = "cleanroom/grant/1"
REVOCATION_LABEL = "cleanroom/revocation/1"
EVERY = "*"
"""In place of names: all rooms, those to come too, and what is about the whole home (import, forget, the ledger); all
channels; all columns."""
MOST_DAYS = 366
MOST_NAMES = 1_000
_STORE = "grants.json"
_LOCK = "grants.lock"
_LIMIT = 1 << 24
SCOPE = ("calls", "rooms", "channels", "columns")
"""Entries of a grant that are lists of names."""
_COLUMN = re.compile(r"[^\W\d_][\w-]{0,63}\..{1,64}")


class GrantRefused(Refused):
    """A call that no grant in force covers. code: grant, unknown, forged, revoked, expired, call, room, channel or
    columns."""

    def __init__(self, template: str, hint: str = "", *, code: str, **params: object) -> None:
        """`code`: for programs."""
        self.code = code
        super().__init__(template, hint, **params)

    def details(self) -> dict[str, object]:
        """The code."""
        return {"code": self.code}


@dataclass(frozen=True)
class Scope:
    """What a grant is about, as `Grant` has it."""

    calls: tuple[str, ...]
    rooms: tuple[str, ...]
    channels: tuple[str, ...] = (EVERY,)
    columns: tuple[str, ...] = (EVERY,)

    def plain(self) -> dict[str, list[str]]:
        """For JSON, each name once."""
        return {name: list(dict.fromkeys(getattr(self, name))) for name in SCOPE}


@dataclass(frozen=True)
class Grant:
    """What `party` lets the holder of `key` do. key: Ed25519, 32 bytes in hex, of the one called `name`; calls: some of
    `GRANTABLE`; rooms, channels: names; columns: as dataset.column; each of these three also `EVERY`; created, expires:
    UTC in ISO 8601, it is in force between them; number: which it is, from 1; version: 1 for one of FIRST_FORMAT."""

    party: str
    name: str
    key: str
    calls: tuple[str, ...]
    rooms: tuple[str, ...]
    created: str
    expires: str
    number: int
    channels: tuple[str, ...] = (EVERY,)
    columns: tuple[str, ...] = (EVERY,)
    version: int = 2

    def __post_init__(self) -> None:
        _typed(self)
        _named(self.name)
        for named in (*self.rooms, *self.channels):
            if named != EVERY:
                _named(named)
        if any(column != EVERY and not _COLUMN.fullmatch(column) for column in self.columns):
            raise BadData("A column of a grant is not named as dataset.column.")
        lists = [getattr(self, each) for each in SCOPE]
        if not all(0 < len(each) <= MOST_NAMES for each in lists) or self.number < 1 or self.version not in (1, 2):
            raise BadData("A grant names calls, rooms, channels, columns and its number.")
        if any(call not in GRANTABLE for call in self.calls):
            allowed = ", ".join(GRANTABLE)
            raise GrantRefused("A grant cannot give this call.", "There are: {allowed}.", code="call", allowed=allowed)
        PublicKeys(_bytes(self.key), bytes(32))  # refuses keys under which a signature proves nothing
        if not dt.timedelta() < _moment(self.expires) - _moment(self.created) <= dt.timedelta(days=MOST_DAYS):
            raise _too_long()

    @classmethod
    def of(cls, scope: Scope, party: str, name: str, key: str, times: tuple[str, str], number: int) -> "Grant":
        """A grant of that scope, each name once; times: created and expires."""
        calls, rooms, channels, columns = (tuple(each) for each in scope.plain().values())
        return cls(party, name, key, calls, rooms, *times, number, channels, columns)

    @property
    def scope(self) -> Scope:
        """What it is about."""
        return Scope(self.calls, self.rooms, self.channels, self.columns)

    def message(self) -> bytes:
        """What is signed."""
        return canonical.encode(plain(self))

    def verify(self, key: bytes, signature: str) -> None:
        """Raises BadData unless the party with this signing key signed the grant."""
        verify(key, GRANT_LABEL if self.version == 2 else FIRST_LABEL, self.message(), _bytes(signature))


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
        return canonical.encode(plain(self))

    def verify(self, key: bytes, signature: str) -> None:
        """Raises BadData unless the party with this signing key signed the revocation."""
        verify(key, REVOCATION_LABEL, self.message(), _bytes(signature))


@dataclass(frozen=True)
class Held:
    """All that a home holds: grants and revocations, each with its signature in hex. Nothing is verified yet."""

    grants: tuple[tuple[Grant, str], ...] = ()
    revocations: tuple[tuple[Revocation, str], ...] = ()

    @property
    def revoked(self) -> set[int]:
        """Numbers of the grants that are revoked."""
        return {revocation.number for revocation, _ in self.revocations}


@dataclass(frozen=True)
class Call:
    """What is asked for, as `check` has it."""

    name: str
    room: str
    columns: Sequence[str] = ()
    channel: str = ""


def check(home: Home, who: bytes, call: str, room: str, now: dt.datetime, *, columns: Sequence[str] = (),
          channel: str = "") -> None:  # fmt: skip
    """Raises GrantRefused unless the key `who` (Ed25519, 32 bytes) may make this call.

    room: its name, or "" for a call about the whole home; now: with its zone; columns: all that it uses, as
    dataset.column; channel: where a crowd goes, or "". One grant must cover all of it:
    1. signed by this party, for this key, 2. not revoked, 3. begun and not expired, 4. for this call, 5. for this room,
    6. for this channel, 7. for every column.
    """
    if call not in CALLS:
        raise UsageError("There is no call {call}.", call=call)
    own = home.keys.public.signing
    if who == own:
        return
    if call not in GRANTABLE:
        raise GrantRefused("Only the party itself may make this call.", "Ask the party.", code="grant")
    held = load(home)
    furthest = -1
    for grant, signature in held.grants:
        if grant.key == who.hex():
            step = _step(grant, signature, home, held.revoked, Call(call, room, columns, channel), now)
            if step == len(_STEPS):
                return
            furthest = max(furthest, step)
    raise _refusal(_STEPS[furthest] if furthest >= 0 else "unknown")


def add(home: Home, name: str, key: str, scope: Scope, expires: dt.datetime,
        begins: dt.datetime | None = None) -> tuple[Grant, str]:  # fmt: skip
    """A new grant by this home's party, kept at return, and its signature in hex.

    key: 32 bytes in hex; begins: now, unless said. Raises GrantRefused, BadData.
    """
    times = (_text(begins or _now()), _text(expires))
    with private_files.locked(home.path / _LOCK):
        held = load(home)
        numbers = [grant.number for grant, _ in held.grants] + [gone.number for gone, _ in held.revocations]
        grant = Grant.of(scope, home.party, name, key.strip().lower(), times, max(numbers, default=0) + 1)
        signature = home.keys.sign(GRANT_LABEL, grant.message()).hex()
        _save(home, Held((*held.grants, (grant, signature)), held.revocations))
    return grant, signature


def revoke(home: Home, number: int) -> tuple[Revocation, str]:
    """The end of a grant, kept at return, and its signature in hex. Raises UsageError where there is no such grant."""
    with private_files.locked(home.path / _LOCK):
        held = load(home)
        if number not in {grant.number for grant, _ in held.grants}:
            raise UsageError("There is no grant {number}.", "cleanroom grant list names them.", number=number)
        revocation = Revocation(home.party, number, _text(_now()))
        signature = home.keys.sign(REVOCATION_LABEL, revocation.message()).hex()
        _save(home, Held(held.grants, (*held.revocations, (revocation, signature))))
    return revocation, signature


def state(home: Home, grant: Grant, signature: str, held: Held, now: dt.datetime) -> str:
    """Of a list: 'in force', or why a grant is not: forged, revoked, pending or expired."""
    call = Call(grant.calls[0], grant.rooms[0])
    step = _step(grant, signature, home, held.revoked, call, now)
    found = _STEPS[step] if step < _STEPS.index("call") else "in force"
    return "pending" if found == "expired" and now < _moment(grant.created) else found


def listed(path: Path) -> dict[str, Any]:
    """The grants of a home."""
    home = Home.open(path.expanduser())
    held, now = load(home), _now()
    lines = [{**_told(grant), "state": state(home, grant, signature, held, now)} for grant, signature in held.grants]
    return {"home": str(home.path), "party": home.party, "grants": lines}


def days_from_now(days: int) -> dt.datetime:
    """The end of a grant for so many days. Raises GrantRefused."""
    if not 1 <= days <= MOST_DAYS:
        raise _too_long()
    return _now() + dt.timedelta(days=days)


def load(home: Home) -> Held:
    """What the home holds now. Raises BadData for another format, or a revocation that this party did not sign."""
    path = home.path / _STORE
    if not path.exists() and not path.is_symlink():
        return Held()
    try:
        value = json.loads(private_files.read(path, _LIMIT))
        if value["format"] not in (FORMAT, FIRST_FORMAT):
            raise BadData("The grants of this home have a format that this version does not know.")
        held = Held(tuple(map(grant_from, value["grants"])), tuple(map(revocation_from, value["revocations"])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, GrantRefused) as error:
        raise BadData("The file of the grants is damaged.", "Restore it from a backup.") from error
    for revocation, signature in held.revocations:
        revocation.verify(home.keys.public.signing, signature)
    return held


_STEPS = ("forged", "revoked", "expired", "call", "room", "channel", "columns")


def _step(grant: Grant, signature: str, home: Home, revoked: set[int], call: Call, now: dt.datetime) -> int:
    """The first of `_STEPS` that fails, or their number."""
    holds = (
        grant.party == home.party and _signed(home, grant, signature),
        grant.number not in revoked,
        _moment(grant.created) <= now < _moment(grant.expires),
        call.name in grant.calls,
        EVERY in grant.rooms or (call.room != "" and call.room in grant.rooms),
        EVERY in grant.channels or call.channel == "" or call.channel in grant.channels,
        EVERY in grant.columns or set(call.columns) <= set(grant.columns),
    )
    return holds.index(False) if False in holds else len(_STEPS)


def _signed(home: Home, grant: Grant, signature: str) -> bool:
    try:
        grant.verify(home.keys.public.signing, signature)
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
    if code == "channel":
        return GrantRefused("No grant for this call is for this channel.", "Ask the party for one.", code=code)
    if code == "columns":
        return GrantRefused("No grant for this call is for all of its columns.", "Ask about others.", code=code)
    return GrantRefused("The party has granted this key nothing.", "Ask the party for a grant.", code=code)


def _save(home: Home, held: Held) -> None:
    content: canonical.Json = {
        "format": FORMAT,
        "grants": [{**plain(grant), "signature": signature} for grant, signature in held.grants],
        "revocations": [{**plain(gone), "signature": signature} for gone, signature in held.revocations],
    }
    write_bytes(home.path / _STORE, canonical.encode(content))


def plain(term: Grant | Revocation) -> dict[str, canonical.Json]:
    """As it is signed, kept and sent: of version 1 without what that had not."""
    found = {each.name: getattr(term, each.name) for each in fields(term)}
    first = found.get("version") == 1
    return {name: value for name, value in found.items() if not (first and name in _SECOND)}


def grant_from(value: dict[str, Any]) -> tuple[Grant, str]:
    """A grant and its signature, of `plain` with the signature. Raises BadData, GrantRefused, TypeError, KeyError."""
    term, signature = _lists(value)
    return Grant(**{"version": 1, **term}), signature


def revocation_from(value: dict[str, Any]) -> tuple[Revocation, str]:
    """A revocation, likewise."""
    term, signature = _lists(value)
    return Revocation(**term), signature


_SECOND = ("channels", "columns", "version")


def _told(grant: Grant) -> dict[str, Any]:
    """All of it, for people and programs."""
    return {each.name: getattr(grant, each.name) for each in fields(grant)}


def _lists(value: dict[str, Any]) -> tuple[dict[str, Any], str]:
    term = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    signature = term.pop("signature")
    if not isinstance(signature, str):
        raise TypeError
    return term, signature


def _typed(term: Any) -> None:
    for each in fields(term):
        value = getattr(term, each.name)
        fits = all(type(item) is str for item in value) if type(value) is tuple else type(value) is each.type
        if not fits or (type(value) is tuple) != (each.name in SCOPE):
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
