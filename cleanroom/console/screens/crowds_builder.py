"""The rule builder at /crowds/drafts/<id>: pools of conditions, lists and crowds, with a live estimate from the plan.

Every click keeps the draft on this node, so that nothing of it stands in an address and a page can be left and come
back to. Only a charged count, after its price was shown, asks anybody anything.
"""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import crowds_estimate, crowds_form
from cleanroom.console.screens.crowds_draft import CROWD, Condition, Draft, Drafts, Group, Part
from cleanroom.console.screens.crowds_rules import Reader, drafted, insides, joins, own_lists
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.crowds import desk
from cleanroom.crowds.channels import CHANNELS
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.lists import today as day_now
from cleanroom.errors import UsageError
from cleanroom.lang import current, t
from cleanroom.querying import opened

SCREEN = Screen()
MOST_OTHERS = 200
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.get("/crowds/new", call="crowd")
def begun(visit: Visited, room: str = "") -> Page:
    """Which room, where there are several; a draft is made by the button."""
    rooms = usable_rooms(visit)
    return visit.page("crowds/new.html", rooms=rooms, room=room if room in rooms else (rooms[0] if rooms else ""),
                      drafts=Drafts(visit).listed())  # fmt: skip


@SCREEN.post("/crowds/drafts", call="crowd")
def made(visit: Visited, room: Text, of: Text = "", without: Text = "") -> Response:
    """A new draft: empty, of a crowd's rule (of), or everybody without a crowd."""
    opened(visit.path, room)
    parts: dict[str, Any] = {}
    if of:
        crowd = desk.get(visit.path, of)
        parts = {"pools": drafted(crowd.rule), "name": crowd.name[:60], "channels": crowd.channels,
                 "description": crowd.description}  # fmt: skip
    elif without:
        left_out = Group((Part(CROWD, code=without),), join="difference")
        parts = {"pools": (Group((Part(conditions=(Condition(),)),)), left_out)}
    return visit.go(f"/crowds/drafts/{Drafts(visit).new(room, **parts).code}")


@SCREEN.get("/crowds/drafts/{code}", call="crowd")
def shown(visit: Visited, code: str) -> Page:
    """The builder."""
    return visit.page("crowds/builder.html", **_shown(visit, Drafts(visit).get(code)))


@SCREEN.post("/crowds/drafts/{code}/change", call="crowd")
def changed(visit: Visited, code: str, form: Fields) -> Page | Response:
    """A button of the builder: the draft with one more part, one less, or in another order."""
    drafts = Drafts(visit)
    draft = crowds_form.read(drafts.get(code), form)
    what, focus = str(form.get("do", "")), ""
    if what:
        reader = Reader(visit, draft.room)
        draft, focus = crowds_form.done(draft, what, reader.sql)
    draft = drafts.save(draft)
    if not visit.is_partial:
        return visit.go(f"/crowds/drafts/{code}")
    return visit.page("crowds/rule.html", **_shown(visit, draft, focus))


@SCREEN.post("/crowds/drafts/{code}/estimate", call="crowd")
def estimated(visit: Visited, code: str, form: Fields) -> Page:
    """How many people it means so far, by the plan; keeps the draft."""
    drafts = Drafts(visit)
    draft = drafts.save(crowds_form.read(drafts.get(code), form))
    return visit.page("crowds/estimate.html", draft=draft, **_estimated(visit, draft, Reader(visit, draft.room)))


@SCREEN.post("/crowds/drafts/{code}/price", call="crowd")
def priced(visit: Visited, code: str, form: Fields) -> Page:
    """What counting it would cost. Nothing is charged."""
    drafts = Drafts(visit)
    draft = drafts.save(crowds_form.read(drafts.get(code), form))
    rule = _needed(Reader(visit, draft.room), draft)
    price = crowds_estimate.price(visit.path, draft.room, rule)
    return visit.page("crowds/price.html", price=price, action=f"/crowds/drafts/{code}/count", what="count")


@SCREEN.post("/crowds/drafts/{code}/count", call="crowd")
def counted(visit: Visited, code: str) -> Response:
    """Count it, charged; its page shows the range."""
    drafts = Drafts(visit)
    draft = drafts.get(code)
    rule = _needed(Reader(visit, draft.room), draft)
    crowds_estimate.check_enough(crowds_estimate.price(visit.path, draft.room, rule))
    told = visit.place.door.call(visit.caller, "crowd", draft.room,
                                 {"do": "estimate", "rule": rule.plain(), "charge": "yes"})  # fmt: skip
    drafts.save(replace(draft, counted=(str(told["id"]), rule.digest())))
    return visit.follow(str(told["id"]), f"/crowds/drafts/{code}")


@SCREEN.post("/crowds/drafts/{code}/save", call="crowd")
def saved(visit: Visited, code: str, form: Fields) -> Response:
    """Make a crowd of it; the draft is gone then."""
    drafts = Drafts(visit)
    draft = drafts.save(crowds_form.read(drafts.get(code), form))
    rule = _needed(Reader(visit, draft.room), draft)
    crowd = desk.create(visit.path, draft.room, draft.name.strip(), rule=rule, channels=draft.channels, days=draft.days,
                        description=" ".join(draft.description.split()), external=f"console/{draft.code}")  # fmt: skip
    drafts.remove(code)
    return visit.go(f"/crowds/{crowd.code}", t("The crowd was saved. Nobody was counted or addressed yet."))


@SCREEN.post("/crowds/drafts/{code}/discard", call="crowd")
def discarded(visit: Visited, code: str) -> Response:
    """Without a trace."""
    Drafts(visit).remove(code)
    return visit.go("/crowds", t("The draft was discarded."))


def usable_rooms(visit: Visit) -> list[str]:
    """Rooms in force to which this party brings data."""
    names = (each["room"] for each in visit.rooms if each["in_force"])
    return [name for name in names if visit.home.party in opened(visit.path, name)[1].contract.owners]


def channel_names() -> dict[str, str]:
    """Every channel in the current language."""
    return {name: titles[0 if current() == "zh" else 1] for name, titles in CHANNELS.items()}


def channels_of(visit: Visit, room: str) -> list[tuple[str, str]]:
    """Those that a room's contract allows, with their titles."""
    term = opened(visit.path, room)[1].contract.activation
    names = channel_names()
    return [] if term is None else [(each, names.get(each, each)) for each in term.channels]


def other_crowds(visit: Visit, room: str, without: str = "") -> list[Crowd]:
    """Crowds that a rule of that room can stand on: in use, and no lookalikes."""
    found = desk.listed(visit.path, "", 1, MOST_OTHERS, room=room)[0]
    today = day_now()
    usable = (each for each in found if each.kind != "spread" and each.code != without)
    return [each for each in usable if each.status(today) != "expired"]


def _needed(reader: Reader, draft: Draft) -> Any:
    rule = reader.rule(draft)
    if rule is None:
        raise UsageError("The rule names nobody yet.", "Choose at least one label, list or crowd.")
    return rule


def _shown(visit: Visit, draft: Draft, focus: str = "") -> dict[str, Any]:
    reader = Reader(visit, draft.room)
    crowds = other_crowds(visit, draft.room)
    return {
        "draft": draft, "columns": reader.columns, "lists": own_lists(visit.home), "crowds": crowds, "joins": joins(),
        "insides": insides(), "focus": focus, "channels": channels_of(visit, draft.room),
        **_estimated(visit, draft, reader),
    }  # fmt: skip


def _estimated(visit: Visit, draft: Draft, reader: Reader) -> dict[str, Any]:
    """The estimate, and the charged size where this very rule was counted."""
    try:
        rule = reader.rule(draft)
    except UsageError as error:
        text, hint = error.template, error.hint
        return {"estimate": crowds_estimate.Estimate("wrong", t(text, **error.params), t(hint)), "counted": None}
    counted = None
    number, digest = draft.counted
    if number and rule is not None and rule.digest() == digest:
        result = visit.place.jobs.get(number).result
        counted = None if result is None else result.get("size")
    return {"estimate": crowds_estimate.of_rule(reader, rule), "counted": counted}
