"""Playbooks: what merchants mostly want, as a crowd and a campaign that one click makes. Nobody is sent anything."""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.campaigns import playbooks, running
from cleanroom.campaigns.report import channel_name
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.campaigns import address, free_slot, room_of
from cleanroom.console.screens.campaigns_words import share_text
from cleanroom.console.screens.crowds_columns import Columns
from cleanroom.console.visit import Visited
from cleanroom.errors import KNOWN
from cleanroom.lang import current, explain, t
from cleanroom.plan.store import Plans
from cleanroom.querying import opened

SCREEN = Screen()
_kept: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
"""The last ones shown, by contract, plan and language: none of these ever changes."""
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.get("/campaigns/playbooks", call="crowd")
def listed(visit: Visited, room: str = "") -> Page:
    """All of them in a room: whom each means there, about how many, and what it could show. Free."""
    rooms, room = room_of(visit, room)
    books: list[dict[str, Any]] = []
    if room:
        home, held = opened(visit.path, room)
        key = held.contract.digest(), str(Plans(home).list(room)[-1:]), current()
        if key not in _kept:
            columns = Columns(home, held)
            _kept.clear()
            _kept[key] = [_told(visit, room, name, columns) for name in playbooks.PLAYBOOKS]
        books = _kept[key]
    return visit.page("campaigns/playbooks.html", rooms=rooms, room=room, books=books)


def _told(visit: Visited, room: str, name: str, columns: Columns) -> dict[str, Any]:
    book = playbooks.PLAYBOOKS[name]
    chinese = current() == "zh"
    found: dict[str, Any] = {
        "name": name, "title": book.zh if chinese else book.en, "aim": book.aim_zh if chinese else book.aim_en,
        "channel": channel_name(book.channel), "held_out": f"{book.held_out / 10:g} %", "days": book.days, "why": "",
        "size": None, "smallest": [], "lacking": "",
        "whom": [(columns.title(code), columns.text(code, each.values)) for each in book.conditions
                 if (code := _code(columns, each.column))],
    }  # fmt: skip
    try:
        shown = playbooks.shown(visit.path, room, name)
    except KNOWN as error:
        return {**found, "why": " ".join(explain(error)).strip()}
    smallest = [(each["people"], share_text(each)) for each in shown["smallest"]]
    return {**found, "size": shown["size"], "smallest": smallest, "lacking": ", ".join(shown["lacking"])}


def _code(columns: Columns, name: str) -> str:
    return next((each for each in columns.by_code if each.partition(".")[2] == name), "")


@SCREEN.post("/campaigns/playbooks/{name}", call="crowd")
def started(visit: Visited, name: str, room: Text, campaign: Text = "") -> Response:
    """Its crowd and its campaign, kept here; the same again is what there is."""
    called = campaign.strip() or playbooks.find(name).name
    there = any(each["name"] == called for each in running.listed(visit.path, room)["campaigns"])
    slot = 0 if there else free_slot(visit, room)
    made = playbooks.start(visit.path, room, name, campaign=called, slot=slot)["campaign"]
    return visit.go(address(room, made["name"]), t("Crowd and campaign are kept here. Nothing was sent."))
