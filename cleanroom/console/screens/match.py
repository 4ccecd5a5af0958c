"""Match: how many persons both sides have, run as a job, with what it costs shown before; and why it is not more."""

import datetime as dt
from typing import Any

from starlette.responses import Response

from cleanroom import querying
from cleanroom.console import rooms_held
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.screens import match_doctor, match_sizes
from cleanroom.console.screens import rooms_words as words
from cleanroom.console.screens.match_sizes import Matched
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import Refused, UsageError
from cleanroom.lang import t
from cleanroom.node.queue import Job
from cleanroom.node.work import HOW_MANY
from cleanroom.report import charts
from cleanroom.rooms.store import Room, Rooms

SCREEN = Screen()
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ACTIVE = ("queued", "running")


@SCREEN.get("/match", call="query")
def chosen(visit: Visited) -> Page | Response:
    """The room to match in: the only one, or a choice."""
    rooms = rooms_held.in_force(visit.home)
    if len(rooms) == 1:
        return visit.go(f"/match/{rooms[0]}")
    return visit.page("match/rooms.html", rooms=rooms)


@SCREEN.get("/match/{room}", call="query")
def shown(visit: Visited, room: str) -> Page:
    """The last size, its price, earlier ones, the doctor, and when it comes by itself."""
    held = rooms_held.held(visit.home, room)
    contract = held.contract
    if visit.home.party not in contract.owners:
        raise Refused("Only an owner of data asks about the match.")
    own = contract.dataset_of(visit.home.party).name
    found = match_sizes.matches(visit.home, contract)
    last = found[0] if found else None
    has = own in visit.home.vault.datasets()
    why_not = rooms_held.line(visit.home, room)["why_not"]
    return visit.page(
        "match/room.html", room=room, own=own, contract=contract, last=last, found=found, words=words,
        why_not=why_not, price=None if why_not else _price(visit, room),
        share=None if last is None else last.share(own), others=_others(held, own),
        steps=match_doctor.steps(visit.home, own) if has else [],
        findings=match_doctor.findings(visit.home, contract, last, _age(visit, own)) if has else [],
        charts=[] if last is None else [_circles(held, own, last)], sheets=_sheets(held, found),
        tabs=[(f"/match/{each}", each, each == room) for each in rooms_held.in_force(visit.home)],
        running=_running(visit, room), schedules=_schedules(visit, room), weekdays=_weekdays(),
    )  # fmt: skip


@SCREEN.post("/match/{room}", call="query")
def run(visit: Visited, room: str) -> Response:
    """Ask the other parties' nodes; the page shows how far it is."""
    return visit.submit("match", room, {}, then=f"/match/{room}")


@SCREEN.post("/match/{room}/schedule", call="schedule")
def scheduled(visit: Visited, room: str, every: words.Text = "weekly", weekday: words.Text = "mon",
              day: words.Text = "1", at: words.Text = "03:30", file: words.Text = "") -> Response:  # fmt: skip
    """Have it come by itself; file: an export in the home's incoming folder that is imported before."""
    spec = {"daily": f"daily {at}", "weekly": f"weekly {weekday} {at}", "monthly": f"monthly {day} {at}"}.get(every)
    if spec is None:
        raise UsageError("Choose how often: daily, weekly or monthly.")
    asked: dict[str, Any] = {"spec": spec, "call": "query", "sql": HOW_MANY}
    if file.strip():
        own = Rooms(visit.home.rooms).load(room).contract.dataset_of(visit.home.party)
        asked = {"spec": spec, "call": "import", "dataset": own.name, "source": file.strip()}
    visit.place.door.call(visit.caller, "schedule", room, asked)
    return visit.go(f"/match/{room}", t("It comes by itself from now on."))


@SCREEN.post("/match/{room}/unschedule", call="schedule")
def unscheduled(visit: Visited, room: str, number: words.Text = "") -> Response:
    """No more of it."""
    visit.place.door.call(visit.caller, "schedule", room, {"remove": number})
    return visit.go(f"/match/{room}", t("It comes no more by itself."))


def _price(visit: Visit, room: str) -> dict[str, Any] | str | None:
    """What one costs if it was not asked before; in words why it cannot be asked; None where nothing is charged."""
    try:
        found = querying.answer(visit.path, room, HOW_MANY, dry_run=True)["price"]
    except Refused as error:
        return t(error.template, **error.params)
    return None if found is None else dict(found)


def _others(held: Room, own: str) -> list[tuple[str, str, int]]:
    """Every other dataset: its owner, its name, and the most persons that the contract allows."""
    return [(t(each.owner), each.name, each.rows) for each in held.contract.datasets if each.name != own]


def _circles(held: Room, own: str, last: Matched) -> Chart:
    """Two circles: what this side brought, what the other did, and whom they share."""
    other = next(name for name in (held.contract.match.left, held.contract.match.right) if name != own)
    named = [(t(held.contract.dataset(name).owner), last.rows.get(name)) for name in (own, other)]
    rows: list[list[str | int | float | None]] = [[label, count, count] for label, count in named]
    rows.append([t("both"), last.low, last.high])
    sizes = [charts.Size(str(label), low, high) for label, low, high in rows]  # type: ignore[arg-type]
    note = t("Sizes of the two sides are exact: every match tells them. Whom both have comes with noise.") if (
        last.value is not None) else t("Sizes of the two sides are exact: every match tells them.")  # fmt: skip
    return Chart("overlap", t("Persons of both sides"), (t("who"), t("from"), t("to")), rows,
                 lambda: charts.overlap("", sizes[0], sizes[1], sizes[2]), note)  # fmt: skip


def _sheets(held: Room, found: list[Matched]) -> list[Sheet]:
    names = list(held.contract.match.datasets)
    rows = [(each.time, *(each.rows.get(name) for name in names), each.value, each.low, each.high, each.receipt)
            for each in found]  # fmt: skip
    columns = (t("time (UTC)"), *names, t("both"), t("from"), t("to"), t("receipt"))
    return [Sheet(t("Matches"), columns, rows)] if found else []


def _age(visit: Visit, dataset: str) -> int:
    """Days since its newest version was imported."""
    created = dt.datetime.fromisoformat(visit.home.vault.manifest(dataset).created)
    return (dt.datetime.now(dt.UTC) - created).days


def _running(visit: Visit, room: str) -> list[Job]:
    """Matches of this room that wait or are under way."""
    found = [job for state in _ACTIVE for job in visit.place.jobs.listed(room, state)]
    return [job for job in found if _is_match(job.kind, job.arguments)]


def _is_match(kind: str, arguments: dict[str, Any]) -> bool:
    return kind in ("match", "refresh") or (kind == "query" and arguments.get("sql") == HOW_MANY)


def _schedules(visit: Visit, room: str) -> list[dict[str, Any]]:
    """Those of this room that the user may see and end."""
    if not visit.may("schedule"):
        return []
    found = [each for each in visit.place.door.call(visit.caller, "schedule", room, {})["schedules"]
             if each["room"] == room and _is_match(each["kind"], each["arguments"])]  # fmt: skip
    return [
        {**each, "kind_name": t("match") if each["kind"] != "refresh" else t("import and match"),
         "when": when(each["spec"])}
        for each in found
    ]  # fmt: skip


def when(spec: str) -> str:
    """A schedule's times in words; one that this page does not make as it stands."""
    match spec.split(" "):
        case ["daily", at]:
            return t("every day at {at}", at=at)
        case ["weekly", day, at] if day in WEEKDAYS:
            return t("every {weekday} at {at}", weekday=dict(_weekdays())[day], at=at)
        case ["monthly", day, at]:
            return t("on day {day} of every month at {at}", day=day, at=at)
    return spec


def _weekdays() -> list[tuple[str, str]]:
    names = (t("Monday"), t("Tuesday"), t("Wednesday"), t("Thursday"), t("Friday"), t("Saturday"), t("Sunday"))
    return list(zip(WEEKDAYS, names, strict=True))
