"""Pictures of released or own figures, as SVG and PNG, drawn on this machine by Altair and vl-convert.

Nothing may be fetched here, and no figure may be drawn that the caller was not given: a withheld cell is drawn as
withheld, never as zero. Text is `currentColor`, so that a picture inside a page follows its light or dark scheme.
Colours are Okabe and Ito's (Color Universal Design, 2008), which the colour-blind can tell apart.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any

from cleanroom.lang import t
from cleanroom.report.webfont import FAMILY

WIDTH = 720
"""Pixels of every picture, axes and labels included."""
FONTS = f"{FAMILY}, PingFang SC, Microsoft YaHei, Noto Sans CJK SC, sans-serif"
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
_GREY = "#8a8f98"
_PALE, _DEEP = "#dcebf6", "#08457a"
_ROW = 30

_AXIS = {
    "labelColor": "currentColor",
    "titleColor": "currentColor",
    "titleFontWeight": "normal",
    "labelFontSize": 12,
    "titleFontSize": 12,
    "gridColor": _GREY,
    "gridOpacity": 0.25,
    "domainColor": _GREY,
    "tickColor": _GREY,
    "labelLimit": 240,
}
_CONFIG: dict[str, Any] = {
    "font": FONTS,
    "background": None,
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12,
        "orient": "bottom",
        "title": None,
    },
    "title": {
        "color": "currentColor",
        "subtitleColor": _GREY,
        "fontSize": 15,
        "subtitleFontSize": 12,
        "fontWeight": "normal",
        "anchor": "start",
        "frame": "bounds",
        "offset": 14,
    },
    "text": {"color": "currentColor", "fontSize": 12},
    "range": {"category": list(PALETTE)},
}


@dataclass(frozen=True)
class Picture:
    """A finished drawing: its title (for readers who cannot see it) and its SVG."""

    title: str
    svg: str

    def png(self, scale: float = 2.0) -> bytes:
        """The same on white, `scale` device pixels a pixel."""
        import vl_convert

        _fonts()
        opening = self.svg.index(">") + 1
        white = '<rect width="100%" height="100%" fill="white"/>'
        png: bytes = vl_convert.svg_to_png(self.svg[:opening] + white + self.svg[opening:], scale=scale)
        return png


@dataclass(frozen=True)
class Bar:
    """One bar: `value` None is a withheld figure; `series` sets bars of one label side by side."""

    label: str
    value: float | None
    series: str = ""


@dataclass(frozen=True)
class Cell:
    """One field of a heat table; `value` None is a withheld figure, a field left out is drawn empty."""

    row: str
    column: str
    value: float | None


@dataclass(frozen=True)
class Point:
    """One point of a line; `low` and `high` are its band, where it has one."""

    when: date
    value: float
    series: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Size:
    """A number of people as it may be shown: from `low` to `high`, both included; both None: withheld."""

    label: str
    low: int | None
    high: int | None

    @property
    def text(self) -> str:
        """The range in figures, one figure where it is exact, or 'withheld'."""
        if self.low is None or self.high is None:
            return t("withheld")
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,} – {self.high:,}"

    @property
    def middle(self) -> float:
        """The middle of the range; 0 where withheld."""
        return 0.0 if self.low is None or self.high is None else (self.low + self.high) / 2


def bars(title: str, items: Sequence[Bar], *, unit: str = "", noise_off: bool = False, form: str = ",.0f") -> Picture:
    """Horizontal bars, in the order given; `unit` names what they measure, `form` is a format of Python's and d3's."""
    import altair as alt

    series = list(dict.fromkeys(item.series for item in items))
    rows = [_bar_row(item, form) for item in items]
    place: dict[str, Any] = {"y": alt.Y("label:N", sort=None, title=None)}
    if len(series) > 1:
        place["yOffset"] = alt.YOffset("series:N", sort=series)
    colour = alt.Color("series:N", sort=series, legend=alt.Legend() if len(series) > 1 else None)
    base = alt.Chart(_values(rows)).encode(**place)
    highest = max((item.value for item in items if item.value is not None), default=0.0) or 1.0
    across = alt.X(
        "value:Q",
        title=unit or None,
        axis=alt.Axis(format=f"{form[:-1]}~{form[-1]}", tickCount=6),  # ~: no zeros after the point
        scale=alt.Scale(domainMax=highest * 1.12),  # room for the last bar's figure
    )
    drawn = base.mark_bar(cornerRadiusEnd=2).encode(x=across, color=colour)
    texts = base.mark_text(align="left", dx=5).encode(x=across, text="text:N")
    height = max(2, len(rows)) * (_ROW if len(series) == 1 else _ROW * 0.75)
    return _finish(drawn + texts, title, height, noise_off)


def heat(
    title: str,
    cells: Sequence[Cell],
    *,
    rows: str = "",
    columns: str = "",
    noise_off: bool = False,
    form: str = ",.0f",
) -> Picture:
    """A table of two dimensions whose fields are coloured by their value; withheld fields are grey and say so."""
    import altair as alt

    highest = max((cell.value for cell in cells if cell.value is not None), default=1.0)
    data = [
        {
            "row": cell.row,
            "column": cell.column,
            "value": cell.value,
            "text": t("withheld") if cell.value is None else format(cell.value, form),
            "ink": "currentColor" if cell.value is None else "#ffffff" if cell.value > highest * 0.45 else "#10212f",
        }
        for cell in cells
    ]
    base = alt.Chart(_values(data)).encode(
        x=alt.X("column:N", sort=None, title=columns or None, axis=alt.Axis(labelAngle=0, orient="top", grid=False)),
        y=alt.Y("row:N", sort=None, title=rows or None, axis=alt.Axis(grid=False)),
    )
    scale = alt.Scale(range=[_PALE, _DEEP], domain=[0, highest or 1.0])
    known = base.transform_filter("datum.value !== null").mark_rect(cornerRadius=2)
    withheld = base.transform_filter("datum.value === null").mark_rect(cornerRadius=2, color=_GREY, opacity=0.25)
    texts = base.mark_text(fontSize=11).encode(text="text:N", color=alt.Color("ink:N", scale=None))
    drawn = known.encode(color=alt.Color("value:Q", scale=scale, legend=None)) + withheld + texts
    drawn = drawn.resolve_scale(color="independent")
    return _finish(drawn, title, len({cell.row for cell in cells}) * _ROW, noise_off)


def line(
    title: str,
    points: Sequence[Point],
    *,
    unit: str = "",
    split: tuple[date, str] | None = None,
    noise_off: bool = False,
) -> Picture:
    """Lines over time, a band where points have one, and a marked day (`split`: the day and its words)."""
    import altair as alt

    series = list(dict.fromkeys(point.series for point in points))
    data = [
        {
            "when": point.when.isoformat(),
            "value": point.value,
            "series": point.series,
            "low": point.low,
            "high": point.high,
        }
        for point in points
    ]
    base = alt.Chart(_values(data)).encode(x=alt.X("when:T", title=None, axis=alt.Axis(format="%Y-%m", grid=False)))
    colour = alt.Color(
        "series:N", sort=series, legend=alt.Legend(symbolType="stroke", symbolOpacity=1, symbolStrokeWidth=3)
    )
    value = alt.Y("value:Q", title=unit or None, axis=alt.Axis(format=",.0f", tickCount=6))
    drawn = base.mark_line(strokeWidth=2).encode(y=value, color=colour)
    if any(point.low is not None for point in points):
        band = base.transform_filter("datum.low !== null").mark_area(opacity=0.18)
        drawn = band.encode(y=alt.Y("low:Q", title=unit or None), y2="high:Q", color=colour) + drawn
    if split is not None:
        mark = alt.Chart(_values([{"when": split[0].isoformat(), "text": split[1]}])).encode(x="when:T")
        drawn = drawn + mark.mark_rule(strokeDash=[4, 4], color=_GREY)
        drawn = drawn + mark.mark_text(align="left", dx=6, y=8).encode(text="text:N")
    return _finish(drawn, title, 240, noise_off)


def funnel(title: str, steps: Sequence[tuple[str, int]], *, noise_off: bool = False) -> Picture:
    """Steps that each keep a part of the one before, centred, with the share of the first."""
    import altair as alt

    first = max(1, steps[0][1] if steps else 1)
    data = [
        {"step": label, "left": -count / 2, "right": count / 2, "text": f"{count:,}  ({count / first:.1%})"}
        for label, count in steps
    ]
    hidden = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    base = alt.Chart(_values(data)).encode(
        y=alt.Y("step:N", sort=None, title=None, axis=alt.Axis(domain=False, ticks=False))
    )
    scale = alt.Scale(domain=[-first / 2, first * 0.85])
    drawn = base.mark_bar(cornerRadius=2).encode(
        x=alt.X("left:Q", title=None, axis=hidden, scale=scale),
        x2="right:Q",
        color=alt.value(BLUE),
    )
    texts = base.mark_text(align="left").encode(x=alt.X(datum=first * 0.53, type="quantitative"), text="text:N")
    return _finish(drawn + texts, title, len(steps) * (_ROW + 4), noise_off)


def overlap(title: str, left: Size, right: Size, both: Size, *, noise_off: bool = False) -> Picture:
    """Two circles whose areas, and whose shared area, are as the middles of the given ranges.

    A withheld overlap is drawn as two circles apart with the word between them, so that the picture tells nothing.
    """
    import altair as alt

    largest = max(left.middle, right.middle, 1.0)
    radii = [78 * math.sqrt(max(size.middle, largest * 0.01) / largest) for size in (left, right)]
    apart = radii[0] + radii[1] + 70
    share = both.middle / largest * math.pi * 78**2
    distance = apart if both.low is None else _distance(radii[0], radii[1], share)
    middle = WIDTH / 2 - 20
    centres = [middle - distance / 2, middle + distance / 2]
    inner = (centres[0] + radii[0] + centres[1] - radii[1]) / 2
    across = alt.Scale(domain=[0, WIDTH - 40], nice=False)
    circles = [
        {"x": x, "y": 95, "area": math.pi * r * r, "label": size.label}
        for x, r, size in zip(centres, radii, (left, right), strict=True)
    ]
    x, y = alt.X("x:Q", axis=None, scale=across), alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 190], nice=False))
    drawn = (
        alt.Chart(_values(circles))
        .mark_circle(opacity=0.55)
        .encode(
            x=x,
            y=y,
            size=alt.Size("area:Q", scale=None),
            color=alt.Color("label:N", sort=None, legend=None, scale=alt.Scale(range=[BLUE, ORANGE])),
        )
    )
    outer = [centres[0] - radii[0] - 14, centres[1] + radii[1] + 14]
    words = _words(outer[0], "right", left) + _words(outer[1], "left", right) + _words(inner, "center", both)
    texts = [
        alt.Chart(_values([word])).mark_text(align=word["align"], fontSize=word["size"]).encode(x=x, y=y, text="text:N")
        for word in words
    ]
    return _finish(alt.layer(drawn, *texts), title, 190, noise_off)


def _words(x: float, align: str, size: Size) -> list[dict[str, Any]]:
    lines = ((size.text, 108, 15), (size.label, 86, 12))
    return [{"x": x, "y": y, "text": text, "size": points, "align": align} for text, y, points in lines]


def _distance(left: float, right: float, area: float) -> float:
    """The distance of two circles' centres at which they share `area` (by bisection: it falls as they part)."""
    low, high = abs(left - right), left + right
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _lens(left, right, middle) > area else (low, middle)
    return high


def _lens(left: float, right: float, distance: float) -> float:
    """The area that two circles share (Weisstein, 'Circle-Circle Intersection', MathWorld, equation 14)."""
    if distance <= abs(left - right):
        return math.pi * min(left, right) ** 2
    if distance >= left + right:
        return 0.0
    first = (distance**2 + left**2 - right**2) / (2 * distance * left)
    second = (distance**2 + right**2 - left**2) / (2 * distance * right)
    kite = (left + right - distance) * (distance + left - right) * (distance - left + right) * (distance + left + right)
    return left**2 * math.acos(first) + right**2 * math.acos(second) - math.sqrt(max(kite, 0.0)) / 2


def _bar_row(item: Bar, form: str) -> dict[str, Any]:
    withheld = item.value is None
    text = t("withheld") if item.value is None else format(item.value, form)
    return {"label": item.label, "series": item.series, "value": 0 if withheld else item.value, "text": text}


def _values(rows: Sequence[Mapping[str, Any]]) -> Any:
    import altair as alt

    return alt.Data(values=list(rows))


def _finish(chart: Any, title: str, height: float, noise_off: bool) -> Picture:
    import vl_convert

    _fonts()
    spec = chart.properties(width=WIDTH, height=height).to_dict()
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["title"] = {"text": title, **({"subtitle": t("noise off")} if noise_off else {})}
    return Picture(title, vl_convert.vegalite_to_svg(spec, config=_CONFIG, allowed_base_urls=[]))


@functools.cache
def _fonts() -> None:
    """Tell vl-convert of our Chinese font, once a process: it looks at no other folder of ours."""
    import vl_convert

    with resources.as_file(resources.files(__package__) / "fonts") as folder:
        vl_convert.register_font_directory(str(folder.resolve()))
