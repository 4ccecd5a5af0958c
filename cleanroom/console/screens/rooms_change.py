"""What waits about a room: an invitation, a contract or a change, read in plain words, then signed or refused; and to
propose a change.

A person signs what the page showed: the form carries its digest, and another one is refused.
"""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import rooms_words as words
from cleanroom.console.screens.rooms import described
from cleanroom.console.screens.rooms_offer import offered
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import Refused, UsageError
from cleanroom.lang import t
from cleanroom.rooms import invitations, review
from cleanroom.rooms.cards import LEAST_PEOPLE
from cleanroom.rooms.changing import Wished
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.meetings import Meeting, Meetings
from cleanroom.rooms.store import Rooms

SCREEN = Screen()
Flag = Annotated[bool, Form()]


@SCREEN.get("/rooms/{room}/review", call="status")
def reviewed(visit: Visited, room: str, dataset: str = "") -> Page:
    """What waits, or what became of it. dataset: the one to answer an invitation with."""
    found, meeting = review.reviewed(visit.path, room), Meetings(visit.home).last_for(room)
    held = None if meeting is None or meeting.offered is None else described(visit, meeting.offered)
    said = [words.sentence(*each) for each in found["what"]]
    step = found["step"] if meeting is not None and _waits(visit, meeting) else "none"
    operator = meeting is not None and meeting.invited[visit.home.party] == "operator"
    offer = offered(visit, dataset) if step == "accept" and not operator and visit.may("room.sign") else None
    return visit.page(
        "rooms/review.html", room=room, found=found, held=held, said=words.state(found["state"]),
        tone=words.tone(found["state"]), what=said if held is None else said[:3], words=words,
        reveals=[words.sentence(*each) for each in found["reveals"]] if held is None else [],
        changes=words.changes(found["changes"]), step=step, offer=offer, operator=operator,
        least=LEAST_PEOPLE,
        missing=words.parties(found["missing"]), decides=_decides(visit), kept=room in Rooms(visit.home.rooms).names(),
        open=meeting is not None and meeting.open, inviter=found["from"],
    )  # fmt: skip


@SCREEN.post("/rooms/{room}/sign", call="room.sign")
def signed(visit: Visited, room: str, digest: words.Text = "", sure: Flag = False) -> Response:
    """Sign the contract of that digest, if it is still the one that waits."""
    meeting = Meetings(visit.home).open_for(room)
    if meeting is None or meeting.offered is None or meeting.offered.contract.digest() != digest:
        raise Refused("This is no longer the contract that waits.", "Open the room again and read what waits now.")
    if not sure:
        raise UsageError("Tick the box to sign.", "It says what you sign, and for whom.")
    result = invitations.sign(visit.path, room, visit.caller.name)
    if result["missing"]:
        return visit.go(f"/rooms/{room}/review", t("Signed. It waits for {parties}.",
                                                   parties=words.parties(result["missing"])))  # fmt: skip
    return visit.go(f"/rooms/{room}", t("Signed by all: the contract is in force."))


@SCREEN.post("/rooms/{room}/refuse", call="room.sign")
def refused(visit: Visited, room: str, reason: words.Text = "") -> Response:
    """Say no; all others read why."""
    if not reason.strip():
        raise UsageError("A no needs a reason.", "Say in a few words why; who asked will read it.")
    invitations.refuse(visit.path, room, reason, visit.caller.name)
    return visit.go("/rooms", t("Refused. The others are told why."))


@SCREEN.get("/rooms/{room}/change", call="room.change")
def asked(visit: Visited, room: str) -> Page:
    """The form, filled with the terms in force."""
    contract = Rooms(visit.home.rooms).load(room).contract
    return visit.page("rooms/change.html", room=room, terms=_terms(contract),
                      open=Meetings(visit.home).open_for(room) is not None)  # fmt: skip


@SCREEN.post("/rooms/{room}/change", call="room.change")
def proposed(visit: Visited, room: str, expires: words.Text = "", k: words.Text = "", epsilon: words.Text = "",
             sigma: words.Text = "", purpose: words.Text = "") -> Response:  # fmt: skip
    """Offer the changed contract to all; what is as before is no wish."""
    before = _terms(Rooms(visit.home.rooms).load(room).contract)
    given = {"expires": expires, "k": k, "epsilon": epsilon, "sigma": sigma, "purpose": purpose}
    new: dict[str, Any] = {name: value.strip() for name, value in given.items()
                           if value.strip() and value.strip() != before[name]}  # fmt: skip
    titles = {"k": t("Least number of persons behind a number"), "epsilon": t("Budget ε a month and dataset"),
              "sigma": t("Noise of a count, in persons")}  # fmt: skip
    new |= {name: whole(new[name], title) for name, title in titles.items() if name in new}
    invitations.change(visit.path, room, Wished(**new))
    return visit.go(f"/rooms/{room}/review", t("Proposed. All have to sign it, you too; until then nothing changes."))


def whole(text: str, name: str) -> int:
    """A whole number of a form. Raises UsageError."""
    if not text.isascii() or not text.isdecimal() or len(text) > len("1000000000"):
        raise UsageError("{name} is a whole number.", name=name)
    return int(text)


def _terms(contract: Contract) -> dict[str, str]:
    release = contract.release
    return {"expires": contract.expires[:10], "k": str(release.k), "purpose": ", ".join(contract.purposes),
            "epsilon": str(release.epsilon or ""), "sigma": str(release.sigma or "")}  # fmt: skip


def _waits(visit: Visit, meeting: Meeting) -> bool:
    """Whether it is this party's turn."""
    return meeting.open and visit.home.party not in meeting.signatures


def _decides(visit: Visit) -> bool:
    """Whether the user's name stands among those who decide here."""
    rules = visit.place.settings.approval
    return visit.may("room.sign") and visit.caller.name in (*rules.approvers, *rules.substitutes)
