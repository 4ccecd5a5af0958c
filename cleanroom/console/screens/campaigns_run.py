"""One campaign: begun, its columns filled, measured for a price that is shown first, checked, paid for, ended.

Beginning it is for those who may activate. Measuring asks the other parties, so it is a job; what it brings is kept
beside the terms, and the same data again cost nothing.
"""

from typing import Annotated, Any

from fastapi import Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from cleanroom.campaigns import running
from cleanroom.campaigns.report import channel_name
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.campaigns import address, crowd_names, given_names, number, state_text, text, whole
from cleanroom.console.screens.campaigns_results import results
from cleanroom.console.screens.crowds_memory import file_of, in_memory
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.errors import Refused
from cleanroom.lang import t
from cleanroom.querying import opened

SCREEN = Screen()
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.get("/campaigns/{room}/{name}", call="crowd")
def shown(visit: Visited, room: str, name: str) -> Page:
    """All of it, and what comes next."""
    found = running.show(visit.path, room, name)
    contract = opened(visit.path, room)[1].contract
    told, charts = results(found, contract.release.k)
    crowds = crowd_names(visit, room)
    return visit.page(
        "campaigns/campaign.html", charts=charts, room=room, campaign=found, state=state_text(found),
        crowd=crowds.get(found["crowd"], found["crowd"]),
        crowd_known=found["crowd"] in crowds and found["crowd"] not in given_names(visit, room),
        channel=channel_name(found["channel"]), draws=_draws(visit, room), same_terms=_same_terms(found), **told,
    )  # fmt: skip


@SCREEN.post("/campaigns/{room}/{name}/start", call="activate")
def started(visit: Visited, room: str, name: str, day: Text = "", commitment: Text = "",
            version: Text = "") -> Response:  # fmt: skip
    """Draw and commit where people are addressed; at the other side note what was committed to."""
    if not _draws(visit, room) and not commitment.strip():
        raise Refused("The arms are drawn by whoever addresses people.", "Put the commitment here that they tell you.")
    running.start(visit.path, room, name, version=version.strip(), commitment=commitment.strip(), day=day.strip())
    where = address(room, name) if visit.may("crowd") else "/activations"
    return visit.go(where, t("The campaign has begun. The arms can be checked against the commitment at any time."))


@SCREEN.post("/campaigns/{room}/{name}/collect", call="import")
async def collected(visit: Visited, room: str, name: str, request: Request) -> Response:
    """Put what people did beside this party's dataset."""
    async with request.form(max_files=1, max_fields=50) as form:
        content = await file_of(form, "file")
        return await run_in_threadpool(_collected, visit, room, name, form, content)


def _collected(visit: Visit, room: str, name: str, form: FormData, content: bytes) -> Response:
    named = {each: text(form, each) for each in ("on", "day", "amount")}
    if content:
        with in_memory(content) as path:
            found = running.collect(visit.path, room, name, path, **named)
    else:
        found = running.collect(visit.path, room, name)
    said = t("{count} columns of the campaign stand beside the dataset now.", count=len(found["columns"]))
    return visit.go(address(room, name), said)


@SCREEN.post("/campaigns/{room}/{name}/price", call="crowd")
def priced(visit: Visited, room: str, name: str, form: Fields) -> Page:
    """What measuring costs. Nothing is asked yet."""
    found = running.measure(visit.path, room, name, within=text(form, "within") or None, reach="reach" in form,
                            touches="attribution" in form, dry_run=True)["price"]  # fmt: skip
    known = [each for each in found if each is not None]
    cost, left = sum(each["rho_micro"] for each in known), min((each["left_rho_micro"] for each in known), default=0)
    return visit.page("campaigns/price.html", free=not known, cost=f"{cost / 1e6:g}", left=f"{left / 1e6:g}",
                      enough=cost <= left, within=max((each["people"] for each in known), default=0), room=room,
                      name=name)  # fmt: skip


@SCREEN.post("/campaigns/{room}/{name}/measure", call="crowd")
def measured(visit: Visited, room: str, name: str, form: Fields) -> Response:
    """As a job."""
    running.show(visit.path, room, name)
    arguments = {"campaign": name, "within": text(form, "within"), "reach": "yes" if "reach" in form else "",
                 "attribution": "yes" if "attribution" in form else ""}  # fmt: skip
    return visit.submit("campaign", room, arguments, address(room, name))


@SCREEN.post("/campaigns/{room}/{name}/cost", call="crowd")
def paid(visit: Visited, room: str, name: str, form: Fields) -> Response:
    """What it cost; an empty field leaves what there is."""
    money = ("media", "coupons", "point_price")
    changes = {each: round(100 * number(form, each, 0)) for each in money if text(form, each)}
    if text(form, "points"):
        changes["points"] = whole(form, "points", 0)
    if text(form, "margin"):
        changes["margin"] = round(10 * number(form, "margin", 100))
    running.cost(visit.path, room, name, changes)
    return visit.go(address(room, name), t("Saved."))


@SCREEN.post("/campaigns/{room}/{name}/verify", call="crowd")
def verified(visit: Visited, room: str, name: str) -> Response:
    """The arms against the commitment and the ledger, where they were drawn."""
    found = running.verify(visit.path, room, name)
    told = t("{treated} treated, {held} held out", treated=f"{found['treated']:,}", held=f"{found['held_out']:,}")
    said = t("The arms are those that were committed to before anything was sent.")
    return visit.go(address(room, name), f"{said} {told}")


@SCREEN.post("/campaigns/{room}/{name}/close", call="activate")
def closed(visit: Visited, room: str, name: str) -> Response:
    """The end: seed and draws are removed for good."""
    running.close(visit.path, room, name)
    return visit.go(address(room, name), t("The campaign is closed. Its results stay."))


def _draws(visit: Visit, room: str) -> bool:
    """Whether people are addressed here, so that the arms are drawn here."""
    term = opened(visit.path, room)[1].contract.activation
    return term is not None and term.receiver == visit.home.party


def _same_terms(campaign: dict[str, Any]) -> list[tuple[str, str]]:
    """What the other side enters."""
    return [
        (t("Campaign"), campaign["name"]), (t("Crowd"), campaign["crowd"]),
        (t("Channel"), channel_name(campaign["channel"])), (t("Purpose"), campaign["purpose"]),
        (t("Held out"), f"{campaign['held_out'] / 10:g} %"), (t("Days"), str(campaign["days"])),
        (t("Slot"), str(campaign["slot"])),
        (t("The most that a person's spend counts"), f"{campaign['clamp'] // 100:,}"),
    ]  # fmt: skip
