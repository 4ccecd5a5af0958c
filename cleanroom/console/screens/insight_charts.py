"""Pictures of insight that are more than bars: the ring of C-CARE, steps, flows, cohorts, lines, a map of tiles."""

import datetime as dt
from collections.abc import Mapping, Sequence

from cleanroom.console.pages import Value as Plain
from cleanroom.console.pictures import Chart
from cleanroom.console.screens.insight_figures import (
    Measured,
    columns_of,
    interval,
    labelled,
    noted,
    number,
    rows_of,
    titled,
)
from cleanroom.console.screens.insight_frame import Around
from cleanroom.insight.care import DIMENSIONS
from cleanroom.insight.compare import Point
from cleanroom.insight.metric import Found, Metric
from cleanroom.insight.pictures import of_trend
from cleanroom.lang import t
from cleanroom.report import charts, more_charts
from cleanroom.report.more_charts import Flow, Range, Slice, Tile


def care_ring(eight: Mapping[str, Found], name: str = "care") -> Chart:
    """The eight values in their four dimensions, each a part as full as its share."""
    slices: list[Slice] = []
    rows: list[list[Plain]] = []
    for dimension, names in DIMENSIONS.items():
        for each in names:
            found = eight[each]
            value, unit = found.value, found.metric.unit
            text = number(value.value, unit)
            share = value.value if unit == "share" else None
            slices.append(Slice(labelled(each), labelled(dimension), share, text or t("withheld")))
            rows.append([labelled(dimension), labelled(each), found.metric.title, text, interval(value, unit),
                         noted(value)])  # fmt: skip
    columns = [t("dimension"), t("value of C-CARE"), t("metric"), t("value"), t("95 of 100"), t("remark")]
    title = t("The values of C-CARE")
    return Chart(name, title, columns, rows, lambda: more_charts.ring(title, slices, "C-CARE"),
                 t("Each part is as full as its value; an empty part has no share, or is withheld."))  # fmt: skip


def funnel_steps(found: Found, measured: Measured, around: Around) -> Chart:
    """The funnel."""
    items = [Range(labelled(label), value.value, value.low, value.high) for label, value in found.values.items()]
    title = titled(found)
    return Chart(found.metric.name, title, columns_of(bool(measured.changes)), rows_of(found, measured, first=False),
                 lambda: more_charts.steps(title, items), found.metric.text)  # fmt: skip


def stage_flows(found: Found, measured: Measured, around: Around) -> Chart:
    """Bands between the stages 30 days apart."""
    pairs = [(label.partition(" → "), value.value) for label, value in found.values.items()]
    flows = [Flow(labelled(names[0]), labelled(names[2]), value) for names, value in pairs]
    title, day = titled(found), around.read.day
    before = (day - dt.timedelta(days=30)).isoformat()
    return Chart(found.metric.name, title, columns_of(bool(measured.changes)), rows_of(found, measured, first=False),
                 lambda: more_charts.flows(title, flows, before=before, after=day.isoformat()),
                 t("A dotted line is a flow that is withheld."))  # fmt: skip


def heat_of(found: Found, measured: Measured, around: Around) -> Chart:
    """Shares by two dimensions: cohorts by week, stages by stage."""
    between = " → " if " → " in next(iter(found.values)) else " "
    cells = []
    for label, value in found.values.items():
        row, _, column = label.partition(between)
        cells.append(charts.Cell(labelled(row), labelled(column), value.value))
    title = titled(found)
    return Chart(found.metric.name, title, columns_of(bool(measured.changes)), rows_of(found, measured, first=False),
                 lambda: charts.heat(title, cells, form=".1%"), found.metric.text)  # fmt: skip


def trend_line(metric: Metric, points: Sequence[Point]) -> Chart:
    """A metric over report dates, with its band."""
    rows: list[list[Plain]] = [
        [each.day.isoformat(), number(each.value.value, metric.unit), interval(each.value, metric.unit),
         noted(each.value)]
        for each in points
    ]  # fmt: skip
    return Chart("trend", metric.title, [t("up to"), t("value"), t("95 of 100"), t("remark")], rows,
                 lambda: of_trend(metric, points), metric.text)  # fmt: skip


# -- a map

_PLACES = {
    "黑龙江": (11, 0), "内蒙古": (8, 1), "辽宁": (10, 1), "吉林": (11, 1), "新疆": (2, 2), "甘肃": (5, 2),
    "宁夏": (6, 2), "山西": (7, 2), "河北": (8, 2), "北京": (9, 2), "天津": (10, 2), "青海": (4, 3), "陕西": (6, 3),
    "河南": (7, 3), "山东": (9, 3), "西藏": (2, 4), "四川": (5, 4), "重庆": (6, 4), "湖北": (7, 4), "安徽": (8, 4),
    "江苏": (9, 4), "上海": (10, 4), "云南": (4, 5), "贵州": (6, 5), "湖南": (7, 5), "江西": (8, 5), "浙江": (9, 5),
    "广西": (6, 6), "广东": (7, 6), "福建": (8, 6), "台湾": (10, 6), "海南": (6, 7), "澳门": (7, 7), "香港": (8, 7),
}  # fmt: skip
"""Provinces by column and row, roughly as they lie."""
GROUND = tuple(_PLACES.values())
_TAILS = ("省", "市", "壮族自治区", "回族自治区", "维吾尔自治区", "自治区", "特别行政区")
_ACROSS, _BELOW = 12, 8


def province_tiles(found: Sequence[tuple[str, float | None]]) -> list[Tile]:
    """Provinces at their places, those that none is known of below; a province without a figure is withheld."""
    tiles, below = [], 0
    for label, value in found:
        short = next((label.removesuffix(tail) for tail in _TAILS if label.endswith(tail)), label)
        if short in _PLACES:
            tiles.append(Tile(short, *_PLACES[short], value))
        else:
            tiles.append(Tile(labelled(label), below % _ACROSS, _BELOW + below // _ACROSS, value))
            below += 1
    return tiles
