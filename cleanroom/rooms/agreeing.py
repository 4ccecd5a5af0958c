"""Agreeing on a contract over the wire: offered, reviewed, signed or refused; with every signature it is in force.

No handler signs anything, and nothing replaces a contract in force but another with the signatures of all its parties.
Signatures go to everybody; whoever offered the contract hands all of them on once they are complete, so that it does
not matter which message comes first. A full set of signatures holds, whatever was said before: nobody here signs what
it refused, or refuses what it signed.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cleanroom.errors import KNOWN, BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.approvals import Approvals
from cleanroom.node.config import Config, load
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, Post
from cleanroom.node.state import State
from cleanroom.rooms import meetings, paillier_keys, review
from cleanroom.rooms.contract import SignedContract, check_annexes
from cleanroom.rooms.keeping import keep
from cleanroom.rooms.meetings import BODY, CHANGE_WAITS, NOT_IN_TIME, Meeting, Meetings, said, taken
from cleanroom.rooms.offers import check_change, check_invited, check_names, check_own_terms, in_force, parts_in
from cleanroom.rooms.signing import check_expiry, check_signatures, for_party, with_signature
from cleanroom.rooms.store import Room, Rooms, from_plain, gathered, to_plain

TO_SIGN, TO_JOIN = "room.sign", "room.card"
"""Kinds of approvals."""


@dataclass(frozen=True)
class Here:
    """The node that all of it happens at."""

    home: Home
    state: State
    config: Config

    @property
    def approvals(self) -> Approvals:
        """What waits for a person."""
        return Approvals(self.state, self.config.approval)

    @property
    def party(self) -> str:
        """Its own."""
        return self.home.party

    def pinned(self, names: Sequence[str]) -> list[str]:
        """Those of the names that messages can be sent to."""
        known = Peers(self.home).names()
        return [name for name in names if name in known]

    @contextmanager
    def changing(self) -> Iterator[Meetings]:
        """Alone with the meetings."""
        with Meetings(self.home).changing() as held:
            yield held


@contextmanager
def opened(path: Path) -> Iterator[Here]:
    """The node of a home, for one command."""
    home = Home.open(path.expanduser())
    with State.open(home) as state:
        yield Here(home, state, load(home.path))


# -- what is told to others


def told(here: Here, held: Meetings, meeting: Meeting, pending: str = "") -> Meeting:
    """Keep the meeting, then tell the others what it owes them; after a crash in between `settle` tells it."""
    meeting = held.put(replace(meeting, pending=pending or meeting.pending))
    if not meeting.pending:
        return meeting
    post = Post(here.home, here.state)
    for name, body in _bodies(here, meeting):
        post.send(name, meeting.pending, {"format": BODY, "meeting": meeting.id, "room": meeting.room, **body})
    return held.put(replace(meeting, pending=""))


def _bodies(here: Here, meeting: Meeting) -> Iterator[tuple[str, dict[str, Any]]]:
    """Who is told what. An operator gets no labels: neither a card's nor a contract's."""
    others = here.pinned(meeting.others(here.party))
    room = meeting.offered
    if meeting.pending == "card.given":
        yield meeting.inviter, {"card": meeting.cards[here.party]}
    elif meeting.pending == "card.asked" and meeting.asked is not None:
        own, asked = meeting.cards[here.party], dataclasses.asdict(meeting.asked)
        for name in others:
            shown = own if meeting.invited[name] == "owner" else {**own, "dataset": None}
            yield name, {"card": shown, "invited": dict(meeting.invited), "asked": asked}
    elif meeting.pending == "room.refused":
        who, reason = meeting.no
        for name in others:
            yield name, {"by": who, "reason": reason}
    elif meeting.pending == "room.offered" and room is not None:
        for name in others:
            for_operator = meeting.invited[name] == "operator"
            yield name, {"of": meeting.of, "contract": to_plain(room, for_operator=for_operator)}
    elif meeting.pending == "room.signed" and room is not None:
        keys = tuple(key for key in room.keys if here.party in (meeting.inviter, key.owner))
        bare = replace(room, annexes=None, keys=keys)
        for name in others:
            yield name, {"signed": to_plain(bare, for_operator=meeting.invited[name] == "operator")}


def ended(here: Here, held: Meetings, meeting: Meeting, pending: str = "") -> Meeting:
    """`told` of a meeting that has come to its end: nobody need say yes to it any more."""
    if meeting.approval and here.approvals.get(meeting.approval).state == "waiting":
        here.approvals.withdraw(meeting.approval)
    return told(here, held, meeting, pending)


# -- offered


def offer(here: Here, held: Meetings, meeting: Meeting) -> Meeting:
    """Of whoever drafted the contract: it goes to all, and waits for a yes here too."""
    return told(here, held, waits(here, meeting), "room.offered")


def waits(here: Here, meeting: Meeting) -> Meeting:
    """The meeting, its contract waiting for this party's yes."""
    if meeting.offered is None:
        raise Refused("There is no contract to sign yet.")
    what, reveals = review.of_contract(here.home, meeting)
    payload = {"meeting": meeting.id, "contract": meeting.offered.contract.digest()}
    texts = review.texts(what), review.texts(reveals)
    asked = here.approvals.ask(TO_SIGN, meeting.room, meeting.inviter, *texts, payload)
    return replace(meeting, approval=asked)


def handle_offered(home: Home, state: State, config: Config, message: Message) -> None:
    """`room.offered`: a contract of cards that were given, or another for a room that is in force. It waits."""
    here = Here(home, state, config)
    body = taken(message.body, meeting=str, room=str, of=str, contract=dict)
    room = for_party(home.party, _labelled(home, from_plain(body["contract"]), body["of"]))
    room = Room(SignedContract(room.contract), room.annexes, secrets=room.secrets)
    check_names(home, room.contract, message.sender)
    with here.changing() as held:
        meeting = held.about(body["meeting"], body["room"])
        known = meeting is None or (meeting.inviter, meeting.of) == (message.sender, body["of"])
        if not known or room.contract.room != body["room"]:
            raise meetings.malformed()
        if body["of"]:
            _change_offered(here, held, message.sender, body, room, meeting)
        else:
            _room_offered(here, held, room, meeting)


def _labelled(home: Home, room: Room, of: str) -> Room:
    """A change that an operator proposed comes without labels: they are those that its owners hold already."""
    before = Rooms(home.rooms).under(of) if of and room.annexes is None else None
    if before is None or before.annexes is None:
        return room
    check_annexes(room.contract, before.annexes)
    return replace(room, annexes=before.annexes)


def _room_offered(here: Here, held: Meetings, room: Room, meeting: Meeting | None) -> None:
    if meeting is None or here.party not in meeting.cards:
        raise BadData("A contract was offered to which this party gave no card.")
    if not meeting.open or _same(meeting.offered, room):
        return
    try:
        check_invited(meeting, room.contract)
        check_own_terms(here.home, meeting, room)
    except Refused as error:
        ended(here, held, meeting.because(here.party, str(error)[: meetings.MOST_TEXT]), "room.refused")
        return
    held.put(waits(here, replace(meeting, offered=room)))


def _change_offered(here: Here, held: Meetings, sender: str, body: Mapping[str, Any], room: Room,
                    meeting: Meeting | None) -> None:  # fmt: skip
    if meeting is not None:
        if meeting.open:
            _same(meeting.offered, room)
        return
    base = in_force(here.home, body["room"], body["of"])
    check_change(base.contract, room.contract)
    parts = parts_in(base.contract)
    another = held.open_for(body["room"])
    meeting = Meeting(body["meeting"], body["room"], sender, parts, of=body["of"], offered=room)
    if another is not None:
        answer = {"format": BODY, "meeting": meeting.id, "room": meeting.room, "by": here.party, "reason": CHANGE_WAITS}
        Post(here.home, here.state).send(sender, "room.refused", answer)
        return
    held.add(waits(here, meeting))


def _same(held: Room | None, room: Room) -> bool:
    """Whether it has come before. Raises BadData for another contract of the same meeting."""
    if held is not None and held.contract.digest() != room.contract.digest():
        raise BadData("A second contract was offered where there was one already.")
    return held is not None


# -- signed


def sign(here: Here, name: str, who: str = "") -> Meeting:
    """This party's yes and signature. who: which user decided, "" for the owner of the home.

    1. Somebody waits for it. 2. All parties are pinned, with the keys that the contract names. 3. It is not expired,
    and changes what is in force. 4. What this party promises is there. Raises Refused, UsageError.
    """
    from cleanroom.node.jobs import check_own  # pyarrow and DuckDB: only where something is signed

    with here.changing() as held:
        meeting = held.open_for(name)
        if meeting is None or meeting.offered is None:  # 1
            raise UsageError("No contract of the room {room} waits here.", "See: cleanroom room list", room=name)
        if here.party in meeting.signatures:
            return complete(here, held, told(here, held, meeting))
        contract = meeting.offered.contract
        for other in meeting.others(here.party):  # 2
            if not here.pinned([other]):
                raise Refused("{party} is not pinned here, so its keys cannot be checked.",
                              "Compare fingerprints, then: cleanroom peer add", party=other)  # fmt: skip
        check_names(here.home, contract, meeting.others(here.party)[0])
        check_expiry(contract)  # 3
        if meeting.of:
            in_force(here.home, name, meeting.of)
        check_own(here.home, meeting.offered)  # 4
        said_yes(here, meeting, who)
        room = with_signature(here.home, meeting.offered)
        meeting = told(here, held, replace(meeting, offered=room), "room.signed")
        return complete(here, held, meeting)


def said_yes(here: Here, meeting: Meeting, who: str) -> None:
    """Raises Refused where `who` may not decide it, or somebody has said no."""
    if meeting.approval and here.approvals.get(meeting.approval).state != "approved":
        here.approvals.decide(meeting.approval, True, who or here.party, "", owner=not who)


def handle_signed(home: Home, state: State, config: Config, message: Message) -> None:
    """`room.signed`: signatures under a contract that waits here. Those that hold are kept; the last brings it into
    force. One that comes before its contract is passed over: whoever offered it sends all again in the end."""
    here = Here(home, state, config)
    came = from_plain(taken(message.body, meeting=str, room=str, signed=dict)["signed"])
    with here.changing() as held:
        meeting = held.about(message.body["meeting"], message.body["room"])
        if meeting is None or meeting.offered is None or meeting.ended == "kept":
            return
        room = meeting.offered
        if message.sender not in meeting.invited or came.contract.digest() != room.contract.digest():
            raise BadData("A signature came from somebody who is no party, or for another contract.")
        check_signatures(came.signed)
        known = {key.owner for key in room.keys}
        new = tuple(key for key in came.keys if key.owner not in known)
        if any(message.sender not in (key.owner, meeting.inviter) for key in new):
            raise BadData("A Paillier key came from somebody whose it is not.")
        paillier_keys.check(home, room.contract, new)
        maker = room.contract.dataset(room.contract.match.left).owner
        secrets = came.secrets if not room.secrets and message.sender in (maker, meeting.inviter) else ()
        came = replace(came, annexes=None, keys=new, secrets=secrets)
        both = gathered(room, [came])
        complete(here, held, held.put(replace(meeting, offered=both)))


def complete(here: Here, held: Meetings, meeting: Meeting) -> Meeting:
    """With every signature: the contract is in force here from now on, and whoever offered it hands them all on."""
    room = meeting.offered
    if room is None or not room.complete or meeting.ended == "kept":
        return meeting
    room.signed.check(dt.datetime.fromisoformat(room.contract.created), room.annexes)
    current = Rooms(here.home.rooms)
    known = meeting.room in current.names() and current.load(meeting.room).contract.digest() == room.contract.digest()
    if meeting.of and not known:
        in_force(here.home, meeting.room, meeting.of)
    keep(here.home, room, instead_of=meeting.of)
    hub = here.party == meeting.inviter
    return ended(here, held, replace(meeting, ended="kept"), "room.signed" if hub else "")


# -- refused


def refuse(here: Here, name: str, reason: str, who: str = "") -> Meeting:
    """This party's no to an invitation, a contract or a change; it reaches everybody. Raises UsageError, Refused."""
    with here.changing() as held:
        meeting = held.open_for(name)
        if meeting is None:
            raise UsageError("Nothing about the room {room} waits here.", "See: cleanroom room list", room=name)
        if here.party in meeting.signatures:
            raise Refused(
                "This party has signed it already.", "Leave the room once it is in force: cleanroom room leave"
            )
        if meeting.approval and here.approvals.get(meeting.approval).state == "waiting":
            here.approvals.decide(meeting.approval, False, who or here.party, said(reason), owner=not who)
        return ended(here, held, meeting.because(here.party, said(reason)), "room.refused")


def handle_refused(home: Home, state: State, config: Config, message: Message) -> None:
    """`room.refused`: the meeting ends here too, and its inviter tells all others."""
    here = Here(home, state, config)
    body = taken(message.body, meeting=str, room=str, by=str, reason=str)
    with here.changing() as held:
        meeting = held.about(body["meeting"], body["room"])
        if meeting is None or not meeting.open:
            return
        if message.sender not in meeting.invited or body["by"] not in meeting.invited:
            raise BadData("A no came from somebody who is not invited.")
        if message.sender not in (body["by"], meeting.inviter) or body["by"] == here.party:
            raise BadData("A no came in the name of another.")
        try:
            reason = said(body["reason"])
        except UsageError as error:
            raise meetings.malformed() from error
        pending = "room.refused" if here.party == meeting.inviter else ""
        ended(here, held, meeting.because(body["by"], reason), pending)


# -- what a node does from time to time


def settle(here: Here, *, signing: bool = True) -> list[tuple[str, Exception]]:
    """Finish what a crash interrupted, and do what people decided in the list of approvals: a no is told, a yes to a
    contract signed; what nobody signed before its contract expired ends. signing: whether a yes may be done here, which
    takes heavy modules. Rooms whose step failed, with the error: it is tried again. For a node's start and its turns.
    """
    failed: list[tuple[str, Exception]] = []
    for meeting in Meetings(here.home).all():
        try:
            _finish(here, meeting)
            if meeting.open:
                _decided(here, meeting, signing)
        except KNOWN as error:
            failed.append((meeting.room, error))
    return failed


def _finish(here: Here, meeting: Meeting) -> None:
    full = meeting.open and meeting.offered is not None and meeting.offered.complete
    if meeting.pending or full:
        with here.changing() as held:
            complete(here, held, told(here, held, held.find(meeting.id) or meeting))


def _decided(here: Here, meeting: Meeting, signing: bool) -> None:
    """What follows from a decision in the list, or from none."""
    asked = here.approvals.get(meeting.approval) if meeting.approval else None
    expires = meeting.offered.contract.expires if meeting.offered is not None else None
    over = expires is not None and dt.datetime.now(dt.UTC) >= dt.datetime.fromisoformat(expires)
    if here.party in meeting.signatures:
        if over:
            with here.changing() as held:
                ended(here, held, meeting.because(here.party, NOT_IN_TIME))
    elif over or (asked is not None and asked.state == "expired"):
        refuse(here, meeting.room, NOT_IN_TIME)
    elif asked is not None and asked.state == "refused":
        refuse(here, meeting.room, asked.reason)
    elif asked is not None and asked.state == "approved" and asked.kind == TO_SIGN and signing:
        sign(here, meeting.room)
