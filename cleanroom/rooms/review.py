"""Review: what waits for a person's yes, in plain words: what would be shared, who learns what, for how long.

All of it is worked out here from the contract that is to be signed; what whoever asks says of it counts for nothing.
Sentences are English templates with their parameters, to be translated where they are shown.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.rooms import desk
from cleanroom.rooms.cards import LEAST_PEOPLE
from cleanroom.rooms.changes import Line, differences
from cleanroom.rooms.choose import Wish, choose
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import NOTES, Sentence, learns
from cleanroom.rooms.meetings import MOST_TEXT, Meeting, Meetings
from cleanroom.rooms.store import Rooms

Said = tuple[list[Sentence], list[Sentence]]
"""What somebody asks for, and what a yes to it would reveal."""


def reviewed(path: Path, name: str) -> dict[str, Any]:
    """What waits about a room, for this party to accept, sign or refuse. Raises UsageError where nothing does."""
    home = Home.open(path.expanduser())
    meeting = Meetings(home).last_for(name)
    if meeting is None:
        raise UsageError("Nothing about the room {room} waits here.", "See: cleanroom room list", room=name)
    what, reveals = of_card(home, meeting) if meeting.offered is None else of_contract(home, meeting)
    offered = meeting.offered
    signed = home.party in meeting.signatures
    return {
        "room": name, "from": meeting.inviter, "state": desk.state_of(home, meeting),
        "step": "none" if not meeting.open or signed else "sign" if offered is not None else _first(home, meeting),
        "what": [_plain(each) for each in what], "reveals": [_plain(each) for each in reveals],
        "contract": None if offered is None else desk.told(home, offered),
        "changes": [line.plain() for line in changed(home, meeting)],
        "why": None if offered is None else asdict(why(offered.contract)),
        "missing": meeting.missing(home.party),
    }  # fmt: skip


def _first(home: Home, meeting: Meeting) -> str:
    return "accept" if home.party not in meeting.cards else "none"


def of_card(home: Home, meeting: Meeting) -> Said:
    """What an invitation asks for, and what an answer to it would tell others."""
    others = ", ".join(meeting.others(home.party))
    who = {"party": meeting.inviter, "room": meeting.room, "parties": others}
    what = [Sentence("{party} asks for a room {room} with: {parties}.", who)]
    if meeting.asked is not None:
        asked = meeting.asked
        what.append(Sentence("For: {purposes}", {"purposes": asked.purpose}))
        what.append(
            Sentence("Wished: protocol {protocol}, groups of at least {k} people, {days} days.",
                     {"protocol": asked.protocol, "k": asked.k, "days": asked.days})
        )  # fmt: skip
        what.append(
            Sentence("Wished: noise in every release." if asked.noise else "Wished: exact numbers, without noise.")
        )
        if asked.updates:
            what.append(Sentence("Wished: matches go on from the last one, so that only changes travel."))
    for party, card in meeting.cards.items():
        if party != home.party and card["dataset"] is not None:
            columns = ", ".join(column["name"] for column in card["dataset"]["columns"]) or "–"
            brought = {"party": party, "dataset": card["dataset"]["name"], "columns": columns}
            what.append(Sentence("{party} would bring the dataset {dataset}, with: {columns}", brought))
    if meeting.invited[home.party] == "operator":
        told = {"parties": others}
        return what, [
            Sentence("Your public keys, to: {parties}. An operator brings no data, and gets no labels.", told)
        ]
    owners = ", ".join(name for name in meeting.others(home.party) if meeting.invited[name] == "owner")
    return what, [
        Sentence("The columns that you name, and those values that at least {least} rows have, to: {parties}.",
                 {"least": LEAST_PEOPLE, "parties": owners}),
        Sentence("A bound on your number of rows, and your public keys, to: {parties}.", {"parties": others}),
    ]  # fmt: skip


def of_contract(home: Home, meeting: Meeting) -> Said:
    """What a contract, or a change of one, says, and what its runs would reveal to whom."""
    if meeting.offered is None:
        raise Refused("There is no contract to sign yet.")
    contract, who = meeting.offered.contract, {"party": meeting.inviter, "room": meeting.room}
    asks = Sentence("{party} asks to sign the contract of {room}.", who)
    what = [
        Sentence("{party} asks to change the room {room}.", who) if meeting.of else asks,
        Sentence("For: {purposes}", {"purposes": ", ".join(contract.purposes)}),
        Sentence("It runs from {start} to {end}.", {"start": contract.created[:10], "end": contract.expires[:10]}),
    ]
    lines = changed(home, meeting)
    weaker = [Sentence(line.template, line.params) for line in lines if line.weaker]
    if weaker:
        what += [Sentence("These terms would protect less than those in force:"), *weaker]
    if others := [Sentence(line.template, line.params) for line in lines if not line.weaker]:
        what += [Sentence("These terms would be others:"), *others]
    return what, [*_shared(contract), *_learned(contract)]


def texts(sentences: list[Sentence]) -> list[tuple[str, dict[str, Any]]]:
    """As a list of approvals has them: what others wrote, such as purposes, is cut, and moves no cursor."""
    return [(each.template, {name: _calm(value) for name, value in each.params.items()}) for each in sentences]


def _calm(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in value[: MOST_TEXT + 1])
    return shown if len(shown) <= MOST_TEXT else f"{shown[:MOST_TEXT]}…"


def changed(home: Home, meeting: Meeting) -> list[Line]:
    """The differences to the contract that a change would replace; nothing for a new room."""
    before = Rooms(home.rooms).under(meeting.of) if meeting.of else None
    return [] if before is None or meeting.offered is None else differences(before, meeting.offered)


def _shared(contract: Contract) -> list[Sentence]:
    """What of each dataset takes part, and how it travels."""
    said: list[Sentence] = []
    for dataset in contract.datasets:
        slots = contract.slots_of(dataset.name)
        columns = ", ".join(column.name for column in dataset.columns) or "–"
        brought = {"party": dataset.owner, "dataset": dataset.name, "rows": f"{dataset.rows:,}", "columns": columns}
        said.append(Sentence("{party} brings {dataset}, at most {rows} persons, with: {columns}", brought))
        if slots is not None:
            encrypted = {"dataset": dataset.name, "columns": ", ".join((*slots.by, *slots.sums))}
            said.append(Sentence("Encrypted with Paillier, of {dataset}: {columns}", encrypted))
    return said


def _learned(contract: Contract) -> list[Sentence]:
    said: list[Sentence] = []
    for party, sentences in learns(contract).items():
        said += [Sentence("{party} learns by each run:", {"party": party}), *sentences]
    already = {sentence.template for sentence in said}
    return [*said, *(_note(note) for note in contract.notes if note not in already)]


def _note(note: str) -> Sentence:
    """A note of the contract: our own in the reader's language, another as its author wrote it."""
    ours = any(note in notes for notes in NOTES.values())
    return Sentence(note) if ours else Sentence("Note: {note}", {"note": note})


def why(contract: Contract) -> Sentence:
    """Why this protocol: by this node's own estimate, whoever drafted the contract; or that it would take another."""
    receiver = contract.match.receiver
    rows = {name: contract.dataset_of(name).rows for name in contract.owners}
    sender = max((name for name in rows if name != receiver), key=lambda name: rows[name])
    operator = contract.match.protocol == "keyed"
    wish = Wish(rows[receiver], rows[sender], operator, members=contract.match.output == "members",
                slots=contract.slots_of(contract.dataset_of(sender).name) is not None,
                identities=len(contract.dataset_of(receiver).identities))  # fmt: skip
    choice = choose(wish)
    if choice.protocol == contract.match.protocol:
        return Sentence(choice.why, choice.params)
    both = {"named": contract.match.protocol, "other": choice.protocol}
    return Sentence("The contract names {named}; by its own estimate this node would take {other}.", both)


def _plain(sentence: Sentence) -> list[Any]:
    return [sentence.template, sentence.params]
