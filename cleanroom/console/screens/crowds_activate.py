"""Activations: a crowd given to whoever addresses people. What it tells of each person, the caps and the price first.

A marketer asks; a user with the role of approver looks and begins it. What was asked for waits here, sealed, until an
approver begins it or declines.
"""

import datetime as dt
from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.activation import approving
from cleanroom.activation.memberships import Use
from cleanroom.campaigns import running as running_campaigns
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.campaigns import state_text
from cleanroom.console.screens.crowds import words
from cleanroom.console.screens.crowds_builder import channels_of, usable_rooms
from cleanroom.console.screens.crowds_estimate import with_left
from cleanroom.console.screens.crowds_rules import meant
from cleanroom.console.screens.crowds_wishes import Wish, Wishes
from cleanroom.console.visit import Visited
from cleanroom.crowds import desk, reading, running, sizes, using
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.guards import guarded
from cleanroom.crowds.lists import DAY, today
from cleanroom.crowds.reading import check_usable
from cleanroom.crowds.selection import members_only_by
from cleanroom.errors import KNOWN, Refused, UsageError
from cleanroom.home import Home
from cleanroom.lang import explain, t
from cleanroom.querying import opened
from cleanroom.rooms.store import Room
from cleanroom.rooms.terms import Activation

SCREEN = Screen()
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.post("/crowds/{code}/wish", call="crowd")
def wished(visit: Visited, code: str, channel: Text, purpose: Text) -> Response:
    """Ask an approver. Nothing is given, and nothing charged."""
    crowd = desk.get(visit.path, code)
    _check(opened(visit.path, crowd.room)[1], crowd, channel, purpose)
    Wishes(visit.home).add(Wish(code, channel, purpose, visit.caller.name, dt.date.today().isoformat()))
    return visit.go(f"/crowds/{code}", t("An approver of this node finds it under Activations."))


@SCREEN.get("/activations", call="activate")
def listed(visit: Visited) -> Page:
    """What was asked for, and every crowd that could be activated."""
    crowds, day = desk.listed(visit.path, "", 1, desk.MOST_PAGE)[0], today()
    names = {each.code: each.name for each in crowds}
    every = ((each, task) for each in crowds for task in each.tasks)
    tasks = sorted(every, key=lambda pair: pair[1].made, reverse=True)
    open_ones = [each for each in crowds if each.status(day) in ("ready", "new", "small")]
    campaigns = [(room, each, state_text(each)) for room in usable_rooms(visit)
                 for each in running_campaigns.listed(visit.path, room)["campaigns"] if not each["closed"]]  # fmt: skip
    return visit.page("crowds/activations.html", campaigns=campaigns, draws=_draws(visit), names=names,
                      crowds=open_ones, wishes=Wishes(visit.home).all(), tasks=tasks[:50], **words())  # fmt: skip


def _draws(visit: Visited) -> dict[str, bool]:
    """Of every room whether people are addressed here, so that arms are drawn here."""
    terms = {room: opened(visit.path, room)[1].contract.activation for room in usable_rooms(visit)}
    return {room: term is not None and term.receiver == visit.home.party for room, term in terms.items()}


@SCREEN.get("/activations/{code}", call="activate")
def shown(visit: Visited, code: str, channel: str = "", purpose: str = "") -> Page:
    """One crowd: what giving it tells, what it costs, and the button."""
    crowd = desk.get(visit.path, code)
    home, room = opened(visit.path, crowd.room)
    term = room.contract.activation
    channels = [each for each in channels_of(visit, crowd.room) if not crowd.channels or each[0] in crowd.channels]
    channel = channel if channel in dict(channels) else (channels[0][0] if channels else "")
    purpose = purpose if purpose in room.contract.purposes else room.contract.purposes[0]
    about = _about(home, room, crowd, channel, purpose)
    return visit.page(
        "crowds/activate.html", crowd=crowd, channels=channels, channel=channel, purpose=purpose, term=term,
        purposes=room.contract.purposes, said=meant(visit, crowd) if crowd.kind != "spread" else [],
        open=crowd.status(today()) not in ("archived", "expired"), floor=sizes.floor(room.contract), **about, **words(),
    )  # fmt: skip


def _about(home: Home, room: Room, crowd: Crowd, channel: str, purpose: str) -> dict[str, Any]:
    """What a yes tells of each person, what it costs, or why it cannot be; "given": today's activation for it."""
    found: dict[str, Any] = {"why": "", "reveals": [], "price": None, "given": None}
    try:
        term = _check(room, crowd, channel, purpose)
        columns: tuple[str, ...] = ()
        if crowd.kind != "spread":
            selection = reading.understood(home, room, guarded(home, room, crowd.rule))
            members_only_by(room.contract, selection, term.receiver)
            columns = selection.columns
            found["price"] = with_left({"free": False, **running.price(home.path, crowd.room)})
    except KNOWN as error:
        return {**found, "why": " ".join(explain(error)).strip()}
    version = reading.report_day().strftime(DAY)
    size = None if crowd.size is None or crowd.size.withheld else crowd.size.range
    use = Use(channel, purpose, min(crowd.ends, room.contract.expires[:10]), crowd.name, "")
    given = _given(home, crowd.room, version[:6]) + 1
    _, reveals = approving.said(room.contract, use, crowd.code, version, columns, given, size)
    number = using.unattended(crowd.code, channel, reading.report_day())
    made = next((each for each in crowd.tasks if each.out_no == number), None)
    found["given"] = made
    return {**found, "reveals": [t(text, **params) for text, params in reveals]}


def _check(room: Room, crowd: Crowd, channel: str, purpose: str) -> Activation:
    """The contract's term. Raises Refused for a crowd, channel or purpose that cannot be; the job checks again."""
    check_usable(crowd.code, crowd.status(today()), crowd.ends)
    term = room.contract.activation
    if term is None:
        raise Refused("The contract of this room lets no crowd be made.", "Agree on an [activation] in the contract.")
    if channel not in term.channels or (crowd.channels and channel not in crowd.channels):
        raise Refused("The crowd {code} is not for the channel {channel}.", "It is for: {channels}.", code=crowd.code,
                      channel=channel[:64], channels=", ".join(crowd.channels or term.channels))  # fmt: skip
    if purpose not in room.contract.purposes:
        raise Refused("The contract has no purpose {purpose}.", "It has: {purposes}.", purpose=purpose[:64],
                      purposes=", ".join(room.contract.purposes))  # fmt: skip
    return term


def _given(home: Home, room: str, month: str) -> int:
    """Versions of the room's crowds given in a month, yyyyMM."""
    every = desk.listed(home.path, "", 1, desk.MOST_PAGE, room=room, hidden=True, archived=True)[0]
    return len({(each.code, task.version) for each in every for task in each.tasks
                if task.status == "done" and task.version.startswith(month)})  # fmt: skip


@SCREEN.post("/activations/{code}", call="activate")
def begun(visit: Visited, code: str, channel: Text, purpose: Text, sure: Text = "") -> Response:
    """Give the crowd's version of the day: once a day for a channel, however often the button is pressed."""
    if sure != "yes":
        raise UsageError("Tick that you have read what it tells of each person.")
    crowd = desk.get(visit.path, code)
    answer = visit.begin("activate", crowd.room, {"crowd": code, "channel": channel, "purpose": purpose},
                         f"/activations/{code}")  # fmt: skip
    Wishes(visit.home).drop(code, channel)
    return answer


@SCREEN.post("/activations/{code}/decline", call="activate")
def declined(visit: Visited, code: str, channel: Text) -> Response:
    """A wish is not followed."""
    Wishes(visit.home).drop(code, channel)
    return visit.go("/activations", t("Declined. Nothing was given."))
