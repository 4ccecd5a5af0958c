"""Insight: what boards and plans say of the people in a room, a page a question. All is read, and reading is free.

A board is another owner's numbers as they were released, or one's own, exactly. What it would cost to have a new one
stands on a page of its own (`insight_refresh`).
"""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.screens import insight_figures as figures
from cleanroom.console.screens.insight_boards import board_of, fitting
from cleanroom.console.screens.insight_boards import trend as trend_of
from cleanroom.console.screens.insight_charts import care_ring, funnel_steps, heat_of, stage_flows, trend_line
from cleanroom.console.screens.insight_compare import sides_of
from cleanroom.console.screens.insight_figures import measured
from cleanroom.console.screens.insight_frame import Around, Asked, Text, Wished, title_of
from cleanroom.console.visit import Visit, Visited
from cleanroom.insight import views
from cleanroom.insight.care import BESIDE, DIMENSIONS, EIGHT, PLAYBOOKS, Diagnosis, diagnose
from cleanroom.insight.compare import then
from cleanroom.insight.labels import said
from cleanroom.insight.metric import evaluate
from cleanroom.insight.registry import REGISTRY, of_theme
from cleanroom.insight.themes.overview import TREND
from cleanroom.lang import current, t

SCREEN = Screen()
_MOST_PERIODS = 400
_SHOWN_PERIODS = 31


@SCREEN.get("/insight", call="insight")
def entered(visit: Visited) -> Page | Response:
    """The newest room's overview."""
    if not visit.rooms:
        return visit.page("insight/no_room.html")
    return visit.go(f"/insight/{visit.rooms[-1]['room']}/overview")


@SCREEN.get("/insight/{room}", call="insight")
def entered_room(visit: Visited, room: str) -> Response:
    """Its overview."""
    return visit.go(f"/insight/{room}/overview")


@SCREEN.get("/insight/{room}/overview", call="insight")
def overview(visit: Visited, room: str, asked: Wished) -> Page:
    """How many, from where, how far; and of what kind they are."""
    return _page(visit, room, "overview", asked, (*of_theme("overview"), *of_theme("composition")))


@SCREEN.get("/insight/{room}/behaviour", call="insight")
def behaviour(visit: Visited, room: str, asked: Wished) -> Page:
    """Frequency, duration, recency and spend over 30 days."""
    return _page(visit, room, "behaviour", asked, views.PAGES["behaviour"])


@SCREEN.get("/insight/{room}/funnel", call="insight")
def funnel(visit: Visited, room: str, asked: Wished) -> Page:
    """The steps and what each keeps."""
    return _page(visit, room, "funnel", asked, views.PAGES["funnel"])


@SCREEN.get("/insight/{room}/flow", call="insight")
def flow(visit: Visited, room: str, asked: Wished) -> Page:
    """From stage to stage in 30 days."""
    return _page(visit, room, "flow", asked, views.PAGES["flow"])


@SCREEN.get("/insight/{room}/retention", call="insight")
def retention(visit: Visited, room: str, asked: Wished) -> Page:
    """Cohorts, coupons, messages, worth."""
    return _page(visit, room, "retention", asked, views.PAGES["retention"])


@SCREEN.get("/insight/{room}/care", call="insight")
def care(visit: Visited, room: str, asked: Wished) -> Page:
    """The eight values, what stands beside them, and what to do first."""
    around = Around.of(visit, room, "care", asked)
    if around.state != "ready":
        return unready(around)
    found = measured((*EIGHT.values(), *BESIDE), around.view, around.before)
    by_name = {name: evaluate(REGISTRY[each], around.view) for name, each in EIGHT.items()}
    eight = [(said(dimension), [(name, said(name), found.figure(by_name[name])) for name in names])
             for dimension, names in DIMENSIONS.items()]  # fmt: skip
    beside = [each for each in found.found if each.metric.name in BESIDE and list(each.values) == [""]]
    several = [each for each in found.found if each.metric.name in BESIDE and list(each.values) != [""]]
    return answered(
        around, "insight/care.html", found, [care_ring(by_name), *(figures.bars(each, found) for each in several)],
        eight=eight, beside=found.figures(beside), several=[each.metric.name for each in several],
        diagnosis=_diagnosis(around),
    )  # fmt: skip


@SCREEN.get("/insight/{room}/trend", call="insight")
def trend(visit: Visited, room: str, asked: Wished, metric: Text = "visitors", period: Text = "day",
          last: int = _SHOWN_PERIODS) -> Page:  # fmt: skip
    """A metric by day, week or month."""
    around = Around.of(visit, room, "trend", asked)
    if around.state != "ready":
        return unready(around)
    last = max(1, min(_MOST_PERIODS, last))
    points = trend_of(around.read, metric, period, last, exclude_import=asked.exclude_import)
    chart = trend_line(REGISTRY[metric], points)
    known = [each for each in points if each.value.value is not None]
    return answered(around, "insight/trend.html", None, [chart], metric=metric, period=period, last=last,
                    definition=REGISTRY[metric].text, metrics=fitting(period), drawn=len(known) > 1,
                    periods=[(name, said(name)) for name in TREND])  # fmt: skip


@SCREEN.get("/insight/{room}/compare", call="insight")
def compare(visit: Visited, room: str, asked: Wished) -> Page:
    """Beside the period before, the year before, and a day of one's choice."""
    around = Around.of(visit, room, "compare", asked)
    if around.state != "ready":
        return unready(around)
    sides, charts = sides_of(around)
    return answered(around, "insight/compare.html", None, charts, sides=sides)


def _page(visit: Visit, room: str, tab: str, asked: Asked, names: tuple[str, ...]) -> Page:
    """A page of metrics: single figures as boxes, others as charts."""
    around = Around.of(visit, room, tab, asked)
    if around.state != "ready":
        return unready(around)
    found = measured(names, around.view, around.before)
    charts = [_drawing(each.metric.name)(each, found, around) for each in found.series]
    first = [each.metric.name for each in found.series if each.metric.theme == tab] or []
    rest = [each.metric.name for each in found.series if each.metric.name not in first]
    return answered(around, "insight/metrics.html", found, charts, figures=found.figures(found.single), first=first,
                    rest=rest)  # fmt: skip


def _drawing(name: str) -> Callable[[Any, figures.Measured, Around], Chart]:
    if name == "funnel":
        return funnel_steps
    if name == "flow":
        return stage_flows
    if name.endswith("_cohorts") or name == "flow_rates":
        return heat_of
    return lambda found, all_found, around: figures.bars(found, all_found)


def answered(around: Around, template: str, found: figures.Measured | None, charts: list[Chart],
             **context: Any) -> Page:  # fmt: skip
    """The page with its surroundings; its sheet is all of its figures."""
    titles = title_of(around)
    sheets = [figures.sheet(found, titles["title"])] if found is not None and found.found else []
    missing = [each.title for each in found.missing] if found is not None else []
    context |= {**titles, "missing": missing}
    return around.visit.page(template, charts=charts, sheets=sheets, around=around, **context)


def unready(around: Around) -> Page:
    """What is to be done before there is something to read."""
    return around.visit.page("insight/unready.html", around=around, **title_of(around))


def _diagnosis(around: Around) -> dict[str, Any]:
    """The weakest value and its playbook, against the board 30 days before where there is one."""
    day = then(around.read.day, around.read.days, 30)
    before = None if day is None else around.with_tables(board_of(around.read, day))
    found: Diagnosis = diagnose(around.view, before)
    rows = [
        (said(each.name), figures.number(each.value.value, _unit(each.name)),
         figures.number(each.reference, _unit(each.name)), said(each.against),
         round(100 * each.score), t("yes") if each.sure else t("no"))
        for each in sorted((one for one in found.judged if one.score is not None), key=lambda one: one.score or 0.0)
        if each.score is not None
    ]  # fmt: skip
    playbook = PLAYBOOKS[found.playbook][current() == "zh"] if found.playbook else ""
    return {"text": found.text, "rows": rows, "playbook": playbook, "code": found.playbook or "",
            "before": day.isoformat() if day else ""}  # fmt: skip


def _unit(name: str) -> str:
    return REGISTRY[EIGHT[name]].unit
