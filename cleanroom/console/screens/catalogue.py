"""The platform operator's screen: channels, the catalogue of tags, quotas of peers, and what each merchant used.

It shows names, titles and numbers of runs; never what was asked, answered, or any column's figure.
"""

from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.access import catalogue
from cleanroom.access.catalogue import Channel, Quota, Tag
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import current, t
from cleanroom.ledger.spending import as_rho
from cleanroom.node.peers import Peers
from cleanroom.report import charts

SCREEN = Screen()
Text = Annotated[str, Form(max_length=2_000)]
TABS = {"channels": "channels", "tags": "catalogue", "quotas": "quotas"}
"""Tab → the call of the access matrix that changes it."""


@SCREEN.get("/catalogue", call="channels")
def channels(visit: Visited) -> Page:
    """Where crowds may be used, and for what."""
    return _page(visit, "channels", entries=_entries(visit, "channels"))


@SCREEN.get("/catalogue/tags", call="catalogue")
def tags(visit: Visited) -> Page:
    """Columns that merchants are offered, with what they mean."""
    return _page(visit, "tags", entries=_entries(visit, "tags"))


@SCREEN.get("/catalogue/quotas", call="quotas")
def quotas(visit: Visited) -> Page:
    """What a peer may do here in a day."""
    return _page(visit, "quotas", entries=_entries(visit, "quotas"), peers=Peers(visit.home).names())


@SCREEN.get("/catalogue/usage", call="usage")
def usage(visit: Visited) -> Page:
    """What each merchant used, by month."""
    lines = catalogue.used(visit.path)["usage"]
    rows = [[each["merchant"], each["month"], each["runs"], each["rows"], as_rho(each["rho_micro"]), each["sent"]]
            for each in lines]  # fmt: skip
    columns = [t("merchant"), t("month"), t("runs"), t("rows brought"), "ρ", t("bytes sent")]
    drawn = [[f"{each['merchant']} · {each['month']}", each["runs"]] for each in lines[-24:]]
    title, bars = t("Runs by merchant and month"), [charts.Bar(*row) for row in drawn]
    chart = Chart("runs", title, [t("merchant"), t("runs")], drawn, lambda: charts.bars(title, bars))
    shown = [chart] if drawn else []
    return visit.page("catalogue/usage.html", tabs=_tabs(visit, "usage"), columns=columns, rows=rows, charts=shown,
                      sheets=[Sheet(t("Usage"), columns, rows)] if rows else [])  # fmt: skip


@SCREEN.post("/catalogue/channels", call="channels")
def keep_channel(visit: Visited, name: Text = "", zh: Text = "", en: Text = "", purposes: Text = "") -> Response:
    """One more, or another in place of the one of its name. purposes: a line each."""
    wanted = tuple(line.strip() for line in purposes.splitlines() if line.strip())
    return _keep(visit, Channel(name.strip(), zh.strip(), en.strip(), wanted), "/catalogue")


@SCREEN.post("/catalogue/tags", call="catalogue")
def keep_tag(visit: Visited, name: Text = "", zh: Text = "", en: Text = "", description: Text = "") -> Response:
    """Likewise a tag."""
    return _keep(visit, Tag(name.strip(), zh.strip(), en.strip(), description.strip()), "/catalogue/tags")


@SCREEN.post("/catalogue/quotas", call="quotas")
def keep_quota(visit: Visited, peer: Text = "", runs: Text = "", rows: Text = "") -> Response:
    """Likewise a quota."""
    if not (runs.isdecimal() and rows.isdecimal()) or max(len(runs), len(rows)) > 12:
        raise UsageError("Runs and rows are whole numbers.")
    return _keep(visit, Quota(peer, int(runs), int(rows)), "/catalogue/quotas")


def _dropping(kind: str, call: str) -> None:
    path = f"/catalogue/{kind}/drop"

    @SCREEN.post(path, call=call)
    def drop(visit: Visited, name: Text = "") -> Response:
        catalogue.dropped(visit.path, kind, name)
        back = "/catalogue" if kind == "channels" else f"/catalogue/{kind}"
        return visit.go(back, t("{name} is no longer in the catalogue.", name=name))


for _kind, _call in TABS.items():
    _dropping(_kind, _call)


def _keep(visit: Visit, term: Channel | Tag | Quota, back: str) -> Response:
    kept = catalogue.kept(visit.path, term)
    return visit.go(back, t("{name} is in the catalogue.", name=kept["kept"]))


def _entries(visit: Visit, kind: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = catalogue.listed(visit.path)[kind]
    return [{**each, "title": each.get("zh" if current() == "zh" else "en", "")} for each in found]


def _page(visit: Visit, tab: str, **context: Any) -> Page:
    return visit.page(f"catalogue/{tab}.html", tabs=_tabs(visit, tab), **context)


def _tabs(visit: Visit, here: str) -> list[tuple[str, str, bool]]:
    entries = (
        ("channels", "/catalogue", t("Channels"), "channels"), ("tags", "/catalogue/tags", t("Tags"), "catalogue"),
        ("quotas", "/catalogue/quotas", t("Quotas"), "quotas"), ("usage", "/catalogue/usage", t("Usage"), "usage"),
    )  # fmt: skip
    return [(path, title, name == here) for name, path, title, call in entries if visit.may(call)]
