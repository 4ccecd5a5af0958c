"""Pictures of a plan: bars, each with the whiskers of its interval. A withheld figure is drawn as withheld."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cleanroom.lang import t
from cleanroom.plan.comparing import Portrait
from cleanroom.plan.reading import Answer, source
from cleanroom.report import charts
from cleanroom.rooms.draft import OTHER, UNKNOWN

_ROW = 30
_ALIKE = 100.0
"""The TGI at which segment and base are alike."""


@dataclass(frozen=True)
class _Whiskered:
    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


def groups_drawn(title: str, found: Answer) -> charts.Picture:
    """People by group with their 95 % intervals."""
    items = []
    for group in found.groups:
        label = " · ".join(_label(each) for each in group.labels)
        if group.people is None or group.within is None:
            items.append(_Whiskered(label, group.people))
        else:
            low = max(0, group.people - group.within)
            items.append(_Whiskered(label, group.people, low, group.people + group.within))
    return _drawn(title, items, t("persons") + t(", ") + found.said())


def portrait_drawn(title: str, found: Portrait) -> charts.Picture:
    """TGI by value with its 95 % interval, and a line at 100, where segment and base are alike."""
    known = [each for each in found.indices if each.label != UNKNOWN]
    items = [_Whiskered(_label(each.label), each.tgi, each.low, each.high) for each in known]
    said = source(found.made, None, estimated=found.estimated)
    return _drawn(title, items, "TGI" + t(", ") + said, mark=_ALIKE)


def _drawn(title: str, items: Sequence[_Whiskered], unit: str, mark: float | None = None) -> charts.Picture:
    import altair as alt

    highest = max((each.high or each.value or 0.0 for each in items), default=0.0) or 1.0
    base = alt.Chart(charts._values([_row(each) for each in items])).encode(y=alt.Y("label:N", sort=None, title=None))
    axis = alt.Axis(format=",~f", tickCount=6)
    across = alt.X("value:Q", title=unit, axis=axis, scale=alt.Scale(domainMax=max(highest, mark or 0.0) * 1.15))
    drawn = base.mark_bar(cornerRadiusEnd=2, color=charts.BLUE).encode(x=across)
    whiskers = base.transform_filter("datum.low !== null").encode(x=alt.X("low:Q", title=unit), x2="high:Q")
    drawn = drawn + whiskers.mark_rule(strokeWidth=2, color=charts.ORANGE)
    drawn = drawn + base.mark_text(align="left", dx=6).encode(x=alt.X("end:Q", title=unit), text="text:N")
    if mark is not None:
        line = alt.Chart(charts._values([{"mark": mark}])).mark_rule(strokeDash=[4, 4], color=charts.VERMILION)
        drawn = drawn + line.encode(x=alt.X("mark:Q", title=unit))
    return charts._finish(drawn, title, max(2, len(items)) * _ROW, False)


def _row(each: _Whiskered) -> dict[str, Any]:
    if each.value is None:
        return {"label": each.label, "value": 0, "low": None, "high": None, "end": 0, "text": t("withheld")}
    text = f"{each.value:,.0f}"
    if each.low is not None and each.high is not None:
        text += f" ({each.low:,.0f} – {each.high:,.0f})"
    end = each.value if each.high is None else each.high
    return {"label": each.label, "value": each.value, "low": each.low, "high": each.high, "end": end, "text": text}


def _label(label: str) -> str:
    """Labels that are ours are translated; those of the data never are."""
    return t(label) if label in (OTHER, UNKNOWN) else label
