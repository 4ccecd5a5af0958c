"""Pictures of metrics: the form in which people read each page fastest. What is withheld is drawn as withheld."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cleanroom.insight.compare import Change, Point
from cleanroom.insight.labels import said
from cleanroom.insight.metric import Found, Metric
from cleanroom.insight.registry import REGISTRY
from cleanroom.lang import t
from cleanroom.report import charts

_MAIN = {"overview": "relation_users", "composition": "relation_shares", "behaviour": "visit_frequency"}
"""The distribution that stands for a page."""


def of_page(name: str, found: Sequence[Found]) -> charts.Picture:
    """Of a page of metrics."""
    by_name = {each.metric.name: each for each in found}
    if name == "funnel":
        steps = by_name["funnel"]
        known = [(said(label), round(each.value)) for label, each in steps.values.items() if each.value is not None]
        return charts.funnel(steps.metric.title, known)
    if name == "flow":
        return _crossed(by_name["flow_rates"], " → ")
    if name == "retention":
        return _crossed(by_name["revisit_cohorts"], " ")
    return _bars(by_name[_MAIN[name]])


def of_care(eight: Mapping[str, Found]) -> charts.Picture:
    """The seven of the eight values that are shares."""
    items = [
        charts.Bar(said(name), each.value.value) for name, each in eight.items() if each.metric.unit == "share"
    ]  # fmt: skip
    return charts.bars(t("The values of C-CARE"), items, form=".1%")


def of_trend(metric: Metric, points: Sequence[Point]) -> charts.Picture:
    """A line with its band, a mark a period, restated ones in another colour; withheld periods are left out."""
    import altair as alt

    scale, unit = (100, "%") if metric.unit == "share" else (1, said(metric.unit))
    rows = [
        {"when": each.day.isoformat(), "value": scale * value.value, "low": scale * value.low,
         "high": scale * value.high, "state": t("restated") if each.restated else t("as released")}
        for each in points
        if (value := each.value).value is not None and value.low is not None and value.high is not None
    ]  # fmt: skip
    dates = {"labelAngle": 0, "tickCount": min(10, len(rows)), "format": "%m-%d", "grid": False}
    base = alt.Chart(charts._values(rows)).encode(x=alt.X("when:T", title=None, axis=alt.Axis(**dates)))
    place = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    colours = alt.Scale(domain=[t("as released"), t("restated")], range=[charts.BLUE, charts.ORANGE])
    band = base.mark_area(opacity=0.18, color=charts.BLUE).encode(y=alt.Y("low:Q", title=unit), y2="high:Q")
    line = base.mark_line(color=charts.BLUE).encode(y=place)
    marks = base.mark_circle(size=40, opacity=1).encode(y=place, color=alt.Color("state:N", scale=colours))
    return charts._finish(band + line + marks, metric.title, 240, False)


def of_changes(sides: Sequence[tuple[str, Sequence[tuple[str, Sequence[Change]]]]]) -> charts.Picture:
    """Growth in percent by metric, with its interval, for each side there is; what is not known is left out."""
    rows = [
        (f"{REGISTRY[name].title} {said(change.label)} · {_against(against)}", change.growth)
        for against, found in sides
        for name, changes in found
        for change in changes
    ]
    known = [
        Whiskered(label, 100 * growth.value, 100 * growth.low, 100 * growth.high)
        for label, growth in rows
        if growth.value is not None and growth.low is not None and growth.high is not None
    ]
    return whiskered(t("Growth"), known, unit="%", mark=0.0, form="+.1f")


@dataclass(frozen=True)
class Whiskered:
    """A figure with its interval; value None: withheld."""

    label: str
    value: float | None
    low: float | None
    high: float | None


def whiskered(title: str, items: Sequence[Whiskered], *, unit: str, mark: float, form: str) -> charts.Picture:
    """Dots with their intervals, and a line where nothing differs."""
    import altair as alt

    rows = [
        {"label": each.label, "value": each.value, "low": each.low, "high": each.high,
         "at": mark if each.value is None else each.value if each.high is None else each.high,
         "text": t("withheld") if each.value is None else format(each.value, form)}
        for each in items
    ]  # fmt: skip
    order = [each.label for each in items]
    base = alt.Chart(charts._values(rows)).encode(y=alt.Y("label:N", sort=order, title=None))
    across = alt.X("value:Q", title=unit, scale=alt.Scale(zero=False, padding=30))
    dots = base.transform_filter("datum.value !== null").mark_circle(size=60, opacity=1, color=charts.BLUE)
    bars = base.transform_filter("datum.low !== null").mark_rule(strokeWidth=2, color=charts.BLUE)
    drawn = bars.encode(x=alt.X("low:Q", title=unit), x2="high:Q") + dots.encode(x=across)
    drawn = drawn + base.mark_text(align="left", dx=6).encode(x=alt.X("at:Q", title=unit), text="text:N")
    line = alt.Chart(charts._values([{"mark": mark}])).mark_rule(strokeDash=[4, 4], color=charts.VERMILION)
    return charts._finish(drawn + line.encode(x=alt.X("mark:Q", title=unit)), title, max(2, len(rows)) * 26, False)


def _against(against: str) -> str:
    return t("against the period before") if against == "previous" else t("against 52 weeks before")


def _bars(found: Found) -> charts.Picture:
    items = [charts.Bar(said(label, found.metric.name), each.value) for label, each in found.values.items()]
    form = ".1%" if found.metric.unit == "share" else ",.0f"
    return charts.bars(found.metric.title, items, unit=said(found.metric.unit), form=form)


def _crossed(found: Found, between: str) -> charts.Picture:
    cells = []
    for label, each in found.values.items():
        row, _, column = label.partition(between)
        cells.append(charts.Cell(said(row), said(column), each.value))
    return charts.heat(found.metric.title, cells, form=".1%")
