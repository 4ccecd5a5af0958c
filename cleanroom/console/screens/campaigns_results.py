"""A campaign's result as figures, charts and words: released numbers with their intervals; and its report as a page."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.responses import Response

from cleanroom.campaigns import assets, running
from cleanroom.campaigns.report import ARM_NAMES, channel_name, coupon_rows, number, percent
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.screens.campaigns_words import by_chance, people_needed, range_of, value_of, verdict
from cleanroom.console.visit import Visited
from cleanroom.errors import UsageError
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.lang import t
from cleanroom.report import charts
from cleanroom.report.charts import Picture

SCREEN = Screen()
Told = Mapping[str, Any]


def results(campaign: Told, k: int) -> tuple[dict[str, Any], list[Chart]]:
    """(what the page shows of it, its charts). Before it was measured there is little to show."""
    coupons = coupon_rows(campaign["own"]) if campaign["own"].get("claimed") else []
    found = campaign["measured"]
    if found is None:
        return {"figures": [], "verdict": "", "tone": "", "words": [], "arms": [], "coupons": coupons, "reach": None,
                "touches": []}, []  # fmt: skip
    said, tone = verdict(found)
    words = [by_chance(found["difference"]), people_needed(campaign, k)]
    drawn = [_arms_chart(found["arms"]), _lift_chart(found)]
    touches = _touches(found)
    if touches:
        drawn.append(_touch_chart(touches))
    return {
        "figures": _figures(campaign), "verdict": said, "tone": tone, "words": [each for each in words if each],
        "arms": [(t(ARM_NAMES[each["arm"]]), _counted(each, "people"), _counted(each, "payers"),
                  percent(each["share"]), number(each["spend_each"], ",.2f")) for each in found["arms"]],
        "coupons": coupons, "reach": found.get("reach"), "touches": touches,
    }, drawn  # fmt: skip


def _figures(campaign: Told) -> list[tuple[str, str | None, str]]:
    """(title, value, interval)."""
    found, worth = campaign["measured"], campaign["worth"]
    shown = [
        (t("Lift"), value_of(found["difference"], share=True), range_of(found["difference"], share=True)),
        (t("By the held out"), value_of(found["ratio"], share=True), range_of(found["ratio"], share=True)),
        (t("Payers for its sake"), value_of(found["payers"]), range_of(found["payers"])),
        (t("Revenue for its sake"), value_of(found["revenue"]), range_of(found["revenue"])),
    ]
    if campaign["costs"]["total"]:
        each = worth["cost_per_payer"]
        shown += [
            (t("Cost"), f"{campaign['costs']['total'] / 100:,.2f}", ""),
            (t("Cost per payer for its sake"), value_of(each, ",.2f"), range_of(each, ",.2f")),
            ("ROI", value_of(worth["roi"], share=True), range_of(worth["roi"], share=True)),
        ]
        if worth["roas"] is not None:
            shown.append((t("ROAS (attributed, no lift)"), f"{worth['roas']:.2f}", ""))
    return shown


def _arms_chart(arms: Sequence[Told]) -> Chart:
    named = [(t(ARM_NAMES[each["arm"]]), each["share"]) for each in arms]
    return _shares("arms", t("Who paid, of everybody in the arm"), named, 0.0, ".2f")


def _lift_chart(found: Told) -> Chart:
    named = [(t("Lift"), found["difference"])]
    return _shares("lift", t("Lift: the treated less the held out"), named, 0.0, "+.2f",
                   t("A bar that holds 0 shows no sure effect."))  # fmt: skip


def _shares(name: str, title: str, named: Sequence[tuple[str, Told]], mark: float, form: str, note: str = "") -> Chart:
    sides = ("value", "low", "high")
    items = [Whiskered(label, *(_hundredfold(each[side]) for side in sides)) for label, each in named]
    rows = [(each.label, each.value, each.low, each.high) for each in items]

    def draw() -> Picture:
        return whiskered(title, items, unit="%", mark=mark, form=form)

    return Chart(name, title, (t("arm"), "%", t("low"), t("high")), rows, draw, note or t("95 of 100"))


def _counted(arm: Told, name: str) -> str:
    """A noised count and its ±."""
    within = arm["within"][name]
    return f"{arm[name]:,} ± {within:,}" if within else f"{arm[name]:,}"


def _hundredfold(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _touches(found: Told) -> list[tuple[str, float, float]]:
    """(channel, spend by last touch, by position), major units."""
    if "attribution" not in found:
        return []
    last, position = found["attribution"]["last_touch"], found["attribution"]["position"]
    return [(channel_name(each), last.get(each, 0.0), position.get(each, 0.0)) for each in sorted({*last, *position})]


def _touch_chart(touches: Sequence[tuple[str, float, float]]) -> Chart:
    title = t("Attribution: spend after a touch, no lift")
    bars = [charts.Bar(name, value, series) for name, last, position in touches
            for series, value in ((t("last touch"), last), (t("by position"), position))]  # fmt: skip
    return Chart("touches", title, (t("channel"), t("last touch"), t("by position")), touches,
                 lambda: charts.bars(title, bars))  # fmt: skip


@SCREEN.get("/campaigns/{room}/{name}/report", call="crowd")
def reported(visit: Visited, room: str, name: str) -> Response:
    """The result as one page of HTML, to take along. It holds what this page shows, and no person."""
    from cleanroom.campaigns import report as pages

    found = running.show(visit.path, room, name)
    if found["measured"] is None:
        raise UsageError("The campaign {name} was not measured yet.", "Measure it first.", name=name)
    with tempfile.TemporaryDirectory(dir=visit.path) as folder:
        path = Path(folder) / "report.html"
        pages.write(path, found)
        content = path.read_bytes()
    return Response(content, media_type="text/html; charset=utf-8",
                    headers={"content-disposition": 'attachment; filename="campaign.html"'})  # fmt: skip


@SCREEN.get("/campaigns/assets", call="crowd")
def left_behind(visit: Visited) -> Any:
    """What campaigns leave: tags that crowds and portraits can name."""
    return visit.page("campaigns/assets.html", assets=assets.assets(visit.home))
