"""Grants: what service providers and programs may do in this party's name, signed by this home's key."""

import re
from typing import Any

from starlette.responses import Response

from cleanroom.access import delegating
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.settings import tabs
from cleanroom.console.screens.settings_words import calls, every, grant_state
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.errors import KNOWN, UsageError
from cleanroom.lang import t
from cleanroom.node.peers import Peers
from cleanroom.rooms import grants
from cleanroom.rooms.grants import EVERY, Scope
from cleanroom.rooms.store import Rooms

SCREEN = Screen()
_PARTS = re.compile(r"[,，;；\s]+")


@SCREEN.get("/settings/grants", call="grant")
def listed(visit: Visited) -> Page:
    """All, the newest first, and the form for another."""
    means = dict(calls())
    found = [
        {**each, "does": [(call, means.get(call, call)) for call in each["calls"]], "in": every(each["rooms"]),
         "to": every(each["channels"]), "of": every(each["columns"]), "state_text": grant_state(each["state"])}
        for each in reversed(grants.listed(visit.path)["grants"])
    ]  # fmt: skip
    rooms = Rooms(visit.home.rooms)
    return visit.page("settings/grants.html", tabs=tabs(visit, "/settings/grants"), grants=found, calls=calls(),
                      peers=[(name, name) for name in Peers(visit.home).names()], rooms=rooms.names(),
                      columns=_columns(visit, rooms))  # fmt: skip


@SCREEN.post("/settings/grants", call="grant")
def given(visit: Visited, fields: Fields) -> Response:
    """Sign one; a peer is told."""
    peer, days = str(fields.get("peer", "")), str(fields.get("days", ""))
    if not days.isdecimal() or len(days) > 4:
        raise UsageError("A grant is for a number of days.", "At most {most}.", most=grants.MOST_DAYS)
    scope = Scope(_texts(fields, "call"), _texts(fields, "room"), _names(str(fields.get("channels", ""))),
                  _texts(fields, "column") or (EVERY,))  # fmt: skip
    if not scope.calls:
        raise UsageError("Nothing is granted yet.", "Tick what the provider may do.")
    if not scope.rooms:
        raise UsageError("A grant is for rooms.", "Tick the rooms, or all of them.")
    told = delegating.given(visit.path, peer, "", scope, int(days))
    return visit.go("/settings/grants", t("{name} may now act as you said, until {day}.", name=told["name"],
                                          day=told["expires"][:10]))  # fmt: skip


@SCREEN.post("/settings/grants/{number}/revoke", call="grant")
def ended(visit: Visited, number: int) -> Response:
    """The end of one, from the next call on."""
    delegating.ended(visit.path, number)
    return visit.go("/settings/grants", t("Grant {number} is revoked; the next call under it is refused.",
                                          number=number))  # fmt: skip


def _texts(fields: Any, name: str) -> tuple[str, ...]:
    return tuple(str(each) for each in fields.getlist(name) if each)


def _names(text: str) -> tuple[str, ...]:
    """Names between commas or spaces; none: all."""
    return tuple(each for each in _PARTS.split(text) if each) or (EVERY,)


def _columns(visit: Visit, rooms: Rooms) -> list[str]:
    """Columns that contracts name, as dataset.column."""
    found: set[str] = set()
    for name in rooms.names():
        try:
            contract = rooms.load(name).contract
        except KNOWN:  # a damaged room says so on its own page
            continue
        found |= {f"{dataset.name}.{column.name}" for dataset in contract.datasets for column in dataset.columns}
    return sorted(found)
