"""A service provider's merchants: what each has granted, and acting there in its name. One merchant at a time: nothing
of one is shown beside another's, and every call is decided anew at the merchant's own node.
"""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.access import acting, portfolio
from cleanroom.access.matrix import GRANTABLE, SERVED
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.screens import clients_told
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.node.peers import Peers
from cleanroom.node.queue import Job
from cleanroom.rooms.grants import EVERY, Scope

SCREEN = Screen()
ACT = "act"
IN_FORCE = ("active", "expiring")
OFFERED = ("status", "budget", "insight", "crowd", "activate", "query", "jobs")
"""Calls that this screen makes at a merchant, in order."""
ARGUMENTS = {
    "status": (), "budget": (), "jobs": ("id",),
    "insight": ("page", "window", "where", "columns", "everybody"),
    "crowd": ("do", "crowd", "name", "where", "channels", "charge", "size"),
    "activate": ("crowd", "channel", "purpose"),
    "query": ("sql", "within"),
}  # fmt: skip
LISTS = ("channels", "columns")
Short = Annotated[str, Form(max_length=200)]


@SCREEN.get("/clients", call="status")
def listed(visit: Visited) -> Page:
    """All merchants with their grants, a card a merchant."""
    merchants = [_told(each) for each in portfolio.listed(visit.path)["merchants"]]
    peers = Peers(visit.home).names()
    return visit.page("clients/list.html", merchants=merchants, peers=[(name, t(name)) for name in peers],
                      calls=[(call, clients_told.call_name(call)) for call in SERVED if call in GRANTABLE],
                      may_ask=visit.may("grant"))  # fmt: skip


@SCREEN.post("/clients/ask", call="grant")
def asked(visit: Visited, fields: Fields, merchant: Short = "", rooms: Short = "", channels: Short = "",
          columns: Short = "", days: int = Form(30)) -> Response:  # fmt: skip
    """Ask a merchant for a grant; a person there decides."""
    calls = tuple(str(each) for each in fields.getlist("call"))
    if not calls:
        raise UsageError("A grant gives at least one call.", "Choose what you would do there.")
    scope = Scope(calls, _names(rooms), _names(channels), _names(columns))
    portfolio.ask(visit.path, merchant, scope, days)
    return visit.go("/clients", t("{party} is asked for a grant; a person there decides.", party=t(merchant)))


@SCREEN.get("/clients/{merchant}", call="status")
def shown(visit: Visited, merchant: str, about: str = "", where: str = "") -> Page:
    """One merchant: what its grants allow, and what can be done there. about: the call whose form is shown; where: the
    room."""
    told = _told(portfolio.listed(visit.path, merchant)["merchants"][0])
    calls = [call for call in OFFERED if call in told["calls"] and visit.may(call)]
    chosen = about if about in calls else next(iter(calls), "")
    others = [(f"/clients/{name}", t(name), name == merchant) for name in sorted(portfolio.load(visit.home))]
    rooms = sorted({room for grant in told["grants"] if chosen in grant["calls"] and grant["state"] in IN_FORCE
                    for room in grant["rooms"]})  # fmt: skip
    return visit.page(
        "clients/merchant.html", told=told, merchant=merchant, calls=calls, chosen=chosen, others=others,
        rooms=[room for room in rooms if room != EVERY], where=where,
        room_options=[(room, room) for room in rooms if room != EVERY],
        channel_options=[(each, each) for each in told["channels"]],
        tabs=[(f"/clients/{merchant}?about={call}", clients_told.call_name(call), call == chosen) for call in calls],
        channels=told["channels"], done=_done(visit, merchant), call_name=clients_told.call_name,
    )  # fmt: skip


@SCREEN.post("/clients/{merchant}/act", call="status")
def act(visit: Visited, merchant: str, fields: Fields, call: Short = "", where: Short = "") -> Response:
    """Have the merchant's node do something, by a request that this party's key signs."""
    if call not in ARGUMENTS or call not in OFFERED:
        raise UsageError("There is no call {call}.", call=call[:64])
    visit.check(call)
    arguments: dict[str, Any] = {}
    for name in ARGUMENTS[call]:
        values = [str(each).strip() for each in fields.getlist(f"a.{name}") if str(each).strip()]
        if values:
            arguments[name] = values if name in LISTS else values[0]
    channel = str(arguments.get("channel", "")) if call == "activate" else ""
    request = acting.request(visit.home, merchant, call, where, arguments, channel=channel)
    kept = {"merchant": merchant, "request": request}
    job = visit.place.jobs.submit(ACT, where, kept, visit.caller.name)
    return visit.follow(job.id, f"/clients/{merchant}/done/{job.id}")


@SCREEN.get("/clients/{merchant}/done/{number}", call="status")
def came(visit: Visited, merchant: str, number: str) -> Page | Response:
    """What came of it, readably."""
    job = _job(visit, merchant, number)
    if job.state != "done":
        return visit.go(f"/jobs/{job.id}")
    request = job.arguments["request"]
    visit.check(request["call"])
    parts = clients_told.parts(request["call"], job.result)
    sheets = [Sheet(part.title, part.columns, part.rows) for part in parts if part.rows]
    return visit.page("clients/done.html", merchant=merchant, call=request["call"], room=request["room"], parts=parts,
                      title=clients_told.call_name(request["call"]), job=job, sheets=sheets)  # fmt: skip


def _told(merchant: dict[str, Any]) -> dict[str, Any]:
    """A merchant's grants in words, and what those in force give together."""
    grants = [{**grant, "said": clients_told.scope(grant)} for grant in merchant["grants"]]
    current = [grant for grant in grants if grant["state"] in IN_FORCE]
    return {
        "merchant": merchant["merchant"], "grants": grants, "active": len(current),
        "calls": sorted({call for grant in current for call in grant["calls"]}),
        "channels": sorted({each for grant in current for each in grant["channels"] if each != EVERY}),
        "until": min((grant["expires"][:10] for grant in current), default=""),
    }  # fmt: skip


def _done(visit: Visit, merchant: str) -> list[dict[str, Any]]:
    """What this user did there, the newest first."""
    found = [job for job in visit.place.jobs.listed(None, None, 200) if job.kind == ACT
             and job.asked_by == visit.caller.name and job.arguments.get("merchant") == merchant]  # fmt: skip
    return [{"id": job.id, "call": job.arguments["request"]["call"], "room": job.room, "state": job.state,
             "created": job.created} for job in found[:15]]  # fmt: skip


def _job(visit: Visit, merchant: str, number: str) -> Job:
    job = visit.place.jobs.get(number)
    own = job.asked_by == visit.caller.name or bool({"owner", "approver"} & set(visit.caller.roles))
    if job.kind != ACT or not own or job.arguments.get("merchant") != merchant:
        raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=number[:32])
    return job


def _names(text: str) -> tuple[str, ...]:
    """Names with commas or spaces between them; all where there is none."""
    return tuple(text.replace(",", " ").replace("，", " ").split()) or (EVERY,)
