"""Figures beside those of the period before (环比), of 52 weeks before (同比) and of a day of one's choice."""

from dataclasses import dataclass

from cleanroom.console.pages import Value as Plain
from cleanroom.console.pictures import Chart
from cleanroom.console.screens.insight_boards import board_of
from cleanroom.console.screens.insight_figures import changed, interval, number
from cleanroom.console.screens.insight_frame import Around, iso_day
from cleanroom.insight import compare
from cleanroom.insight.compare import Change
from cleanroom.insight.labels import said
from cleanroom.insight.metric import Metric
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.insight.registry import REGISTRY
from cleanroom.insight.views import COMPARED
from cleanroom.lang import t


@dataclass(frozen=True)
class Row:
    """A metric in both boards. change, tone, sure: as `insight_figures.changed`."""

    title: str
    hint: str
    now: str | None
    now_interval: str
    before: str | None
    before_interval: str
    change: str
    tone: str
    sure: bool | None


@dataclass(frozen=True)
class Side:
    """What stands beside. day: of the earlier board, "" where there is none; chart: its name, "" without one."""

    title: str
    day: str
    rows: list[Row]
    chart: str


def sides_of(around: Around) -> tuple[list[Side], list[Chart]]:
    """(the sides, their charts)."""
    read = around.read
    wanted = [
        ("previous", t("Against the period before"), compare.then(read.day, read.days, around.asked.window)),
        ("year", t("Against 52 weeks before"), compare.then(read.day, read.days, compare.YEAR)),
    ]
    if around.asked.beside:
        wanted.insert(0, ("chosen", t("Against the chosen day"), iso_day(around.asked.beside)))
    sides, charts = [], []
    for name, title, day in wanted:
        if day is None:
            sides.append(Side(title, "", [], ""))
            continue
        before = around.with_tables(board_of(read, day))
        found = [(REGISTRY[each], change) for each in COMPARED
                 for change in compare.changes(REGISTRY[each], around.view, before)]  # fmt: skip
        shown = [_row(metric, change) for metric, change in found]
        chart = _drawn(name, f"{title} · {day.isoformat()}", found)
        charts.append(chart)
        known = any(change.growth.value is not None for _, change in found)
        sides.append(Side(title, day.isoformat(), shown, chart.name if known else ""))
    return sides, charts


def _row(metric: Metric, change: Change) -> Row:
    text, tone, sure = changed(metric, change) if change.after.value is not None else ("", "flat", None)
    return Row(_titled(metric, change), metric.text, number(change.after.value, metric.unit),
               interval(change.after, metric.unit), number(change.before.value, metric.unit),
               interval(change.before, metric.unit), text, tone, sure)  # fmt: skip


def _drawn(name: str, title: str, found: list[tuple[Metric, Change]]) -> Chart:
    known = [
        Whiskered(_titled(metric, change), 100 * growth.value, 100 * growth.low, 100 * growth.high)
        for metric, change in found
        if (growth := change.growth).value is not None and growth.low is not None and growth.high is not None
    ]
    rows: list[list[Plain]] = [
        [_titled(metric, change), number(change.after.value, metric.unit), number(change.before.value, metric.unit),
         change.growth.value, change.growth.low, change.growth.high,
         "" if change.significant is None else t("yes") if change.significant else t("no")]
        for metric, change in found
    ]  # fmt: skip
    columns = [t("metric"), t("now"), t("before"), t("growth"), t("low"), t("high"), t("significant")]
    return Chart(f"against-{name}", title, columns, rows,
                 lambda: whiskered(title, known, unit="%", mark=0.0, form="+.1f"),
                 t("Where an interval holds 0, noise alone may explain the difference."))  # fmt: skip


def _titled(metric: Metric, change: Change) -> str:
    return f"{metric.title} {said(change.label, metric.name)}".strip()
