"""Invitations: a party asks others for a room, each answers with a card or a no, and the inviter's node drafts.

What a message says is believed only where it can be checked: a card is its sender's, with the keys that are pinned for
it; a room's name is free; whoever answers was asked. A card's labels go to the owners that its own party was told of,
never to an operator, and nobody is handed a third party's card.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cleanroom.errors import KNOWN, BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, Post
from cleanroom.node.state import State
from cleanroom.rooms import agreeing, cards, changing, desk, drafting, ended, meetings, offers, review, room_secrets
from cleanroom.rooms.agreeing import TO_JOIN, Here, opened, told
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.meetings import BODY, MOST_TEXT, NAME_TAKEN, Asked, Meeting, Meetings, Part, taken
from cleanroom.rooms.store import Room

MOST_OPEN = 20
"""Invitations of one peer that may wait at a time."""
_ROLES = {"enclave": "operator"}
"""Roles of nodes that contracts call otherwise."""
Result = dict[str, Any]


# -- what people do


def invite(path: Path, name: str, others: Sequence[str], operator: str | None, dataset: str, columns: Sequence[str],
           asked: Asked, members: Sequence[str] = ()) -> Result:  # fmt: skip
    """Ask peers for a room. others: owners of data; operator: who runs a neutral enclave, or None; columns: those of
    the dataset that this party offers; members: those of them that may define who is addressed. Raises
    UsageError where the name is taken, or a peer unknown."""
    with opened(path) as here:
        owners: dict[str, Part] = dict.fromkeys((here.party, *others), "owner")
        invited = meetings.parts_of({**owners, **({operator: "operator"} if operator else {})})
        if len(invited) != 1 + len(others) + bool(operator):
            raise UsageError("A party is named twice.", "Each takes one part.")
        for each in [each for each in invited if each != here.party]:
            Peers(here.home).get(each)
        own = _card(here, dataset, columns, members)
        with here.changing() as held:
            if _taken(here.home, held, meetings.named(name)):
                raise UsageError("There is a room {room} already.", "Choose another name.", room=name)
            meeting = Meeting(secrets.token_hex(16), name, here.party, invited, asked, cards={here.party: own})
            meeting = told(here, held, meeting, "card.asked")
        return _result(here, meeting)


def accept(path: Path, name: str, dataset: str | None, columns: Sequence[str], who: str = "",
           members: Sequence[str] = ()) -> Result:  # fmt: skip
    """Answer an invitation with this party's card. dataset: what an owner brings; an operator brings none; members: as
    of `invite`.

    Raises UsageError where nothing waits, Refused where `who` may not decide.
    """
    with opened(path) as here, here.changing() as held:
        meeting = held.open_for(name)
        if meeting is None or here.party == meeting.inviter or meeting.offered is not None:
            raise UsageError("No invitation to a room {room} waits here.", "See: cleanroom room list", room=name)
        if here.party not in meeting.cards:
            if (dataset is None) != (meeting.invited[here.party] == "operator"):
                raise UsageError("An owner of data names a dataset, and an operator none.", "--dataset NAME")
            own = _card(here, dataset, columns, members)
            agreeing.said_yes(here, meeting, who)
            meeting = replace(meeting, cards={**meeting.cards, here.party: own})
        return _result(here, told(here, held, meeting, "card.given"))


def refuse(path: Path, name: str, reason: str, who: str = "") -> Result:
    """A no to whatever waits about the room, with its reason."""
    with opened(path) as here:
        return _result(here, agreeing.refuse(here, name, reason, who))


def sign(path: Path, name: str, who: str = "") -> Result:
    """Sign what waits about the room."""
    with opened(path) as here:
        return _result(here, agreeing.sign(here, name, who))


def change(path: Path, name: str, wished: changing.Wished, file: Path | None = None) -> Result:
    """Propose another contract for a room: the one in force with the wished changes, or that of a draft in TOML. It
    waits for everybody's signature, this party's too; until then the one in force stays."""
    with opened(path) as here, here.changing() as held:
        if held.open_for(name) is not None:
            raise Refused("Another change of this room waits already.", "Sign or refuse it first.")
        before, after = changing.proposed(here.home, name, wished, file)
        meeting = Meeting(secrets.token_hex(16), name, here.party, offers.parts_in(before.contract),
                          of=before.contract.digest(), offered=after)  # fmt: skip
        return _result(here, agreeing.offer(here, held, meeting))


def _result(here: Here, meeting: Meeting) -> Result:
    contract = meeting.offered and meeting.offered.contract.digest()
    return {"room": meeting.room, "state": desk.state_of(here.home, meeting), "parties": list(meeting.invited),
            "missing": meeting.missing(here.party), "digest": contract,
            "changes": [line.plain() for line in review.changed(here.home, meeting) if meeting.open]}  # fmt: skip


def _card(here: Here, dataset: str | None, columns: Sequence[str], members: Sequence[str]) -> dict[str, Any]:
    """This party's card, with the named columns alone."""
    role = _ROLES.get(here.config.role, here.config.role)
    made = cards.make(here.home, role, dataset, members)
    if dataset is not None:
        there = {column["name"]: column for column in made["dataset"]["columns"]}
        for name in columns:
            if name not in there:
                raise UsageError("The dataset {dataset} cannot offer {column}.", "It can offer: {columns}",
                                 dataset=dataset, column=name, columns=", ".join(there) or "–")  # fmt: skip
        made["dataset"]["columns"] = [there[name] for name in dict.fromkeys(columns)]
    cards.parse(made, here.party)  # as peers will, who take no larger one
    return made


def _taken(home: Home, held: Meetings, name: str) -> bool:
    return (home.rooms / name).exists() or held.open_for(name) is not None


# -- what arrives


def handle_asked(home: Home, state: State, config: Config, message: Message) -> None:
    """`card.asked`: it waits for a person. Where the name is in use here, the answer is a no that says so."""
    here = Here(home, state, config)
    body = taken(message.body, meeting=str, room=str, card=dict, invited=dict, asked=dict)
    name, invited = meetings.named(body["room"]), meetings.parts_of(body["invited"])
    if home.party not in invited or invited.get(message.sender) != "owner" or message.sender == home.party:
        raise BadData("An invitation came from somebody who brings no data, or is for others.")
    _checked(home, message.sender, body["card"], "owner", labels=invited[home.party] == "owner")
    meeting = Meeting(meetings.identity(body["meeting"]), name, message.sender, invited, _asked(body["asked"]),
                      cards={message.sender: body["card"]})  # fmt: skip
    with here.changing() as held:
        if held.find(meeting.id) is not None:
            return
        if _taken(home, held, name):
            answer = {"format": BODY, "meeting": meeting.id, "room": name, "by": home.party, "reason": NAME_TAKEN}
            Post(home, state).send(message.sender, "room.refused", answer)
            return
        if sum(each.open and each.inviter == message.sender for each in held.all()) >= MOST_OPEN:
            raise Refused("{most} invitations of {party} wait already.", most=MOST_OPEN, party=message.sender)
        what, reveals = review.of_card(home, meeting)
        payload = {"meeting": meeting.id}
        texts = review.texts(what), review.texts(reveals)
        asked = here.approvals.ask(TO_JOIN, name, message.sender, *texts, payload)
        held.add(replace(meeting, approval=asked))


def handle_given(home: Home, state: State, config: Config, message: Message) -> None:
    """`card.given`: an answer to this node's invitation. With the last one the contract is drafted and offered."""
    here = Here(home, state, config)
    body = taken(message.body, meeting=str, room=str, card=dict)
    with here.changing() as held:
        meeting = held.about(body["meeting"], body["room"])
        if meeting is None or meeting.inviter != home.party or message.sender not in meeting.others(home.party):
            raise BadData("A card came that nobody asked for.")
        if not meeting.open or meeting.offered is not None or message.sender in meeting.cards:
            return
        _checked(home, message.sender, body["card"], meeting.invited[message.sender])
        meeting = held.put(replace(meeting, cards={**meeting.cards, message.sender: body["card"]}))
        _draft(here, held, meeting)


def _draft(here: Here, held: Meetings, meeting: Meeting) -> None:
    """Once all cards are there: the contract, offered to all; or why there can be none, told to all."""
    if meeting.asked is None or meeting.cards.keys() != meeting.invited.keys():
        return
    names = [here.party, *meeting.others(here.party)]
    try:
        found = [cards.parse(meeting.cards[name], name) for name in names]
        contract, annexes = drafting.from_cards(here.home, meeting.room, meeting.asked, found)
    except KNOWN as error:
        agreeing.ended(here, held, meeting.because(here.party, str(error)[:MOST_TEXT]), "room.refused")
        return
    offered = Room(SignedContract(contract), annexes, secrets=room_secrets.offered(here.home, contract, ()))
    agreeing.offer(here, held, replace(meeting, offered=offered))


def _checked(home: Home, sender: str, card: dict[str, Any], part: Part, *, labels: bool = True) -> None:
    """Raises BadData unless the card is the sender's, with the keys that are pinned for it, and fits its part.

    labels: whether an owner's offer has to be there: an operator is not shown it.
    """
    found, known = cards.parse(card, sender), Peers(home).get(sender).public
    keys = (found.party.signing, found.party.exchange)
    if found.party.name != sender or keys != (known.signing.hex(), known.exchange.hex()):
        raise BadData("The card that came from {party} is another's, or has other keys than are pinned.", party=sender)
    if (part == "operator") != (found.party.role == "operator") or (part == "owner" and labels) != bool(found.offer):
        raise BadData("The card of {party} does not fit the part that it has in the room.", party=sender)


def _asked(value: dict[str, Any]) -> Asked:
    try:
        return meetings.asked_of(value)
    except (TypeError, UsageError) as error:
        raise meetings.malformed() from error


Handler = Callable[[Home, State, Config, Message], None]
HANDLERS: Mapping[str, Handler] = {
    "card.asked": handle_asked,
    "card.given": handle_given,
    "room.offered": agreeing.handle_offered,
    "room.signed": agreeing.handle_signed,
    "room.refused": agreeing.handle_refused,
    "room.left": ended.handle_left,
}
"""What this node does with messages about rooms."""
