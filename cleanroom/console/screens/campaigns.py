"""Campaigns: the list, and a new one, with what it can show told before anything is sent.

The terms stand at both sides; here they are kept, nothing is sent. Whoever may activate begins it (`campaigns_run`).
"""

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from cleanroom.activation import desk as activations
from cleanroom.campaigns import running
from cleanroom.campaigns.campaign import SLOTS, Terms
from cleanroom.campaigns.report import channel_name
from cleanroom.campaigns.store import Campaigns
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.screens.campaigns_words import lift_text, share_text
from cleanroom.console.screens.crowds import size_text
from cleanroom.console.screens.crowds_builder import channels_of, usable_rooms
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.crowds import desk
from cleanroom.errors import KNOWN, Refused, UsageError
from cleanroom.lang import explain, t
from cleanroom.querying import opened

SCREEN = Screen()
BASE, HELD_OUT, DAYS, MOST = 5.0, 10.0, 14, 500


@SCREEN.get("/campaigns", call="crowd")
def listed(visit: Visited, room: str = "") -> Page:
    """The campaigns of a room."""
    rooms, room = room_of(visit, room)
    found = running.listed(visit.path, room)["campaigns"] if room else []
    names = crowd_names(visit, room)
    rows = [(each["name"], names.get(each["crowd"], each["crowd"]), channel_name(each["channel"]), each["starts"],
             state_text(each), lift_text(each["measured"])) for each in found]  # fmt: skip
    titles = (t("Campaign"), t("Crowd"), t("Channel"), t("Begins"), t("State"), t("Lift"))
    return visit.page("campaigns/list.html", rooms=rooms, room=room, rows=rows,
                      sheets=[Sheet(t("Campaigns"), titles, rows)])  # fmt: skip


@SCREEN.get("/campaigns/new", call="crowd")
def begun(visit: Visited, room: str = "", crowd: str = "") -> Page:
    """The form."""
    rooms, room = room_of(visit, room)
    contract = opened(visit.path, room)[1].contract if room else None
    return visit.page(
        "campaigns/new.html", rooms=rooms, room=room, crowd=crowd, told=None, problem="",
        crowds=_addressable(visit, room) if room else [],
        channels=channels_of(visit, room) if room else [], purposes=contract.purposes if contract else (),
        usual={"base": BASE, "holdout": HELD_OUT, "days": DAYS, "most": MOST},
    )  # fmt: skip


def _addressable(visit: Visit, room: str) -> list[tuple[str, str]]:
    """Crowds that a campaign can be about, with their titles: those made here, or given here to be addressed."""
    own = desk.listed(visit.path, "", 1, desk.MOST_PAGE, room=room)[0]
    found = {each.code: f"{each.name} · {size_text(each.size)}" for each in own}
    return [*found.items(), *given_names(visit, room).items()]


@SCREEN.post("/campaigns/power", call="crowd")
def powered(visit: Visited, form: Fields) -> Page:
    """What a campaign of this size can show; nothing is asked of anybody, and nothing costs anything."""
    told, problem = None, ""
    try:
        told = power_of(visit, form)
    except KNOWN as error:
        problem = " ".join(explain(error)).strip()
    return visit.page("campaigns/power.html", told=told, problem=problem)


@SCREEN.post("/campaigns", call="crowd")
def created(visit: Visited, form: Fields) -> Response:
    """Keep its terms here."""
    room = text(form, "room")
    terms = Terms(
        text(form, "name"), room, text(form, "crowd"), text(form, "channel"), text(form, "purpose"),
        whole(form, "days", DAYS), round(10 * number(form, "holdout", HELD_OUT)), free_slot(visit, room),
        clamp=100 * whole(form, "most", MOST),
    )  # fmt: skip
    if terms.crowd not in dict(_addressable(visit, room)):
        raise UsageError("There is no crowd {code}.", "cleanroom crowd list shows them.", code=terms.crowd[:64])
    running.create(visit.path, terms)
    return visit.go(address(room, terms.name), t("The campaign is kept here. Nothing was sent."))


def power_of(visit: Visit, form: Any) -> dict[str, Any]:
    """The smallest lift, by the crowd's size or by a number of people; in words beside. Raises UsageError."""
    people, room = whole(form, "people", 0), text(form, "room")
    if not people and not text(form, "crowd"):
        raise UsageError("Choose a crowd, or say how many people match.")
    if not people:
        size = desk.get(visit.path, text(form, "crowd")).size
        if size is None or size.withheld:
            raise UsageError("The size of this crowd is not known yet, or it is too small.",
                             "Freeze a version of it, or say how many people match.")  # fmt: skip
    found = running.plan(
        visit.path, room, people=people, crowd="" if people else text(form, "crowd"),
        base=number(form, "base", BASE) / 100, held_out=round(10 * number(form, "holdout", HELD_OUT)),
        wanted=number(form, "wanted", 0.0) / 100, within=text(form, "within") or None,
    )  # fmt: skip
    return {**found, "text": share_text(found)}


def room_of(visit: Visit, room: str) -> tuple[list[str], str]:
    """(rooms with campaigns, the one that is meant)."""
    rooms = usable_rooms(visit)
    return rooms, room if room in rooms else (rooms[0] if rooms else "")


def free_slot(visit: Visit, room: str) -> int:
    """Campaign columns of the room's datasets that no campaign uses. Raises UsageError."""
    used = {each.terms.slot for each in Campaigns(visit.home, room).all() if not each.closed}
    names = {column.name for each in opened(visit.path, room)[1].contract.datasets for column in each.columns}
    there = [slot for slot in SLOTS if f"arm_{slot}" in names]
    if not there:
        raise Refused("The contract of this room has no columns for campaigns.",
                      "Agree on them: cleanroom campaign slots, then a change of the room.")  # fmt: skip
    for slot in there:
        if slot not in used:
            return slot
    raise UsageError("All campaign slots of the room are used.", "Close a campaign: cleanroom campaign close.")


def crowd_names(visit: Visit, room: str) -> dict[str, str]:
    """Code → name."""
    found = desk.listed(visit.path, "", 1, desk.MOST_PAGE, room=room, hidden=True, archived=True)[0] if room else []
    return {**(given_names(visit, room) if room else {}), **{each.code: each.name for each in found}}


def given_names(visit: Visit, room: str) -> dict[str, str]:
    """Code → name of crowds that were given to this party to be addressed; none where another party addresses."""
    term = opened(visit.path, room)[1].contract.activation
    if term is None or term.receiver != visit.home.party:
        return {}
    kept = activations.listed(visit.path, room)["versions"]
    return {each["crowd"]: use["name"] for each in kept for use in each["uses"]}


def address(room: str, name: str) -> str:
    """Of a campaign's page."""
    return f"/campaigns/{quote(room)}/{quote(name)}"


def state_text(campaign: dict[str, Any]) -> str:
    """How it stands."""
    if campaign["closed"]:
        return t("closed")
    if campaign["measured"] is not None:
        return t("measured")
    return t("under way") if campaign["starts"] else t("not begun")


def text(form: Any, name: str) -> str:
    """A field."""
    return str(form.get(name, "")).strip()[:200]


def number(form: Any, name: str, usual: float) -> float:
    """A number of a field; the usual one where it is empty. Raises UsageError."""
    written = text(form, name)
    try:
        found = float(written) if written else usual
    except ValueError as error:
        raise UsageError("A number stands here.", "As in: 12.5.") from error
    if not 0 <= found < 1e12:
        raise UsageError("A number stands here.", "As in: 12.5.")
    return found


def whole(form: Any, name: str, usual: int) -> int:
    """A whole number of a field. Raises UsageError."""
    return round(number(form, name, float(usual)))
