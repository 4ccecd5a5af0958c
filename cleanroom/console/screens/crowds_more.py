"""Crowds made in other ways than by rule: of an uploaded list, of others; and who is added to a list or taken off.

What is uploaded is normalised and digested at once, in memory; digests alone are kept, sealed, and never shown.
"""

from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.crowds import head
from cleanroom.console.screens.crowds_builder import channels_of, other_crowds, usable_rooms
from cleanroom.console.screens.crowds_memory import file_of, in_memory
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.crowds import desk, uploading
from cleanroom.crowds.entries import Bytes
from cleanroom.crowds.lists import Lists
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.querying import opened

SCREEN = Screen()
_MOST_DAYS = 9_999


@SCREEN.get("/crowds/upload", call="crowd")
def offered(visit: Visited, room: str = "") -> Page:
    """The form."""
    rooms = usable_rooms(visit)
    room = room if room in rooms else (rooms[0] if rooms else "")
    return visit.page("crowds/upload.html", rooms=rooms, room=room, identity=identity_of(visit, room) if room else "",
                      channels=channels_of(visit, room) if room else [])  # fmt: skip


@SCREEN.post("/crowds/upload", call="crowd")
async def uploaded(visit: Visited, request: Request) -> Response:
    """A new crowd of the people in the list."""
    async with request.form(max_files=1, max_fields=100) as form:
        content = await file_of(form, "file")
        return await run_in_threadpool(_made, visit, form, content)


def _made(visit: Visit, form: FormData, content: bytes) -> Response:
    room = str(form.get("room", ""))
    digests, funnel = people_of(visit, room, str(form.get("people", "")), content)
    crowd = desk.create(
        visit.path, room, str(form.get("name", "")).strip(), digests=digests, identity=identity_of(visit, room),
        channels=[str(each) for each in form.getlist("channels")], days=days_of(form),
    )  # fmt: skip
    return visit.go(f"/crowds/{crowd.code}", _taken(funnel))


@SCREEN.get("/crowds/{code}/people", call="crowd")
def members(visit: Visited, code: str) -> Page:
    """More people for an uploaded crowd, or fewer; who is in it is not shown."""
    crowd = desk.get(visit.path, code)
    if not crowd.lists:
        raise UsageError("The crowd {code} is made by a rule: nobody is added to it one by one.", code=code)
    lists = Lists(visit.home)
    own = lists.head(crowd.lists[0])
    return visit.page("crowds/people.html", tab="people", list=own, count=lists.size(own.code) if own.days else None,
                      identity=identity_of(visit, crowd.room), **head(visit, crowd))  # fmt: skip


@SCREEN.post("/crowds/{code}/people", call="crowd")
async def members_changed(visit: Visited, code: str, request: Request) -> Response:
    """Gather them; frozen versions stay as they are."""
    async with request.form(max_files=1, max_fields=100) as form:
        content = await file_of(form, "file")
        return await run_in_threadpool(_changed, visit, code, form, content)


def _changed(visit: Visit, code: str, form: FormData, content: bytes) -> Response:
    digests, funnel = people_of(visit, desk.get(visit.path, code).room, str(form.get("people", "")), content)
    (desk.remove if form.get("do") == "remove" else desk.add)(visit.path, code, digests)
    return visit.go(f"/crowds/{code}/people", _taken(funnel))


@SCREEN.get("/crowds/combine", call="crowd")
def combining(visit: Visited, room: str = "", first: str = "") -> Page:
    """The form."""
    rooms = usable_rooms(visit)
    room = room if room in rooms else (rooms[0] if rooms else "")
    crowds = other_crowds(visit, room) if room else []
    return visit.page("crowds/combine.html", rooms=rooms, room=room, crowds=crowds, first=first,
                      names=[(each.code, each.name) for each in crowds],
                      channels=channels_of(visit, room) if room else [])  # fmt: skip


@SCREEN.post("/crowds/combine", call="crowd")
def combined(visit: Visited, form: Fields) -> Response:
    """A new crowd of others: of one "first", and of those that are ticked."""
    first, operation = str(form.get("first", "")), str(form.get("operation", "union"))
    others = [str(each) for each in form.getlist("others") if each != first]
    crowd = desk.pool(visit.path, str(form.get("room", "")), str(form.get("name", "")).strip(), [first, *others],
                      operation, [str(each) for each in form.getlist("channels")])  # fmt: skip
    return visit.go(f"/crowds/{crowd.code}", t("The crowd was saved. Nobody was counted or addressed yet."))


def people_of(visit: Visit, room: str, typed: str, content: bytes) -> tuple[Bytes, Any]:
    """(digests, funnel) of what was typed, one a line, or of a file. Raises UsageError where there is neither."""
    lines = [each.strip() for each in typed.splitlines() if each.strip()]
    if bool(lines) == bool(content):
        raise UsageError("Put the list into the field, or choose a file: one of the two.")
    if lines:
        if any("," in each or ";" in each or "\t" in each for each in lines):
            raise UsageError("Write one phone number or hash a line, without anything else.",
                             "A table with several columns comes as a file.")  # fmt: skip
        content = "\n".join([identity_of(visit, room), *lines, ""]).encode()
    with in_memory(content) as path:
        return uploading.digests_of(visit.path, room, path)


def identity_of(visit: Visit, room: str) -> str:
    """What the room matches this party's people by."""
    return opened(visit.path, room)[1].contract.dataset_of(visit.home.party).identity


def days_of(form: FormData) -> int:
    """How long a crowd lasts. Raises UsageError."""
    text = str(form.get("days", "90"))
    if not text.isdecimal() or len(text) > 5 or int(text) > _MOST_DAYS:
        raise UsageError("A number of days stands here.")
    return int(text)


def _taken(funnel: Any) -> str:
    count = f"{funnel['unique']:,}"
    return t("{count} persons were taken from the list. It is sealed, and never shown again.", count=count)
