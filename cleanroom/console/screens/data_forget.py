"""Forgetting persons: named once by post, sealed until a person confirms, then gone from every dataset for ever."""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom import uploaded, uploads
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.data import may_see, own_home, rooms_of
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.terminal.reasons import reason

SCREEN = Screen()
IDENTITIES = ("phone", "email", "openid", "device")
MOST = 10_000
"""Persons in one list; more of them by the command and a file."""
Text = Annotated[str, Form(max_length=1 << 20)]


@SCREEN.get("/data/forget", call="forget")
def asked(visit: Visited) -> Page:
    """Whom to forget."""
    return visit.page("data/forget.html", identities=[(each, t(each)) for each in IDENTITIES])


@SCREEN.post("/data/forget", call="forget")
def named(visit: Visited, people: Text = "", on: Text = "phone") -> Response:
    """Seal the list; nothing is forgotten yet."""
    lines = [line.strip() for line in people.splitlines() if line.strip()]
    if on not in IDENTITIES:
        raise UsageError("A field of this page is missing, or holds what it cannot.")
    if not lines:
        raise UsageError("Nobody is named.", "One person a line.")
    if len(lines) > MOST:
        raise UsageError("At most {most} persons at once.", "For more: cleanroom data forget FILE", most=MOST)
    return visit.go(f"/data/forget/{uploaded.people_kept(visit.home, visit.caller.name, on, lines)}")


@SCREEN.get("/data/forget/{number}", call="forget")
def confirmed(visit: Visited, number: str) -> Page:
    """What it would do; nobody's name is shown again."""
    _own(visit, number)
    on, lines = uploaded.people(visit.home, number)
    home = own_home(visit)
    rooms = rooms_of(home)
    return visit.page("data/forget-check.html", number=number, count=len(lines), identity=t(on),
                      datasets=[(name, ", ".join(rooms[name])) for name in home.vault.datasets()])  # fmt: skip


@SCREEN.post("/data/forget/{number}/yes", call="forget")
def forgotten(visit: Visited, number: str) -> Response:
    """Do it."""
    _own(visit, number)
    return visit.submit("forget", "", {"upload": number}, then=f"/data/forgotten/{number}")


@SCREEN.post("/data/forget/{number}/no", call="forget")
def dropped(visit: Visited, number: str) -> Response:
    """Throw the list away."""
    _own(visit, number)
    uploads.remove(visit.home, number)
    return visit.go("/data", t("Nobody was forgotten. The list is removed."))


@SCREEN.get("/data/forgotten/{number}", call="forget")
def told(visit: Visited, number: str) -> Page:
    """What was done; for a day."""
    done: dict[str, Any] | None = uploads.note(visit.home, number, "done")
    if done is None or "persons" not in done:
        raise UsageError("There is no such upload.", "It may be over a day old. Upload the file again.")
    lost = [(reason(name), count) for name, count in done["losses"].items()]
    return visit.page("data/forgotten.html", done=done, datasets=list(done["datasets"].items()), losses=lost)


def _own(visit: Visit, number: str) -> None:
    upload = uploads.find(visit.home, number)
    if upload.kind != "people" or not may_see(visit, upload):
        raise UsageError("There is no such upload.", "It may be over a day old. Upload the file again.")
