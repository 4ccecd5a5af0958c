"""Leaving a room: a signed statement that reaches everybody, and ends the room for all who know of it.

What was signed and released stays as it is; only nothing runs any more. Nobody can leave in another's name, and nobody
can keep another from leaving.
"""

import datetime as dt
from pathlib import Path
from typing import Any

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.config import Config
from cleanroom.node.post import Message, Post
from cleanroom.node.state import State
from cleanroom.rooms import agreeing
from cleanroom.rooms.agreeing import Here, opened
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.left import Left
from cleanroom.rooms.meetings import BODY, PARTY_LEFT, Meetings, said, taken
from cleanroom.rooms.store import Rooms


def leave(path: Path, name: str, reason: str) -> dict[str, Any]:
    """Leave a room: it ends here at once, and at the others when they hear of it.

    Raises UsageError where there is none, Refused where not all have signed it.
    """
    with opened(path) as here, here.changing() as held:
        kept = Rooms(here.home.rooms)
        room = kept.load(name)
        if not room.complete:
            raise Refused("Not all have signed the room {room}: there is nothing to leave.",
                          "Refuse it: cleanroom room refuse", room=name)  # fmt: skip
        mine = next((each for each in room.left if each.party == here.party), None)
        if mine is None:
            now = dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()
            mine = Left(name, room.contract.digest(), here.party, said(reason), now).signed(here.home.keys)
        others = here.pinned([each.name for each in room.contract.parties if each.name != here.party])
        for other in others:  # first: what is told twice is heard once, what is told after a crash perhaps never
            Post(here.home, here.state).send(other, "room.left", {"format": BODY, "left": mine.plain()})
        kept.leave(mine, room.contract)
        _end_change(here, held, name, here.party)
        return {"room": name, "party": here.party, "reason": mine.reason, "time": mine.time, "told": others}


def handle_left(home: Home, state: State, config: Config, message: Message) -> None:
    """`room.left`: the statement is kept beside the room, which ends. It is its sender's own, about a contract that is,
    was or may soon be in force here."""
    here = Here(home, state, config)
    statement = Left.parse(taken(message.body, left=dict)["left"])
    if statement.party != message.sender:
        raise BadData("A statement of leaving came from somebody else.")
    with here.changing() as held:
        try:
            dt.datetime.fromisoformat(statement.time)
            said(statement.reason)
        except (ValueError, UsageError) as error:
            raise BadData("A statement of leaving is not in the form that this version knows.") from error
        Rooms(home.rooms).leave(statement, _about(home, held, statement))
        _end_change(here, held, statement.room, statement.party)


def _about(home: Home, held: Meetings, statement: Left) -> Contract:
    """The contract that was left: it is or was in force here, or waits and has all signatures elsewhere already. Raises
    BadData where this node does not know it."""
    waiting = [each.offered for each in held.all() if each.offered is not None]
    for room in (*Rooms(home.rooms).every(), *waiting):
        if room.contract.digest() == statement.contract and room.contract.room == statement.room:
            return room.contract
    raise BadData("Somebody left a room that is not known here.")


def _end_change(here: Here, held: Meetings, name: str, who: str) -> None:
    meeting = held.open_for(name)
    if meeting is not None and meeting.of:
        agreeing.ended(here, held, meeting.because(who, PARTY_LEFT))
