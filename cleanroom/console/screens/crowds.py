"""Crowds: the list, and of one what it means, its versions, channels and activations. Sizes are ranges, always."""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.screens import crowds_estimate
from cleanroom.console.screens.crowds_builder import channel_names, channels_of, usable_rooms
from cleanroom.console.screens.crowds_draft import Drafts
from cleanroom.console.screens.crowds_rules import meant
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.crowds import desk, spreading, using
from cleanroom.crowds.crowd import STATUSES, TASKS, Crowd, Size
from cleanroom.crowds.history import Difference
from cleanroom.crowds.lists import today
from cleanroom.errors import KNOWN
from cleanroom.lang import current, t
from cleanroom.querying import opened

SCREEN = Screen()
SIZE = 20
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.get("/crowds", call="crowd")
def listed(visit: Visited, room: str = "", page: int = 1, everything: str = "") -> Page:
    """A page of them, the newest first."""
    return visit.page("crowds/list.html", **_list(visit, "", room, page, everything == "yes"))


@SCREEN.post("/crowds/find", call="crowd")
def found(visit: Visited, name: Text = "", room: Text = "", everything: Text = "") -> Page:
    """Those with some letters in their name; what is typed stands in no address."""
    whole = "crowds/table.html" if visit.is_partial else "crowds/list.html"
    return visit.page(whole, **_list(visit, name[:64], room, 1, everything == "yes"))


def _list(visit: Visit, name: str, room: str, page: int, everything: bool) -> dict[str, Any]:
    some, total = desk.listed(visit.path, name, max(1, page), SIZE, room=room, hidden=everything, archived=everything)
    some = [spreading.settled(visit.home, each) for each in some]
    day, names = today(), channel_names()
    rows = [(each.name, each.room, size_text(each.size), len(each.versions), ", ".join(names[c] for c in each.channels),
             status_name(each.status(day)), each.ends) for each in some]  # fmt: skip
    titles = (t("Crowd"), t("Room"), t("Size"), t("Number of versions"), t("Channels"), t("State"), t("Last day"))
    return {
        "crowds": some, "total": total, "page": max(1, page), "pages": max(1, -(-total // SIZE)), "name": name,
        "room": room, "rooms": usable_rooms(visit), "everything": everything, "drafts": Drafts(visit).listed(),
        "sheets": [Sheet(t("Crowds"), titles, rows)], **words(),
    }  # fmt: skip


@SCREEN.get("/crowds/{code}", call="crowd")
def shown(visit: Visited, code: str) -> Page:
    """What it is, in words; how large; where it may be used; what was done with it."""
    crowd = desk.get(visit.path, code)
    free = price = None
    if crowd.kind != "spread" and crowd.status(today()) not in ("archived", "expired"):
        free, price = _price(visit, crowd)
    return visit.page(
        "crowds/crowd.html", tab="", said=meant(visit, crowd) if crowd.kind != "spread" else [], free=free, price=price,
        failure=spreading.failure(visit.home, crowd), channels=channels_of(visit, crowd.room),
        seed=seed_of(visit, crowd), **head(visit, crowd),
    )  # fmt: skip


def _price(visit: Visit, crowd: Crowd) -> tuple[bool | None, dict[str, Any] | None]:
    """(whether today's size is free, else its price); (None, None) where it cannot be asked any more."""
    try:
        price = crowds_estimate.price(visit.path, crowd.room, crowd.rule)
    except KNOWN:
        return None, None
    return (True, None) if price["free"] else (False, price)


@SCREEN.post("/crowds/{code}/refresh", call="crowd")
def refreshed(visit: Visited, code: str, charge: Text = "") -> Response:
    """Its version of the day: at once where the plan tells, else as a job, charged as was shown."""
    crowd = desk.get(visit.path, code)
    where = f"/crowds/{code}/versions"
    if crowd.kind != "spread" and charge != "yes":
        using.refresh(visit.path, code, charge=False)
        return visit.go(where, t("The version of the day is frozen."))
    return visit.begin("crowd", crowd.room, {"do": "refresh", "crowd": code, "charge": "yes"}, where)


@SCREEN.get("/crowds/{code}/versions", call="crowd")
def versions(visit: Visited, code: str, before: str = "", after: str = "") -> Page:
    """All versions, frozen; two of them side by side."""
    crowd = desk.get(visit.path, code)
    days = [each.day for each in crowd.versions]
    if len(days) > 1 and not (before and after):
        before, after = days[-2], days[-1]
    told = using.diff(visit.path, code, before, after) if before and after else None
    rows = [(each.day, size_text(each.size), each.made) for each in crowd.versions]
    return visit.page(
        "crowds/versions.html", tab="versions", before=before, after=after, told=told, changed=_change(told),
        changes=[(code, came, went) for code, (came, went) in (told.lists if told else {}).items()],
        sheets=[Sheet(crowd.name, (t("Day"), t("Size"), t("Frozen at")), rows)], **head(visit, crowd),
    )  # fmt: skip


def _change(told: Difference | None) -> str:
    if told is None:
        return ""
    by = told.by.text() if told.by else ""
    return {
        "more": t("More people, by {range}.", range=by), "fewer": t("Fewer people, by {range}.", range=by),
        "alike": t("No change that noise does not explain."),
    }.get(told.direction, t("The two sizes do not tell how much changed."))  # fmt: skip


@SCREEN.post("/crowds/{code}/modify", call="crowd")
def modified(visit: Visited, code: str, form: Fields) -> Response:
    """Another name, other channels."""
    chosen = [str(each) for each in form.getlist("channels")]
    desk.modify(visit.path, code, str(form.get("name", "")).strip() or None, chosen)
    return visit.go(f"/crowds/{code}", t("Saved."))


@SCREEN.post("/crowds/{code}/archive", call="crowd")
def archived(visit: Visited, code: str) -> Response:
    """An end for it, with its lists."""
    desk.archive(visit.path, code)
    return visit.go("/crowds", t("The crowd is archived. Nothing is made of it any more."))


# -- for all pages of one crowd


def head(visit: Visit, crowd: Crowd) -> dict[str, Any]:
    """What stands above every page of it."""
    status = crowd.status(today())
    tabs = [("", t("Overview")), ("versions", t("Versions")), ("portrait", t("Portrait")),
            *([("people", t("People"))] if crowd.lists else []), ("spread", t("Lookalikes"))]  # fmt: skip
    return {
        "crowd": crowd, "standing": status_name(status), "open": status not in ("archived", "expired"), "tabs": tabs,
        "purposes": opened(visit.path, crowd.room)[1].contract.purposes, **words(),
    }  # fmt: skip


def words() -> dict[str, Any]:
    """Fixed words that templates look up."""
    return {"channel_name": channel_names(), "status_name": status_name, "task_name": task_name,
            "size_text": size_text, "size_source": size_source, "kind_name": kind_name(), "today": today}  # fmt: skip


def seed_of(visit: Visit, crowd: Crowd) -> Crowd | None:
    """The crowd that a lookalike is like."""
    return desk.get(visit.path, crowd.rule.crowds[0]) if crowd.kind == "spread" and crowd.rule.crowds else None


def status_name(name: str) -> str:
    """How a crowd stands."""
    return STATUSES.get(name, (name, name))[0 if current() == "zh" else 1]


def task_name(name: str) -> str:
    """How an activation stands."""
    return TASKS.get(name, (name, name))[0 if current() == "zh" else 1]


def kind_name() -> dict[str, str]:
    """What crowds are made by."""
    return {"rule": t("by rule"), "upload": t("by upload"), "pool": t("of other crowds"), "spread": t("lookalike")}


def size_text(size: Size | None) -> str:
    """A size as people see it."""
    return t("not counted yet") if size is None else size.text


def size_source(size: Size) -> str:
    """Where it is from."""
    if size.source == "run":
        return t("counted, with noise")
    said = "estimated from the plan of {day}" if size.estimated else "from the plan of {day}"
    return t(said, day=size.made)
