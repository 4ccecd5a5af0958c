"""At a service provider: what each merchant has granted it, one entry a merchant, and nothing pooled between them.

Every grant is checked by the key of the merchant that is pinned here, when it comes and whenever it is shown; it is of
use at that merchant's node only, which decides anew at each call. The list says what to expect, not what is allowed.
"""

import datetime as dt
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.access import delegating
from cleanroom.access.acting import is_id
from cleanroom.access.delegating import FORMAT as MESSAGE_FORMAT
from cleanroom.access.delegating import checked_body, malformed
from cleanroom.access.store import text_list
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, Post
from cleanroom.node.state import State
from cleanroom.rooms import grants
from cleanroom.rooms.grants import Grant, Revocation, Scope

FORMAT = "cleanroom-portfolio/1"
EXPIRING_DAYS = 14
STATES = ("pending", "active", "expiring", "expired", "revoked", "refused", "forged")
"""pending: asked for, or given and not begun; forged: not signed by the key that is pinned for this merchant."""
MOST_OF_ONE = 1_000
"""Grants, revocations or wishes of one merchant."""
MOST_BYTES_OF_ONE = 1 << 20
"""All of them as they are kept: no merchant can make the file too large for what others granted."""
_STORE = "portfolio.json"
_LOCK = "portfolio.lock"
_LIMIT = 1 << 26


@dataclass(frozen=True)
class Wish:
    """A grant that this party asked a merchant for. id: 32 hex digits; refused: the merchant said no, with a reason."""

    id: str
    time: str
    scope: Scope
    days: int
    refused: bool = False
    reason: str = ""

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        rest = {"id": self.id, "time": self.time, "days": self.days, "refused": self.refused, "reason": self.reason}
        return {**rest, **self.scope.plain()}


@dataclass(frozen=True)
class Entry:
    """All of one merchant's; signatures in hex."""

    grants: tuple[tuple[Grant, str], ...] = ()
    revocations: tuple[tuple[Revocation, str], ...] = ()
    wishes: tuple[Wish, ...] = ()


def given(home: Home, state: State, config: Config, message: Message) -> None:
    """Handles `grant.given`. Raises BadData, Refused unless the sender signed it, for this party's key."""
    body = checked_body(message, {"grant", "asked"})
    grant, signature = _term(message, body["grant"], grants.grant_from)
    _signed_by_sender(home, message, grant, signature)
    if grant.key != home.keys.public.signing.hex():
        raise Refused("{party} sent a grant that is for another key.", party=message.sender)

    def kept(entry: Entry) -> Entry:
        same = {each.number: each for each, _ in entry.grants}.get(grant.number)
        if same is not None and same != grant:
            raise Refused("{party} gave two grants the same number.", party=message.sender)
        wishes = tuple(wish for wish in entry.wishes if wish.id != body["asked"])
        more = () if same is not None else ((grant, signature),)
        return replace(entry, grants=(*entry.grants, *more), wishes=wishes)

    _change(home, message.sender, kept)


def revoked(home: Home, state: State, config: Config, message: Message) -> None:
    """Handles `grant.revoked`. Raises BadData unless the sender signed it."""
    body = checked_body(message, {"revocation"})
    gone, signature = _term(message, body["revocation"], grants.revocation_from)
    _signed_by_sender(home, message, gone, signature)

    def kept(entry: Entry) -> Entry:
        if gone.number in {each.number for each, _ in entry.revocations}:
            return entry
        return replace(entry, revocations=(*entry.revocations, (gone, signature)))

    _change(home, message.sender, kept)


def refused(home: Home, state: State, config: Config, message: Message) -> None:
    """Handles `grant.refused`: the answer to a wish. Raises BadData."""
    body = checked_body(message, {"asked", "reason"})
    reason = body["reason"]
    if not is_id(body["asked"]) or not isinstance(reason, str) or len(reason) > delegating.MOST_REASON:
        raise malformed(message.sender)

    def kept(entry: Entry) -> Entry:
        wishes = tuple(
            replace(wish, refused=True, reason=reason) if wish.id == body["asked"] else wish for wish in entry.wishes
        )
        return replace(entry, wishes=wishes)

    _change(home, message.sender, kept)


HANDLERS = {
    "grant.given": given,
    "grant.revoked": revoked,
    "grant.refused": refused,
    "grant.asked": delegating.asked,
}
"""What a node does with messages about grants, at either side."""


def ask(path: Path, merchant: str, scope: Scope, days: int) -> dict[str, Any]:
    """Ask a merchant, a pinned peer, for a grant; it waits there for a person. Raises UsageError, GrantRefused."""
    home = Home.open(path.expanduser())
    Peers(home).get(merchant)
    delegating.check_served(scope)
    now = dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()
    times = (now, grants.days_from_now(days).isoformat())
    Grant.of(scope, merchant, home.party, home.keys.public.signing.hex(), times, 1)  # refuses what is no grant
    wish = Wish(secrets.token_hex(16), now, scope, days)
    with State.open(home) as state, state.transaction():  # the message goes if the wish is kept, and only then
        body = {"format": MESSAGE_FORMAT, "asked": wish.id, "days": days, **scope.plain()}
        Post(home, state).send(merchant, "grant.asked", body)
        _change(home, merchant, lambda entry: replace(entry, wishes=(*entry.wishes, wish)))
    return {"home": str(home.path), "merchant": merchant, **wish.plain()}


def listed(path: Path, merchant: str = "", now: dt.datetime | None = None) -> dict[str, Any]:
    """The grants of all merchants, or of one, each with its state; one list a merchant."""
    home = Home.open(path.expanduser())
    held, moment = load(home), now or dt.datetime.now(dt.UTC)
    if merchant and merchant not in held:
        raise UsageError("{merchant} has granted this party nothing.", merchant=merchant)
    names = [merchant] if merchant else sorted(held)
    merchants = [{"merchant": name, "grants": list(_lines(home, name, held[name], moment))} for name in names]
    return {"home": str(home.path), "party": home.party, "merchants": merchants}


def state_of(entry: Entry, grant: Grant, signature: str, key: bytes, now: dt.datetime) -> str:
    """One of `STATES`, by the merchant's key."""
    try:
        grant.verify(key, signature)
    except BadData:
        return "forged"
    if grant.number in _revoked(entry, key):
        return "revoked"
    begins, ends = dt.datetime.fromisoformat(grant.created), dt.datetime.fromisoformat(grant.expires)
    if now >= ends:
        return "expired"
    if now < begins:
        return "pending"
    return "expiring" if ends - now <= dt.timedelta(days=EXPIRING_DAYS) else "active"


def load(home: Home) -> dict[str, Entry]:
    """All entries by merchant. Raises BadData for another format or a damaged file."""
    path = home.path / _STORE
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        value = json.loads(private_files.read(path, _LIMIT))
        if value["format"] != FORMAT:
            raise BadData("The portfolio of this home has a format that this version does not know.")
        return {name: _entry(each) for name, each in value["merchants"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, grants.GrantRefused) as error:
        raise BadData("The file of the portfolio is damaged.", "Restore it from a backup.") from error


def _lines(home: Home, name: str, entry: Entry, now: dt.datetime) -> Iterator[dict[str, Any]]:
    peers = Peers(home)
    key = peers.get(name).public.signing if name in peers.names() else b""
    for wish in entry.wishes:
        state = "refused" if wish.refused else "pending"
        yield {
            "number": 0, **wish.scope.plain(), "begins": "", "expires": "", "state": state, "reason": wish.reason,
        }  # fmt: skip
    for grant, signature in entry.grants:
        state = state_of(entry, grant, signature, key, now)
        yield {
            "number": grant.number, **grant.scope.plain(), "begins": grant.created, "expires": grant.expires,
            "state": state, "reason": "",
        }  # fmt: skip


def _revoked(entry: Entry, key: bytes) -> set[int]:
    found = set()
    for gone, signature in entry.revocations:
        try:
            gone.verify(key, signature)
        except BadData:
            continue
        found.add(gone.number)
    return found


def _signed_by_sender(home: Home, message: Message, term: Grant | Revocation, signature: str) -> None:
    if term.party != message.sender:
        raise Refused("{party} sent what another party has granted.", party=message.sender)
    term.verify(Peers(home).get(message.sender).public.signing, signature)


def _term(message: Message, value: Any, read: Callable[[Any], tuple[Any, str]]) -> tuple[Any, str]:
    try:
        return read(value)
    except (TypeError, KeyError, AttributeError, grants.GrantRefused) as error:
        raise malformed(message.sender) from error


def _change(home: Home, merchant: str, made: Callable[[Entry], Entry]) -> None:
    """One merchant's entry anew; those of others stay as they stand."""
    with _held(home) as held:
        entry = made(held.get(merchant, Entry()))
        if max(len(entry.grants), len(entry.revocations), len(entry.wishes)) > MOST_OF_ONE:
            raise Refused("{party} has granted more than {most} times.", party=merchant, most=MOST_OF_ONE)
        if len(canonical.encode(_plain(entry))) > MOST_BYTES_OF_ONE:
            raise Refused("What {party} has granted takes more than {most} bytes.", party=merchant,
                          most=MOST_BYTES_OF_ONE)  # fmt: skip
        held[merchant] = entry


@contextmanager
def _held(home: Home) -> Iterator[dict[str, Entry]]:
    with private_files.locked(home.path / _LOCK):
        held = load(home)
        yield held
        content: canonical.Json = {"format": FORMAT, "merchants": {name: _plain(held[name]) for name in sorted(held)}}
        write_bytes(home.path / _STORE, canonical.encode(content))


def _plain(entry: Entry) -> Mapping[str, canonical.Json]:
    return {
        "grants": [{**grants.plain(grant), "signature": signature} for grant, signature in entry.grants],
        "revocations": [{**grants.plain(gone), "signature": signature} for gone, signature in entry.revocations],
        "wishes": [wish.plain() for wish in entry.wishes],
    }


def _entry(value: dict[str, Any]) -> Entry:
    return Entry(
        tuple(map(grants.grant_from, value["grants"])),
        tuple(map(grants.revocation_from, value["revocations"])),
        tuple(map(_wish, value["wishes"])),
    )


def _wish(value: dict[str, Any]) -> Wish:
    scope = Scope(*(text_list(value[name]) for name in grants.SCOPE))
    return Wish(scope=scope, **{name: item for name, item in value.items() if name not in grants.SCOPE})
