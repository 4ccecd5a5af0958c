"""Rooms: which there are, the contract of each in plain words, whether it holds, its file, its data-protection report.

A page shows what the home's own copy of the contract says; what a partner says about it counts for nothing.
"""

from typing import Any

from starlette.responses import Response

from cleanroom import budgets, canonical
from cleanroom.console import rooms_held
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.screens import rooms_words as words
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.node.words import spoken
from cleanroom.operations import assessment
from cleanroom.rooms import desk, ended, review, templates
from cleanroom.rooms.meetings import Meeting, Meetings
from cleanroom.rooms.store import EARLIER, Room, Rooms, to_plain

SCREEN = Screen()
_SEE_LABELS = ("insight", "room.sign", "audit")
"""Who sees the values of columns in a contract: whoever asks, signs or audits, and no operator of a platform."""


@SCREEN.get("/rooms", call="status")
def listed(visit: Visited) -> Page:
    """All rooms, and what is still being agreed on."""
    names, all_meetings = Rooms(visit.home.rooms).names(), Meetings(visit.home).all()
    newest = {each.room: each for each in sorted(all_meetings, key=lambda each: (each.open, each.created))}
    rooms = [_line(visit, name, newest.get(name)) for name in names]
    meetings = [
        {"room": each.room, "from": each.inviter, "parties": list(each.invited), "waits": _waits(visit, each),
         **_state(desk.state_of(visit.home, each))}
        for each in newest.values() if each.room not in names
    ]  # fmt: skip
    return visit.page("rooms/list.html", rooms=rooms, meetings=meetings, words=words)


@SCREEN.get("/rooms/{room}", call="status")
def shown(visit: Visited, room: str) -> Page | Response:
    """The contract in force; of what is only being agreed on, where that stands."""
    if room not in Rooms(visit.home.rooms).names():
        return visit.go(f"/rooms/{room}/review")
    held, open_now = rooms_held.held(visit.home, room), Meetings(visit.home).open_for(room)
    told = described(visit, held)
    return visit.page(
        "rooms/room.html", room=room, held=told, words=words, state=_room_state(visit, room, open_now),
        change=open_now is not None, budgets=_budgets(visit, held) if told["in_force"] else [],
        earlier=_earlier(visit, room),
        templates=_templates(visit, held), sheets=_sheets(told),
    )  # fmt: skip


@SCREEN.get("/rooms/{room}/verify", call="status")
def verified(visit: Visited, room: str) -> Page:
    """Whether the contract holds, checked now as every run does."""
    return visit.page("rooms/verified.html", room=room, verified=desk.verified(visit.path, room), words=words)


@SCREEN.get("/rooms/{room}/contract.json", call="status")
def file(visit: Visited, room: str) -> Response:
    """The contract with its signatures, without labels: what an auditor checks receipts by."""
    held = Rooms(visit.home.rooms).load(room)
    headers = {"content-disposition": f'attachment; filename="{held.contract.digest()[:16]}.room.json"'}
    return Response(canonical.encode(to_plain(held, for_operator=True)), media_type="application/json", headers=headers)


@SCREEN.get("/rooms/{room}/report", call="budget")
def reported(visit: Visited, room: str) -> Page:
    """The data-protection report of the room, to print."""
    result = assessment.assessed(visit.path, room)
    sections = assessment.sections(result)
    sheets = [Sheet(title, columns, rows) for title, columns, rows in sections]
    return visit.page("rooms/report.html", room=room, result=result, sections=sections, sheets=sheets, words=words)


@SCREEN.get("/rooms/{room}/leave", call="room.leave")
def leaving(visit: Visited, room: str) -> Page:
    """What leaving means, before it is done."""
    held = Rooms(visit.home.rooms).load(room)
    others = [party.name for party in held.contract.parties if party.name != visit.home.party]
    return visit.page("rooms/leave.html", room=room, others=words.parties(others))


@SCREEN.post("/rooms/{room}/leave", call="room.leave")
def left(visit: Visited, room: str, reason: words.Text = "", name: words.Text = "") -> Response:
    """Sign the statement; the room's name is typed, so that nobody leaves by a slip."""
    if name.strip() != room:
        raise UsageError("Type the room's name to leave it.", "It is {room}.", room=room)
    told = ended.leave(visit.path, room, reason)
    return visit.go(f"/rooms/{room}", t("The room {room} is left; nothing runs in it any more.", room=told["room"]))


def described(visit: Visit, held: Room) -> dict[str, Any]:
    """A contract for the pages' part that shows it, also one that nobody has signed yet."""
    plain, contract = desk.told(visit.home, held), held.contract
    labels = _sees_labels(visit)
    why = review.why(contract)
    return {
        **plain,
        "learned": {party: words.sentences(found) for party, found in plain["learns"].items()},
        "said_notes": [t(note) for note in plain["notes"]],
        "rules": words.rules(contract),
        "addressing": words.addressing(contract),
        "matching": words.matching(contract),
        "why": words.sentence(why.template, why.params),
        "people": [{**each, "digits": words.grouped(each["fingerprint"]),
                    "spoken": " ".join(spoken(each["fingerprint"]))} for each in plain["parties"]],
        "data": [{**each, "rows_of": [words.column_row(column, labels=labels) for column in each["columns"]]}
                 for each in plain["datasets"]],
    }  # fmt: skip


def _line(visit: Visit, name: str, meeting: Meeting | None) -> dict[str, Any]:
    """A room of the list. meeting: the newest about it."""
    purposes = ", ".join(rooms_held.held(visit.home, name).contract.purposes)
    waiting = meeting if meeting is not None and meeting.open else None
    return {**rooms_held.line(visit.home, name), "purposes": purposes, **_room_state(visit, name, waiting),
            "waits": waiting is not None and _waits(visit, waiting)}  # fmt: skip


def _room_state(visit: Visit, name: str, waiting: Meeting | None) -> dict[str, str]:
    """Where a room stands. waiting: what is being agreed on about it."""
    if waiting is not None and waiting.of:
        return _state(desk.state_of(visit.home, waiting))
    if rooms_held.line(visit.home, name)["in_force"]:
        return _state({"template": "in force"})
    return _state(desk.state_of_room(rooms_held.held(visit.home, name)))


def _state(plain: dict[str, Any]) -> dict[str, str]:
    return {"said": words.state(plain), "tone": words.tone(plain)}


def _waits(visit: Visit, meeting: Meeting) -> bool:
    """Whether something waits for this party."""
    mine = visit.home.party
    return (
        meeting.open and mine not in meeting.signatures and (meeting.offered is not None or mine not in meeting.cards)
    )


def _budgets(visit: Visit, held: Room) -> list[dict[str, Any]]:
    """What is left of this month, where the reader may know."""
    contract = held.contract
    if not visit.may("budget") or visit.home.party not in contract.owners:
        return []
    found: list[dict[str, Any]] = budgets.told(visit.path, contract.room)["budgets"]
    return found


def _templates(visit: Visit, held: Room) -> list[dict[str, Any]]:
    """Signed questions, for whoever may see their values, at a party that brings data."""
    if held.annexes is None or visit.home.party not in held.contract.owners or not _sees_labels(visit):
        return []
    kept = templates.Templates(visit.home, held)
    return [kept.line(each) for each in kept.all()]


def _sees_labels(visit: Visit) -> bool:
    return any(visit.may(call) for call in _SEE_LABELS)


def _earlier(visit: Visit, room: str) -> list[tuple[str, str, str]]:
    """Contracts that the one in force replaced: digest, from, purposes; the newest first."""
    found = Rooms(visit.home.rooms).earlier(room) if (visit.home.rooms / room / EARLIER).is_dir() else []
    return [(words.grouped(each.contract.digest()[:16]), each.contract.created[:10], ", ".join(each.contract.purposes))
            for each in reversed(found)]  # fmt: skip


def _sheets(told: dict[str, Any]) -> list[Sheet]:
    """The contract as tables."""
    terms = [*told["matching"], *told["rules"], *told["addressing"]]
    learned = [(t(party), text) for party, found in told["learned"].items() for text in found]
    columns = [(each["name"], *row) for each in told["data"] for row in each["rows_of"]]
    return [
        Sheet(t("Terms"), (t("term"), t("by the contract")), terms),
        Sheet(t("Who learns what by a run"), (t("party"), t("learns")), learned),
        Sheet(t("Columns"), (t("dataset"), t("column"), t("kind"), t("values"), t("remark")), columns),
        Sheet(t("Parties"), (t("party"), t("role"), t("fingerprint")),
              [(t(each["name"]), t(each["role"]), each["fingerprint"]) for each in told["people"]]),
    ]  # fmt: skip
