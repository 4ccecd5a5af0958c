"""More pictures of released or own figures: bars with intervals, a ring, steps, flows, and a map of tiles.

As in `charts`: nothing is fetched, and what is withheld is drawn as withheld, never as zero. A map stands on no outline
of the earth: a province is a tile, placed roughly as it lies, so that none is larger than another for its land.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cleanroom.lang import t
from cleanroom.report import charts
from cleanroom.report.charts import Picture

_GREY = "#8a8f98"
_PALE, _DEEP = "#dcebf6", "#08457a"
_ROW = 30
_TILE = 44
_RING = 460  # wide enough for its labels, and to be read on a phone without scrolling


@dataclass(frozen=True)
class Range:
    """A figure with its interval; value None: withheld. series: sets figures of one label side by side."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    series: str = ""


@dataclass(frozen=True)
class Slice:
    """A part of a ring. share: how full it is, 0 to 1, None where it is withheld or no share; text: its figure."""

    label: str
    group: str
    share: float | None
    text: str


@dataclass(frozen=True)
class Flow:
    """People who went from a stage to another; value None: withheld."""

    source: str
    target: str
    value: float | None


@dataclass(frozen=True)
class Tile:
    """A place by its column and row; value None: withheld."""

    label: str
    column: int
    row: int
    value: float | None


def ranges(title: str, items: Sequence[Range], *, unit: str = "", form: str = ",.0f",
           width: int = charts.WIDTH) -> Picture:  # fmt: skip
    """Horizontal bars in the order given, each with a whisker over its interval. form: of Python and d3."""
    import altair as alt

    series = list(dict.fromkeys(item.series for item in items))
    rows = [_range_row(item, form) for item in items]
    place: dict[str, Any] = {"y": alt.Y("label:N", sort=None, title=None)}
    if len(series) > 1:
        place["yOffset"] = alt.YOffset("series:N", sort=series)
    base = alt.Chart(charts._values(rows)).encode(**place)
    furthest = max((row["at"] for row in rows), default=0.0) or 1.0
    across = alt.X("value:Q", title=unit or None, axis=alt.Axis(format=f"{form[:-1]}~{form[-1]}", tickCount=6),
                   scale=alt.Scale(domain=[0, furthest * 1.18], nice=False))  # fmt: skip
    colour = alt.Color("series:N", sort=series, legend=alt.Legend() if len(series) > 1 else None)
    drawn = base.mark_bar(cornerRadiusEnd=2, opacity=0.85).encode(x=across, color=colour)
    known = base.transform_filter("datum.low !== null && datum.low !== datum.high")
    whiskers = known.mark_rule(strokeWidth=1.5, color="currentColor").encode(x="low:Q", x2="high:Q")
    tick = known.mark_tick(thickness=1.5, size=9, color="currentColor")
    ends = [tick.encode(x=f"{end}:Q") for end in ("low", "high")]
    texts = base.mark_text(align="left", dx=7).encode(x="at:Q", text="text:N")
    height = max(2, len(rows)) * (_ROW if len(series) == 1 else _ROW * 0.75)
    return _finish(alt.layer(drawn, whiskers, *ends, texts), title, height, width)


def ring(title: str, slices: Sequence[Slice], middle: str) -> Picture:
    """A ring of equal parts, those of a group in one colour, each as full as its share; an empty part is withheld, or
    no share: its text says so."""
    import altair as alt

    groups = list(dict.fromkeys(each.group for each in slices))
    step, gap = 2 * math.pi / max(1, len(slices)), 0.035
    rows = [
        {"from": place * step + gap, "to": (place + 1) * step - gap, "middle": (place + 0.5) * step,
         "full": place * step + gap + (step - 2 * gap) * min(1.0, each.share or 0.0), "label": each.label,
         "group": each.group, "text": each.text, "right": (place + 0.5) * step < math.pi}
        for place, each in enumerate(slices)
    ]  # fmt: skip
    base = alt.Chart(charts._values(rows))
    colour = alt.Color("group:N", sort=groups, legend=alt.Legend(symbolType="square", symbolOpacity=1))
    angle = alt.Theta("from:Q", scale=None, stack=None)
    ground = base.mark_arc(innerRadius=72, outerRadius=106, opacity=0.2)
    filled = base.transform_filter("datum.full > datum.from").mark_arc(innerRadius=72, outerRadius=106)
    layers = [ground.encode(theta=angle, theta2="to:Q", color=colour),
              filled.encode(theta=angle, theta2="full:Q", color=colour)]  # fmt: skip
    for right in (True, False):
        side = base.transform_filter(f"datum.right === {str(right).lower()}")
        for field, size, dy in (("text", 15, -1), ("label", 12, 15)):
            mark = side.mark_text(radius=124, align="left" if right else "right", fontSize=size, dy=dy)
            layers.append(mark.encode(theta=alt.Theta("middle:Q", scale=None, stack=None), text=f"{field}:N"))
    centre = alt.Chart(charts._values([{"text": middle}])).mark_text(fontSize=17, radius=0)
    layers.append(centre.encode(text="text:N", theta=alt.value(0)))
    return _finish(alt.layer(*layers), title, 310, _RING)


def steps(title: str, items: Sequence[Range]) -> Picture:
    """Steps that each keep a part of the one before, centred, with interval and share of the first."""
    import altair as alt

    first = next((each.value for each in items if each.value), 1.0)
    rows = [
        {"label": each.label, "left": -(each.value or 0) / 2, "right": (each.value or 0) / 2,
         "text": t("withheld") if each.value is None else f"{_between(each)}  ({each.value / first:.1%})"}
        for each in items
    ]  # fmt: skip
    hidden = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    base = alt.Chart(charts._values(rows)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(domain=False, ticks=False))
    )
    scale = alt.Scale(domain=[-first / 2, first * 1.15])
    drawn = base.mark_bar(cornerRadius=3).encode(
        x=alt.X("left:Q", title=None, axis=hidden, scale=scale), x2="right:Q", color=alt.value(charts.BLUE)
    )
    texts = base.mark_text(align="left").encode(x=alt.X(datum=first * 0.53, type="quantitative"), text="text:N")
    return charts._finish(drawn + texts, title, len(rows) * (_ROW + 6), False)


def flows(title: str, found: Sequence[Flow], *, before: str, after: str) -> Picture:
    """Bands from stages (left, `before`) to stages (right, `after`), as wide as their people; dotted: withheld.

    A stage has no sum here: what is withheld of it is not known.
    """
    import altair as alt

    stages = list(dict.fromkeys([each.source for each in found]))
    total = sum(each.value or 0.0 for each in found) or 1.0
    lefts = _stacked(found, stages, total, "source")
    rights = _stacked(found, list(dict.fromkeys(each.target for each in found)), total, "target")
    bands: list[dict[str, Any]] = []
    dots: list[dict[str, Any]] = []
    for number, each in enumerate(found):
        a, b = lefts.of[number], rights.of[number]
        for x, ease in _eased():
            low, high = (a[end] + (b[end] - a[end]) * ease for end in (0, 1))
            row = {"id": number, "x": x, "low": low, "high": high, "source": each.source}
            (dots if each.value is None else bands).append(row)
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.32, 1.32], nice=False))
    y = alt.Y("low:Q", axis=None, scale=alt.Scale(domain=[-0.09, max(lefts.height, rights.height) + 0.01],
                                                  reverse=True, nice=False), stack=None)  # fmt: skip
    colour = alt.Color("source:N", sort=stages, legend=None)
    layers = [
        alt.Chart(charts._values(dots)).mark_line(strokeDash=[2, 4], strokeWidth=1, opacity=0.5)
        .encode(x=x, y=y, color=colour, detail="id:N"),
        alt.Chart(charts._values(bands)).mark_area(opacity=0.5)
        .encode(x=x, y=y, y2="high:Q", color=colour, detail="id:N"),
    ]  # fmt: skip
    figures = [
        {"x": 0.5, "low": (sum(lefts.of[number]) + sum(rights.of[number])) / 4, "text": f"{each.value:,.0f}"}
        for number, each in enumerate(found) if each.value is not None
    ]  # fmt: skip
    layers.append(alt.Chart(charts._values(figures)).mark_text().encode(x=x, y=y, text="text:N"))
    for side, align, at in ((lefts, "right", -0.02), (rights, "left", 1.02)):
        rows = [{"x": at, "low": middle, "text": text} for text, middle in side.words]
        rows.append({"x": at, "low": -0.06, "text": before if align == "right" else after})
        layers.append(alt.Chart(charts._values(rows)).mark_text(align=align).encode(x=x, y=y, text="text:N"))
    return charts._finish(alt.layer(*layers), title, 380, False)


def tiles(title: str, found: Sequence[Tile], *, form: str = ",.0f", unit: str = "",
          ground: Sequence[tuple[int, int]] = ()) -> Picture:  # fmt: skip
    """A map of tiles, the darker the more; a tile that is withheld is grey and says so. ground: places to hint at."""
    import altair as alt

    highest = max((each.value for each in found if each.value is not None), default=1.0) or 1.0
    rows: list[dict[str, Any]] = [
        {"label": each.label, "x": each.column, "y": each.row, "x2": each.column + 0.95, "y2": each.row + 0.95,
         "value": each.value, "middle": each.column + 0.475, "upper": each.row + 0.36, "lower": each.row + 0.68,
         "text": "–" if each.value is None else format(each.value, form),
         "ink": "currentColor" if each.value is None else "#ffffff" if each.value > highest * 0.45 else "#10212f"}
        for each in found
    ]  # fmt: skip
    wide, high = (max([1.0, *(row[key] for row in rows), *(at[n] + 1.0 for at in ground)])
                  for n, key in enumerate(("x2", "y2")))  # fmt: skip
    across = alt.Scale(domain=[min([0, *(row["x"] for row in rows)]), max(wide, 12.0)], nice=False)
    down = alt.Scale(domain=[min([0, *(row["y"] for row in rows)]), high], reverse=True, nice=False)
    base = alt.Chart(charts._values(rows))
    hints = [{"x": x, "y": y, "x2": x + 0.95, "y2": y + 0.95} for x, y in ground]
    x, y = alt.X("x:Q", axis=None, scale=across), alt.Y("y:Q", axis=None, scale=down)
    scale = alt.Scale(range=[_PALE, _DEEP], domain=[0, highest])
    known = base.transform_filter("datum.value !== null").mark_rect(cornerRadius=4)
    legend = alt.Legend(title=unit or None, gradientLength=180, format=f"{form[:-1]}~{form[-1]}")
    layers = [
        alt.Chart(charts._values(hints)).mark_rect(cornerRadius=4, color=_GREY, opacity=0.07)
        .encode(x=x, x2="x2:Q", y=y, y2="y2:Q"),
        known.encode(x=x, x2="x2:Q", y=y, y2="y2:Q", color=alt.Color("value:Q", scale=scale, legend=legend)),
        base.transform_filter("datum.value === null").mark_rect(cornerRadius=4, color=_GREY, opacity=0.2)
        .encode(x=x, x2="x2:Q", y=y, y2="y2:Q"),
    ]  # fmt: skip
    for field, place, size in (("label", "upper", 11), ("text", "lower", 10)):
        mark = base.mark_text(fontSize=size, limit=_TILE)
        layers.append(mark.encode(x=alt.X("middle:Q", axis=None, scale=across), text=f"{field}:N",
                                  y=alt.Y(f"{place}:Q", axis=None, scale=down),
                                  color=alt.Color("ink:N", scale=None)))  # fmt: skip
    drawn = alt.layer(*layers).resolve_scale(color="independent")
    return charts._finish(drawn, title, max(1.0, high) * _TILE, False)


class _Side:
    """A side of a picture of flows: the stretch of every flow by its number, and the stages' words in their middles."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[float, float]] = {}
        self.words: list[tuple[str, float]] = []
        self.height = 0.0


def _stacked(found: Sequence[Flow], stages: Sequence[str], total: float, side: str) -> _Side:
    placed, at = _Side(), 0.0
    for stage in stages:
        began = at
        for number, each in enumerate(found):
            if getattr(each, side) == stage:
                width = max((each.value or 0.0) / total, 0.004)
                placed.of[number] = (at, at + width)
                at += width
        at = max(at, began + 0.04)
        placed.words.append((stage, (began + at) / 2))
        at += 0.035
    placed.height = at
    return placed


def _finish(chart: Any, title: str, height: float, width: int) -> Picture:
    """As `charts`, for pictures of another width."""
    import vl_convert

    charts._fonts()
    spec = chart.properties(width=width, height=height).to_dict()
    spec |= {"autosize": {"type": "fit-x", "contains": "padding"}, "title": {"text": title}}
    return Picture(title, vl_convert.vegalite_to_svg(spec, config=charts._CONFIG, allowed_base_urls=[]))


def _eased() -> Iterator[tuple[float, float]]:
    """Places from 0 to 1 with a curve that leaves and arrives level."""
    for number in range(25):
        x = number / 24
        yield x, x * x * (3 - 2 * x)


def _range_row(item: Range, form: str) -> dict[str, Any]:
    text = t("withheld") if item.value is None else format(item.value, form)
    at = 0.0 if item.value is None else item.value if item.high is None else max(item.high, item.value)
    low, high = (None, None) if item.value is None else (item.low, item.high)
    return {"label": item.label, "series": item.series, "value": item.value or 0, "low": low, "high": high, "at": at,
            "text": text}  # fmt: skip


def _between(item: Range) -> str:
    exact = item.low is None or item.high is None or item.low == item.high
    return f"{item.value:,.0f}" if exact else f"{item.low:,.0f} – {item.high:,.0f}"
