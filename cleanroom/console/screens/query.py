"""Questions in SQL: an editor beside what the contract lets one name, what a question means and costs before it is
asked, and what it was answered. The text goes to the gate and nowhere else; it never stands in an address.
"""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom import querying
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import query_examples, query_meaning
from cleanroom.console.screens.query_history import asked_before
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.gate import gate
from cleanroom.gate.errors import QueryRefused
from cleanroom.lang import t
from cleanroom.rooms.store import Room
from cleanroom.rooms.templates import Templates

SCREEN = Screen()
Sql = Annotated[str, Form(max_length=gate.LONGEST + 1)]
Short = Annotated[str, Form(max_length=64)]
PARAMETER = "p."
"""Before the name of a template's parameter, in a form."""
ACCURACIES = ("", "2%", "5%", "10%", "20%")


@SCREEN.get("/query", call="query")
def rooms(visit: Visited) -> Page | Response:
    """The rooms that this party may ask; the only one at once."""
    found = [each for each in visit.rooms if visit.home.party in each["parties"]]
    if len(found) == 1:
        return visit.go(f"/query/{found[0]['room']}")
    return visit.page("query/rooms.html", rooms=found)


@SCREEN.get("/query/{room}", call="query")
def editor(visit: Visited, room: str, template: str = "") -> Page:
    """The editor; template: by name@version, with its parameters."""
    held = _room(visit, room)
    templates = _templates(visit, held)
    chosen = next((each for each in templates if each["template"] == template), None)
    only = held.contract.release.queries == "templates"
    fields = query_examples.fields_of(held, visit.home.party)
    first = query_examples.example(held, fields[0]["name"]) if fields and not only else ""
    return visit.page(
        "query/editor.html", room=room, fields=fields, templates=templates, chosen=chosen, only=only,
        sql=first if chosen is None else chosen["sql"], accuracies=_accuracies(held), noised=_noised(held),
        parameters=_parameters(held, chosen), history=asked_before(visit, room),
        datasets=query_examples.tables(held, visit.home.party),
    )  # fmt: skip


@SCREEN.get("/query/{room}/example", call="query")
def example(visit: Visited, room: str, column: str) -> Page:
    """The editor's text for one column: a question that works."""
    held = _room(visit, room)
    return visit.page("query/text.html", sql=query_examples.example(held, column))


@SCREEN.get("/query/{room}/columns/{column}", call="query")
def labels(visit: Visited, room: str, column: str) -> Page:
    """The labels of a column, to write them right."""
    held = _room(visit, room)
    return visit.page("query/labels.html", column=column, labels=query_examples.labels_of(held, column))


@SCREEN.post("/query/{room}/check", call="query")
def checked(visit: Visited, room: str, fields: Fields, sql: Sql = "", within: Short = "", template: Short = "") -> Page:
    """What a question means and what it would cost; nobody is asked."""
    held = _room(visit, room)
    try:
        told = _dry(visit, room, sql, within, template, fields)
    except QueryRefused as error:
        return _refused(visit, error, _text(visit, held, sql, template))
    return visit.page("query/meaning.html", **query_meaning.meaning(visit.home, held, told))


@SCREEN.post("/query/{room}/run", call="query")
def run(visit: Visited, room: str, fields: Fields, sql: Sql = "", within: Short = "",
        template: Short = "") -> Page | Response:  # fmt: skip
    """Ask it: a job of the node. What the gate refuses is shown in place of the meaning, and costs nothing."""
    held = _room(visit, room)
    try:
        _dry(visit, room, sql, within, template, fields)
    except QueryRefused as error:
        return _refused(visit, error, _text(visit, held, sql, template))
    arguments: dict[str, Any] = {"within": within} if within else {}
    if template:
        arguments |= {"template": template, "values": _values(fields)}
    else:
        arguments |= {"sql": sql}
    begun = visit.place.door.call(visit.caller, "query", room, arguments)
    return visit.follow(str(begun["id"]), f"/query/{room}/answers/{begun['id']}")


def _dry(visit: Visit, room: str, sql: str, within: str, template: str, fields: Fields) -> dict[str, Any]:
    if not template and not sql.strip():
        raise UsageError("There is no question yet.", "Choose an example beside the editor, or write one.")
    return querying.answer(visit.path, room, sql, dry_run=True, within=within or None, template=template or None,
                           values=_values(fields) if template else None)  # fmt: skip


def _refused(visit: Visit, error: QueryRefused, sql: str) -> Page:
    return visit.page("query/refused.html", **query_meaning.refusal(error, sql))


def _text(visit: Visit, room: Room, sql: str, template: str) -> str:
    found = (each["sql"] for each in _templates(visit, room) if each["template"] == template)
    return next(found, sql) if template else sql


def _values(fields: Fields) -> dict[str, str]:
    return {name.removeprefix(PARAMETER): str(value) for name, value in fields.multi_items()
            if name.startswith(PARAMETER)}  # fmt: skip


def _room(visit: Visit, name: str) -> Room:
    """Raises UsageError where this party has no labels of the room, and so cannot ask."""
    held = querying.opened(visit.path, name)[1]
    if held.annexes is None or visit.home.party not in held.contract.owners:
        raise UsageError("Only an owner of data asks about the match.")
    return held


def _templates(visit: Visit, room: Room) -> list[dict[str, Any]]:
    kept = Templates(visit.home, room)
    return [kept.line(each) for each in kept.all()]


def _parameters(room: Room, chosen: dict[str, Any] | None) -> list[dict[str, Any]]:
    if chosen is None:
        return []
    return [
        {**each, "options": [(value, value) for value in query_examples.values_of(room, each["column"])]}
        for each in chosen["parameters"]
    ]


def _noised(room: Room) -> bool:
    return room.contract.release.noise != "off"


def _accuracies(room: Room) -> list[tuple[str, str]]:
    usual = t("as the contract has it: σ {sigma} persons", sigma=room.contract.release.sigma)
    return [(each, t("within {share} of all matched", share=each) if each else usual) for each in ACCURACIES]
