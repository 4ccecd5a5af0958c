"""Lookalikes: people like those of a crowd, chosen by whoever addresses them; and how like their seed they are."""

import secrets
from typing import Any

from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.screens.crowds import head
from cleanroom.console.screens.crowds_builder import channels_of
from cleanroom.console.screens.crowds_estimate import with_left
from cleanroom.console.visit import Fields, Visited
from cleanroom.crowds import desk, lookalike_asking, sizes
from cleanroom.crowds.crowd import Crowd
from cleanroom.crowds.lookalike_store import DONE, Lookalikes
from cleanroom.errors import KNOWN, UsageError
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.lang import explain, t
from cleanroom.querying import opened

SCREEN = Screen()
TENTHS = 10


@SCREEN.get("/crowds/{code}/spread", call="crowd")
def shown(visit: Visited, code: str) -> Page:
    """Of a crowd the form with its price; of a lookalike what it is, and its gain."""
    crowd = desk.get(visit.path, code)
    contract = opened(visit.path, crowd.room)[1].contract
    price: dict[str, Any] | None = None
    why = ""
    try:
        price = lookalike_asking.price(visit.path, crowd.room)
    except KNOWN as error:
        why = " ".join(explain(error)).strip()
    about = _about(visit, crowd) if crowd.kind == "spread" else {}
    gain = about.get("gain", [])
    left = TENTHS - about.get("counted", 0)
    priced = None if price is None else with_left({**price, "free": False})
    gain_price = None
    if price is not None and left:
        gain_price = with_left({**price, "free": False, "rho_micro": int(price["gain_rho_micro"]) * left // TENTHS})
    return visit.page(
        "crowds/spread.html", tab="spread", charts=[_chart(gain)] if gain else [], price=priced, why=why, about=about,
        gain_price=gain_price, floor=sizes.floor(contract), channels=channels_of(visit, crowd.room),
        receiver=contract.activation.receiver if contract.activation else "", token=secrets.token_hex(16),
        made=_of_seed(visit, crowd), **head(visit, crowd),
    )  # fmt: skip


@SCREEN.post("/crowds/{code}/spread", call="activate")
def spread(visit: Visited, code: str, form: Fields) -> Response:
    """Ask for one, as a job; it is given to its channels when it is made. The same form sent twice is one lookalike."""
    crowd = desk.get(visit.path, code)
    count, token = str(form.get("count", "")), str(form.get("token", ""))[:64]
    if not count.isdecimal() or len(count) > 9:
        raise UsageError("Say how many people the lookalike is to have.")
    name = str(form.get("name", "")).strip()
    if not name:
        raise UsageError("Give the new crowd a name.")
    arguments = {
        "seed": code, "name": name, "count": int(count), "include": form.get("include") == "yes",
        "channels": [str(each) for each in form.getlist("channels")], "external": f"console/{token}",
    }  # fmt: skip
    return visit.submit("spread", crowd.room, arguments, f"/crowds/made/{token}")


@SCREEN.get("/crowds/made/{token}", call="crowd")
def made(visit: Visited, token: str) -> Response:
    """On to the crowd that a form has made."""
    return visit.go(f"/crowds/{desk.get(visit.path, external=f'console/{token}').code}")


@SCREEN.post("/crowds/{code}/gain", call="crowd")
def gained(visit: Visited, code: str) -> Response:
    """Count the gain, charged once, as a job."""
    crowd = desk.get(visit.path, code)
    return visit.submit("gain", crowd.room, {"crowd": code}, f"/crowds/{code}/spread")


def _about(visit: Visited, crowd: Crowd) -> dict[str, Any]:
    held = Lookalikes(visit.home).load(crowd.code)
    return {**held.shown(), "counted": len(held.counts), "done": held.state == DONE, "split": bool(held.split)}


def _of_seed(visit: Visited, crowd: Crowd) -> list[Crowd]:
    found = desk.listed(visit.path, "", 1, desk.MOST_PAGE, room=crowd.room)[0]
    return [each for each in found if each.kind == "spread" and crowd.code in each.rule.crowds]


def _chart(gain: list[dict[str, Any]]) -> Chart:
    items = [Whiskered(str(each["tenth"]), each["gain"], max(0.0, each["low"]), each["high"]) for each in gain]
    rows = [(each["tenth"], each["gain"], max(0.0, each["low"]), each["high"], each["together"]) for each in gain]
    title = t("Gain by tenth of the users")
    titles = (t("tenth"), t("gain"), t("low"), t("high"), t("up to here"))
    note = t("The first tenth is the most like the seed; 1 is chance, and a bar that holds 1 shows no sure gain.")
    return Chart("gain", title, titles, rows, lambda: whiskered(title, items, unit="×", mark=1.0, form=".1f"), note)
