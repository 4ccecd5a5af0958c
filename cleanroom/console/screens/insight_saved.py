"""Saved views of insight: a page with its settings under a name, each user's own."""

from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import Form
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import insight_kept as kept
from cleanroom.console.screens.insight_frame import PLAIN, Around, tab_titles
from cleanroom.console.visit import Visited
from cleanroom.errors import UsageError
from cleanroom.lang import t

SCREEN = Screen()
Text = Annotated[str, Form(max_length=2_000)]
_SETTINGS = ("dataset", "date", "window", "imports", "beside", "metric", "period", "last", "of", "columns", "segment",
             "base")  # fmt: skip
"""What of an address is kept: nothing else than pages' settings."""


@SCREEN.get("/insight/{room}/saved", call="insight")
def listed(visit: Visited, room: str) -> Page:
    """All of the user's of this room."""
    return visit.page("insight/saved.html", around=Around.of(visit, room, "saved", PLAIN), titles=tab_titles())


@SCREEN.post("/insight/{room}/saved", call="insight")
def saved(visit: Visited, room: str, view_name: Text = "", tab: Text = "", query: Text = "") -> Response:
    """Keep the page that was shown. Raises UsageError for what is none."""
    around = Around.of(visit, room, tab, PLAIN)
    if tab not in tab_titles():
        raise UsageError("There is no such page.", "Choose one at the side.")
    settings = urlencode([(name, value) for name, value in parse_qsl(query) if name in _SETTINGS])
    view = kept.save(visit.home, visit.caller.name, view_name, around.room, tab, settings)
    return visit.go(view.path, t("Saved as {name}.", name=view.name))


@SCREEN.post("/insight/{room}/saved/{number}/rename", call="insight")
def renamed(visit: Visited, room: str, number: str, view_name: Text = "") -> Response:
    """Another name."""
    kept.rename(visit.home, visit.caller.name, number, view_name)
    return visit.go(f"/insight/{room}/saved", t("Renamed."))


@SCREEN.post("/insight/{room}/saved/{number}/delete", call="insight")
def deleted(visit: Visited, room: str, number: str) -> Response:
    """Gone."""
    kept.delete(visit.home, visit.caller.name, number)
    return visit.go(f"/insight/{room}/saved", t("Deleted."))
