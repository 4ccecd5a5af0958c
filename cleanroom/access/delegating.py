"""At the party that delegates: grants to peers, which are told of them, and what peers ask to be granted.

A grant is in force by this home's own store; what a peer is told is for its portfolio. A peer's wish waits for a
person's yes like everything that binds the party, and nothing is granted by a message.
"""

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom.access import matrix, store
from cleanroom.access.acting import is_id
from cleanroom.access.check import Caller, check
from cleanroom.access.store import text_list
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.node.approvals import Approval, Approvals
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, Post
from cleanroom.node.state import State
from cleanroom.rooms import grants
from cleanroom.rooms.grants import Grant, Scope

FORMAT = "cleanroom-delegation/1"
KIND = "grant"
"""Of approvals: what is asked is a grant."""
MOST_REASON = 500


def given(
    path: Path, name: str, key: str, scope: Scope, days: int, begins: dt.datetime | None = None
) -> dict[str, Any]:
    """A grant signed and kept, as `grants.given`; `told`: the pinned peer whose key it is, which is told, or "".

    key: 64 hex digits, or "" where `name` is a pinned peer. begins: now, unless said; the days count from then.
    """
    home = Home.open(path.expanduser())
    check_served(scope)
    key = key or Peers(home).get(name).public.signing.hex()
    length = grants.days_from_now(days) - dt.datetime.now(dt.UTC)
    begin = begins or dt.datetime.now(dt.UTC)
    grant, signature = grants.add(home, name, key, scope, begin + length, begin)
    return {"home": str(home.path), **asdict(grant), "told": tell(home, grant, signature)}


def check_served(scope: Scope) -> None:
    """Raises UsageError for a call that no node answers to others: a promise that nothing would keep."""
    for call in scope.calls:
        if call in matrix.GRANTABLE and call not in matrix.SERVED:
            raise UsageError("The call {call} is for people at the node alone.", "A grant gives: {calls}.", call=call,
                             calls=", ".join(each for each in matrix.SERVED if each in matrix.GRANTABLE))  # fmt: skip


def ended(path: Path, number: int) -> dict[str, Any]:
    """A grant revoked, as `grants.ended`; `told`: the peer that is told, or ""."""
    home = Home.open(path.expanduser())
    revocation, signature = grants.revoke(home, number)
    key = next(grant.key for grant, _ in grants.load(home).grants if grant.number == number)
    told = _send(home, key, "grant.revoked", {"revocation": {**grants.plain(revocation), "signature": signature}})
    return {"home": str(home.path), **asdict(revocation), "told": told}


def sent(path: Path, number: int) -> dict[str, Any]:
    """A grant told once more, to a peer that was pinned after it was given. Raises UsageError."""
    home = Home.open(path.expanduser())
    held = {grant.number: (grant, signature) for grant, signature in grants.load(home).grants}
    if number not in held:
        raise UsageError("There is no grant {number}.", "cleanroom grant list names them.", number=number)
    told = tell(home, *held[number])
    if not told:
        raise UsageError("The key of this grant is no pinned peer's.", "Pin it first: cleanroom peer add")
    return {"home": str(home.path), "number": number, "told": told}


def tell(home: Home, grant: Grant, signature: str, asked: str = "") -> str:
    """Tells the pinned peer whose key the grant is for; its name, or "" where there is none. asked: what it answers."""
    body = {"grant": {**grants.plain(grant), "signature": signature}, "asked": asked}
    return _send(home, grant.key, "grant.given", body)


def asked(home: Home, state: State, settings: config.Config, message: Message) -> None:
    """Handles `grant.asked`: a peer wishes for a grant; it waits for a person. Raises BadData for what cannot be meant.

    The same message again is the same question.
    """
    peer = Peers(home).get(message.sender)
    body, days = checked_body(message, {"asked", "days", *grants.SCOPE}), message.body["days"]
    if type(days) is not int or not is_id(body["asked"]):
        raise malformed(message.sender)
    scope = Scope(*(text_list(body[name]) for name in grants.SCOPE))
    if not all(each.isprintable() for names in scope.plain().values() for each in names):
        raise malformed(message.sender)  # a person is to read it
    times = (dt.datetime.now(dt.UTC).isoformat(), grants.days_from_now(days).isoformat())
    Grant.of(scope, home.party, peer.name, peer.public.signing.hex(), times, 1)  # refuses what is no grant
    shown = {name: ", ".join(each) for name, each in scope.plain().items()}
    what = ("{party} asks to act in this party's name for {days} days: {calls}; in the rooms {rooms}.",
            {"party": peer.name, "days": days, "calls": shown["calls"], "rooms": shown["rooms"]})  # fmt: skip
    reveals = ("What such calls answer, of the columns {columns}; crowds to the channels {channels}.",
               {"columns": shown["columns"], "channels": shown["channels"]})  # fmt: skip
    payload = {"peer": peer.name, "asked": body["asked"], "scope": scope.plain(), "days": days}
    Approvals(state, settings.approval).ask(KIND, "", peer.name, (what,), (reveals,), payload)


def decided(home: Home, state: State, number: str, *, yes: bool, reason: str, who: str = "") -> Approval:
    """A person decides on a wish: it becomes a grant, or is refused, and the peer is told.

    number: of the approval; who: the user, "" for the owner of the home. Who may approve other things gives no grants:
    raises AccessRefused unless `who` may, and what `Approvals.decide` does.
    """
    user = store.load(home).user(who)
    caller = Caller("user", who, user.roles if user is not None else ()) if who else Caller("owner")
    check(home, caller, "grant", "")
    approvals = Approvals(state, config.load(home.path).approval)
    found = approvals.get(number)
    if found.kind != KIND:
        raise UsageError("This is not a wish for a grant.")
    found = approvals.decide(found.id, yes, who or home.party, reason, owner=True)
    if yes:
        _granted(home, found.payload)
    else:
        body = {"format": FORMAT, "asked": found.payload["asked"], "reason": found.reason[:MOST_REASON]}
        Post(home, state).send(found.payload["peer"], "grant.refused", body)
    return found


def _granted(home: Home, payload: dict[str, Any]) -> None:
    peer = Peers(home).get(payload["peer"])
    ends = grants.days_from_now(payload["days"])
    scope = Scope(*(text_list(payload["scope"][name]) for name in grants.SCOPE))
    grant, signature = grants.add(home, peer.name, peer.public.signing.hex(), scope, ends)
    tell(home, grant, signature, payload["asked"])


def checked_body(message: Message, fields: set[str]) -> dict[str, Any]:
    """The body of a message of this part. Raises BadData unless it is of a known version, with just these fields."""
    if message.body.get("format") != FORMAT:
        raise BadData(
            "What {party} says of a grant is of an unknown version.", "Update this program.", party=message.sender
        )
    if message.body.keys() != fields | {"format"}:
        raise malformed(message.sender)
    return message.body


def malformed(party: str) -> BadData:
    """For a message of this part that is not in its form."""
    return BadData("What {party} says of a grant is not in its form.", party=party)


def _send(home: Home, key: str, kind: str, body: dict[str, Any]) -> str:
    peer = Peers(home).by_key(bytes.fromhex(key))
    if peer is None:
        return ""
    with State.open(home) as state:
        Post(home, state).send(peer.name, kind, {"format": FORMAT, **body})
    return peer.name
