"""A restored ledger told to peers, and accepted by them: signed, shown to a person, on record. Never silently.

    who was restored      node.restored {"format", "entry", "key"}: the entry of its ledger that says so
    a peer                checks that the pinned key signed it, asks a person, and after a yes puts it on record

A peer that says no, or nothing, goes on refusing the restored ledger: it does not hold what the peer has seen.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.ledger.chain import Entry, Head, check_body, entry_hash
from cleanroom.ledger.opening import open_ledger
from cleanroom.rooms.disclosure import Sentence
from cleanroom.rooms.store import Rooms

if TYPE_CHECKING:  # the node's modules are loaded where they are used
    from cleanroom.node.config import Config
    from cleanroom.node.post import Message
    from cleanroom.node.state import State

KIND = "node.restored"
APPROVAL = "restored"
FORMAT = "cleanroom-restored/1"
_TYPES = {"seq": int, "time": str, "kind": str, "body": dict, "previous": str, "hash": str, "signature": str}


def moment() -> dt.datetime:
    """Now, in UTC."""
    return dt.datetime.now(dt.UTC)


def of(home: Home) -> dict[str, Any]:
    """What this home says of its newest restore. Raises UsageError where it was never restored."""
    with open_ledger(home) as ledger:
        entry = ledger.restored()
    if entry is None:
        raise UsageError("This home was never restored from a backup without its ledger.")
    return {"format": FORMAT, "key": home.keys.public.signing.hex(), "entry": asdict(entry)}


def send(home: Home) -> tuple[str, ...]:
    """Put it into the outbox for every peer; their names. It may be sent again, should it get lost."""
    from cleanroom.node.peers import Peers
    from cleanroom.node.post import Post
    from cleanroom.node.state import State

    body = of(home)
    with State.open(home) as state:
        for name in (names := Peers(home).names()):
            Post(home, state).send(name, KIND, body)
    return tuple(names)


def read(party: str, key: bytes, body: Mapping[str, Any]) -> tuple[Entry, Head]:
    """The entry that says it, and the head of the ledger at it. Raises BadData unless `key` signed just this."""
    strange = BadData("What {party} says of its restored home is not in a form that this version knows.", party=party)
    plain = body.get("entry")
    if body.get("format") != FORMAT or body.keys() != {"format", "key", "entry"} or not isinstance(plain, dict):
        raise strange
    if plain.keys() != _TYPES.keys() or not all(type(plain[name]) is kind for name, kind in _TYPES.items()):
        raise strange
    entry = Entry(**plain)
    check_body(entry.kind, entry.body)
    hashed = entry_hash(entry.seq, entry.time, entry.kind, entry.body, entry.previous)
    if entry.kind != "restored" or hashed != entry.hash or not _is_time(str(entry.body["made"])):
        raise strange
    head = Head(party, str(body["key"]), entry.seq, entry.hash, entry.signature)
    head.verify(key)
    return entry, head


def _is_time(text: str) -> bool:
    """A person is to read it."""
    try:
        dt.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def heard(home: Home, state: "State", config: "Config", message: "Message") -> None:
    """Ask a person whether to accept a peer's restored ledger. Raises BadData for what the peer did not sign so."""
    from cleanroom.node.approvals import Approvals
    from cleanroom.node.peers import Peers

    peer = Peers(home).get(message.sender)
    entry, head = read(peer.name, peer.public.signing, message.body)
    with open_ledger(home) as ledger:
        seen = ledger.seen(peer.name, peer.public.signing)
    if seen is not None and seen.hash == head.hash:
        return  # accepted already: the message came again
    what = (
        Sentence("{party} restored its home from a backup of {made}.",
                 {"party": peer.name, "made": str(entry.body["made"])}),
        Sentence("You have seen its ledger up to entry {seen}; now it ends with entry {seq}, and what came between is "
                 "lost.", {"seen": seen.seq if seen else 0, "seq": head.seq}),
    )  # fmt: skip
    reveals = (
        Sentence("Nothing is shown. From a yes on its ledger counts from there, and each question is charged anew."),
        Sentence("Ask {party} over another channel whether that is so: who stole its keys would say the same.",
                 {"party": peer.name}),
    )  # fmt: skip
    Approvals(state, config.approval).ask(APPROVAL, "", peer.name, _texts(what), _texts(reveals), dict(message.body))


def accept(home: Home, party: str, body: Mapping[str, Any], who: str) -> None:
    """After a yes of `who`: the peer's ledger counts from its restore on.

    Where the peer is an operator, this party's own epoch jumps too: an operator's noise may have been drawn in a run
    that was cut off, and is part of no epoch of its own. Raises BadData, UsageError, Refused where it was accepted.
    """
    from cleanroom.node.peers import Peers

    peer = Peers(home).get(party)
    _, head = read(peer.name, peer.public.signing, body)
    rooms = [Rooms(home.rooms).load(name).contract for name in Rooms(home.rooms).names()]
    if any(room.match.host == party and party not in room.owners and home.party in room.owners for room in rooms):
        home.vault.begin_again(None)
    with open_ledger(home) as ledger:
        ledger.accept_line(head, peer.public.signing, who)


def _texts(sentences: tuple[Sentence, ...]) -> list[tuple[str, dict[str, Any]]]:
    return [(each.template, each.params) for each in sentences]
