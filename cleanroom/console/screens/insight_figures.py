"""Metrics as a page shows them: each figure with its interval or the reason why there is none, its definition, and how
it stands beside a second board. Nothing is computed here that is not the registry's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cleanroom.console.pages import Sheet
from cleanroom.console.pages import Value as Plain
from cleanroom.console.pictures import Chart
from cleanroom.insight import compare
from cleanroom.insight.compare import Change
from cleanroom.insight.labels import CHINESE, said
from cleanroom.insight.linear import Value
from cleanroom.insight.metric import Found, Metric, View
from cleanroom.insight.registry import computed
from cleanroom.insight.rfm import NAMES
from cleanroom.lang import catalogue_text, current, t
from cleanroom.report.more_charts import Range, ranges

_TOO_FEW = "withheld: fewer than {least} persons"
_WIDTH = 520
"""Pixels of a picture of which two stand side by side."""


@dataclass(frozen=True)
class Figure:
    """One figure. text: None where it is withheld, then `reason`; hint: what it means; change, tone: beside a second
    board, "" without; sure: whether noise does not explain the change."""

    name: str
    label: str
    text: str | None
    interval: str
    reason: str
    hint: str
    change: str = ""
    tone: str = "flat"
    sure: bool | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """Metrics of a page that the board can tell, their changes by label, and the titles of those that it cannot."""

    found: tuple[Found, ...]
    changes: dict[str, dict[str, Change]]
    missing: tuple[Metric, ...]

    def one(self, name: str) -> Found | None:
        """A metric, where the board can tell it."""
        return next((each for each in self.found if each.metric.name == name), None)

    @property
    def single(self) -> tuple[Found, ...]:
        """Metrics of one figure."""
        return tuple(each for each in self.found if list(each.values) == [""])

    @property
    def series(self) -> tuple[Found, ...]:
        """Metrics of several."""
        return tuple(each for each in self.found if list(each.values) != [""])

    def figures(self, found: Iterable[Found]) -> list[Figure]:
        """As boxes of a page."""
        return [self.figure(each) for each in found]

    def figure(self, found: Found, label: str = "") -> Figure:
        """One of its figures."""
        value = found.values[label]
        change = self.changes.get(found.metric.name, {}).get(label)
        told = change is not None and value.value is not None
        text, tone, sure = changed(found.metric, change) if change and told else ("", "flat", None)
        return Figure(found.metric.name, titled(found) if not label else labelled(label, found.metric.name),
                      shown(value, found.metric.unit), interval(value, found.metric.unit),
                      noted(value), found.metric.text, text, tone, sure)  # fmt: skip


def measured(names: Iterable[str], view: View, before: View | None) -> Measured:
    """These metrics of a board, beside another's. Those whose columns it has not stand apart."""
    every = computed(view, names)
    there = tuple(each for each in every if each.values and not _without(each.metric, view))
    changes = {} if before is None else {
        each.metric.name: {one.label: one for one in compare.changes(each.metric, view, before)} for each in there
    }  # fmt: skip
    return Measured(there, changes, tuple(each.metric for each in every if each not in there))


def _without(metric: Metric, view: View) -> bool:
    tables = view.tables
    if metric.windows and view.window not in metric.windows:
        needed = metric.needed(min(metric.windows, key=lambda each: abs(each - view.window)))
    else:
        needed = metric.needed(view.window)
    return any(name not in tables.columns and name not in tables.sums for name in needed)


def labelled(label: str, metric: str = "") -> str:
    """A label in the current language: ours as words, those of the data as they are."""
    if label in NAMES and current() != "zh":
        return t(NAMES[label])
    text = said(label, metric)
    return " → ".join(part.replace("_", " ") if part in CHINESE else part for part in text.split(" → "))


def titled(found: Found) -> str:
    """A metric's name, with its window where it has one."""
    days = "" if found.window is None else " · " + t("{count} days", count=found.window)
    return found.metric.title + days


def number(value: float | None, unit: str) -> str | None:
    """A figure in its unit; None stays None."""
    if value is None:
        return None
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.2f}" if unit in ("money", "ratio") else f"{value:,.0f}"


def shown(value: Value, unit: str) -> str | None:
    """A figure in its unit; None where it is withheld, – where there is none for another reason."""
    if value.value is None and not value.reason.startswith(catalogue_text(_TOO_FEW).partition("{")[0]):
        return "–"
    return number(value.value, unit)


def interval(value: Value, unit: str) -> str:
    """Its 95 % interval; "" where it is exact or withheld."""
    if value.value is None or value.low is None or value.high is None or value.low == value.high:
        return ""
    return f"{number(value.low, unit)} – {number(value.high, unit)}"


def noted(value: Value) -> str:
    """Why there is no figure, or what is to be known of it."""
    if value.value is None:
        return value.reason
    return t(", ").join(said(mark) for mark in value.marks)


def changed(metric: Metric, change: Change) -> tuple[str, str, bool | None]:
    """(in words, tone, whether noise does not explain it) of a change: shares in points, others in percent."""
    found = change.difference if metric.unit == "share" else change.growth
    if found.value is None:
        return t("before: {reason}", reason=change.before.reason or found.reason), "flat", None
    unit = t(" points") if metric.unit == "share" else " %"
    low, high = found.low, found.high
    between = "" if low is None or high is None or low == high else f" ({100 * low:+.1f} – {100 * high:+.1f})"
    text = f"{100 * found.value:+.1f}{unit}{between}"
    if change.significant is False:
        return t("{change}, no significant difference", change=text), "flat", False
    better = found.value > 0 if metric.better == "high" else found.value < 0
    tone = "flat" if not metric.better or found.value == 0 else "up" if better else "down"
    return text, tone, change.significant


# -- tables and charts


def sheet(measured_: Measured, title: str) -> Sheet:
    """All figures of a page for a spreadsheet."""
    rows = [row for each in measured_.found for row in rows_of(each, measured_)]
    return Sheet(title, columns_of(bool(measured_.changes), first=True), rows)


def columns_of(compared: bool, *, first: bool = False) -> list[str]:
    """Titles of a table of figures."""
    more = [t("change"), t("significant")] if compared else []
    head = [t("metric"), t("label")] if first else [t("label")]
    return [*head, t("value"), t("low"), t("high"), *more, t("remark")]


def rows_of(found: Found, measured_: Measured, *, first: bool = True) -> list[list[Plain]]:
    """Its figures, a label a row; values as numbers, None where withheld."""
    rows: list[list[Plain]] = []
    own = measured_.changes.get(found.metric.name, {})
    for label, value in found.values.items():
        head: list[Plain] = [titled(found)] if first else []
        row: list[Plain] = [*head, labelled(label, found.metric.name), value.value, value.low, value.high]
        if value.value is None:
            row = [*head, labelled(label, found.metric.name), None, "", ""]
        if measured_.changes:
            text, _, sure = changed(found.metric, own[label]) if label in own else ("", "", None)
            row += [text, "" if sure is None else t("yes") if sure else t("no")]
        rows.append([*row, noted(value)])
    return rows


def bars(found: Found, measured_: Measured, named: Sequence[str] = ()) -> Chart:
    """Its figures as bars with whiskers, beside those of the second board. named: labels that are left out."""
    unit = found.metric.unit
    items = [_range(label, value, found, t("now") if measured_.changes else "")
             for label, value in found.values.items() if label not in named]  # fmt: skip
    for label, change in measured_.changes.get(found.metric.name, {}).items():
        items += [_range(label, change.before, found, t("before"))] if label not in named else []
    title, form = titled(found), ".1%" if unit == "share" else ",.0f"
    return Chart(found.metric.name, title, columns_of(bool(measured_.changes)), rows_of(found, measured_, first=False),
                 lambda: ranges(title, items, unit="" if unit == "share" else labelled(unit), form=form, width=_WIDTH),
                 found.metric.text)  # fmt: skip


def _range(label: str, value: Value, found: Found, series: str) -> Range:
    return Range(labelled(label, found.metric.name), value.value, value.low, value.high, series)
