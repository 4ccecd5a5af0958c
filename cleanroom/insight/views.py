"""What `cleanroom insight` shows, as plain values for `--json`, tables and pictures: read, never released here."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.insight import compare, pictures
from cleanroom.insight.boards_read import Reading, reading
from cleanroom.insight.care import BESIDE, DIMENSIONS, EIGHT, PLAYBOOKS, diagnose
from cleanroom.insight.linear import Value
from cleanroom.insight.metric import Found, evaluate
from cleanroom.insight.registry import REGISTRY, THEMES, check_window, computed, metric, of_theme
from cleanroom.insight.themes.overview import TREND
from cleanroom.lang import current

Plain = dict[str, Any]
PAGES: Mapping[str, tuple[str, ...]] = {
    "overview": of_theme("overview"),
    "composition": of_theme("composition"),
    "behaviour": of_theme("behaviour"),
    "funnel": of_theme("funnel"),
    "flow": of_theme("flow"),
    "retention": (*of_theme("retention"), *of_theme("worth")),
}
"""Commands that show a set of metrics, and which."""
COMPARED = ("total_users", "new_users", "visitors", "interactors", "payers", "new_payers", "payers_share",
            "reachable", *(name for name in EIGHT.values() if name != "identifiable"))  # fmt: skip


def page(path: Path, room: str, name: str, *, window: int = 30, chart: Path | None = None,
         exclude_import: bool = False, date: str = "", dataset: str = "") -> Plain:  # fmt: skip
    """The metrics of one of PAGES. chart: where a picture goes, as SVG. Raises as `boards_read.reading`."""
    read = reading(path, room, dataset=dataset, date=date)
    view = read.view(window=check_window(window), exclude_import=exclude_import)
    found = computed(view, PAGES[name])
    _draw(chart, lambda: pictures.of_page(name, found))
    return {**_head(read, exclude_import), "page": name, "metrics": [_metric(each) for each in found]}


def flow(path: Path, room: str, *, since: str = "", chart: Path | None = None, exclude_import: bool = False,
         date: str = "", dataset: str = "") -> Plain:  # fmt: skip
    """The flow between stages between two dates, 30 days apart: a board knows each person's stage at these two."""
    found = page(path, room, "flow", chart=chart, exclude_import=exclude_import, date=date, dataset=dataset)
    first = dt.date.fromisoformat(found["day"]) - dt.timedelta(days=30)
    if since and since.replace("-", "") != f"{first:%Y%m%d}":
        raise UsageError("The flow up to {day} begins 30 days before, on {first}.", "Leave --since out.",
                         day=found["report_date"], first=f"{first:%Y%m%d}")  # fmt: skip
    return {**found, "between": [f"{first:%Y%m%d}", found["report_date"]]}


def care(path: Path, room: str, *, window: int = 30, diagnosed: bool = False, chart: Path | None = None,
         exclude_import: bool = False, date: str = "", dataset: str = "") -> Plain:  # fmt: skip
    """The eight values of C-CARE by dimension, what stands beside them, and the diagnosis where it is wanted."""
    read = reading(path, room, dataset=dataset, date=date)
    view = read.view(window=check_window(window), exclude_import=exclude_import)
    by_name = {name: evaluate(REGISTRY[each], view) for name, each in EIGHT.items()}
    eight = [
        {"dimension": dimension, "name": name, **_metric(by_name[name])}
        for dimension, names in DIMENSIONS.items()
        for name in names
    ]
    _draw(chart, lambda: pictures.of_care(by_name))
    result = {
        **_head(read, exclude_import),
        "eight": eight,
        "beside": [_metric(each) for each in computed(view, BESIDE)],
    }
    return {**result, "diagnosis": _diagnosis(read, window, exclude_import)} if diagnosed else result


def trend(path: Path, room: str, *, name: str = "visitors", period: str = "day", last: int = 31,
          chart: Path | None = None, exclude_import: bool = False, date: str = "",
          dataset: str = "") -> Plain:  # fmt: skip
    """A metric at every period's end, persons de-duplicated within the period. last: how many periods.

    Raises UsageError for a metric that has no window of that length, or several figures.
    """
    read = reading(path, room, dataset=dataset, date=date)
    chosen = metric(name)
    if period not in TREND or TREND[period] not in chosen.windows or chosen.name in _SEVERAL:
        fitting = [each.name for each in REGISTRY.values() if 1 in each.windows and each.name not in _SEVERAL]
        raise UsageError("{metric} has no trend by {period}.", "Take one of {metrics}.", metric=name, period=period,
                         metrics=", ".join(fitting))  # fmt: skip
    ends = compare.period_ends([day for day in read.days if day <= read.day], period)[-max(1, last) :]
    points = compare.trend(chosen, read.views(ends, exclude_import=exclude_import), period, read.restated)
    _draw(chart, lambda: pictures.of_trend(chosen, points))
    shown = [{"date": f"{each.day:%Y%m%d}", **_value(each.value)} for each in points]
    return {**_head(read, exclude_import), "metric": name, "title": chosen.title, "unit": chosen.unit, "period": period,
            "points": shown}  # fmt: skip


_SEVERAL = ("stages", "stage_shares", "funnel", "funnel_rates")
"""Metrics with a window that are no single figure."""


def compared(path: Path, room: str, *, names: Sequence[str] = (), window: int = 30, chart: Path | None = None,
             exclude_import: bool = False, date: str = "", dataset: str = "") -> Plain:  # fmt: skip
    """Metrics beside those of the period before (环比) and of 52 weeks before (同比), as far as there are boards."""
    read = reading(path, room, dataset=dataset, date=date)
    after = read.view(window=check_window(window), exclude_import=exclude_import)
    sides: Plain = {}
    drawn: list[tuple[str, list[tuple[str, tuple[compare.Change, ...]]]]] = []
    for against, back in (("previous", window), ("year", compare.YEAR)):
        day = compare.then(read.day, read.days, back)
        if day is None:
            sides[against] = {"report_date": None, "changes": []}
            continue
        before = read.view(window=window, exclude_import=exclude_import, day=day)
        found = [(each, compare.changes(metric(each), after, before)) for each in names or COMPARED]
        drawn.append((against, found))
        rows = [_change(name, change) for name, changes in found for change in changes]
        sides[against] = {"report_date": f"{day:%Y%m%d}", "changes": rows}
    _draw(chart, lambda: pictures.of_changes(drawn))
    return {**_head(read, exclude_import), "window": window, **sides}


def listed() -> Plain:
    """The whole registry."""
    rows = [
        {"name": each.name, "theme": each.theme, "theme_title": THEMES[each.theme][current() == "zh"], "en": each.en,
         "zh": each.zh, "definition": each.definition, "definition_zh": each.definition_zh, "base": each.base,
         "base_zh": each.base_zh, "unit": each.unit, "windows": list(each.windows), "needs": list(each.needs)}
        for each in REGISTRY.values()
    ]  # fmt: skip
    return {"metrics": rows}


def _head(read: Reading, exclude_import: bool) -> Plain:
    tables = read.tables()
    return {
        "room": read.name, "dataset": read.dataset, "report_date": f"{read.day:%Y%m%d}", "day": read.day.isoformat(),
        "exact": read.exact, "sigma": tables.sigma, "least": tables.least, "made": tables.made,
        "receipt": "" if read.exact else tables.receipt, "restated": read.day in read.restated,
        "exclude_import": exclude_import,
    }  # fmt: skip


def _metric(found: Found) -> Plain:
    each = found.metric
    values = [{"label": label, **_value(value)} for label, value in found.values.items()]
    return {"metric": each.name, "title": each.title, "unit": each.unit, "window": found.window, "text": each.text,
            "values": values}  # fmt: skip


def _value(value: Value) -> Plain:
    return {**asdict(value), "marks": list(value.marks)}


def _change(name: str, change: compare.Change) -> Plain:
    return {
        "metric": name, "title": REGISTRY[name].title, "unit": REGISTRY[name].unit, "label": change.label,
        "after": _value(change.after), "before": _value(change.before), "difference": _value(change.difference),
        "growth": _value(change.growth), "significant": change.significant,
    }  # fmt: skip


def _diagnosis(read: Reading, window: int, exclude_import: bool) -> Plain:
    day = compare.then(read.day, read.days, 30)
    before = read.view(window=window, exclude_import=exclude_import, day=day) if day else None
    found = diagnose(read.view(window=window, exclude_import=exclude_import), before)
    judged = [
        {"name": each.name, "reference": each.reference, "against": each.against, "score": each.score,
         "sure": each.sure, **_value(each.value)}
        for each in found.judged
    ]  # fmt: skip
    name = PLAYBOOKS[found.playbook] if found.playbook else ("", "")
    return {"weakest": found.weakest, "playbook": found.playbook, "playbook_zh": name[1], "playbook_en": name[0],
            "text": found.text, "before": f"{day:%Y%m%d}" if day else None, "judged": judged}  # fmt: skip


def _draw(chart: Path | None, picture: Any) -> None:
    if chart is not None:
        write_bytes(chart, picture().svg.encode())
