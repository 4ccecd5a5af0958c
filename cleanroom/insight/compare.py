"""Figures beside earlier ones: 环比 (the period before), 同比 (52 weeks before), trends over report dates.

Two boards are two releases with independent noise; their figures are compared by their intervals. A change that noise
alone explains is not called one.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cleanroom.insight import linear
from cleanroom.insight.linear import Value
from cleanroom.insight.metric import Metric, View, evaluate
from cleanroom.insight.themes.overview import TREND

YEAR = 364
"""Days of 同比: 52 weeks, so that weekdays fall on weekdays."""
NEAR = 3
"""Days by which the board of an earlier date may be older than asked; which one it is, is said."""

_PERIODS: Mapping[str, Callable[[dt.date], tuple[int, ...]]] = {
    "day": lambda day: (day.toordinal(),),
    "week": lambda day: day.isocalendar()[:2],
    "month": lambda day: (day.year, day.month),
}


@dataclass(frozen=True)
class Change:
    """A figure now and then; difference and growth (after / before - 1) with their 95 % intervals."""

    label: str
    after: Value
    before: Value
    difference: Value
    growth: Value

    @property
    def significant(self) -> bool | None:
        """Whether noise alone does not explain the difference; None without an interval."""
        low, high = self.difference.low, self.difference.high
        return None if low is None or high is None else not low <= 0 <= high


@dataclass(frozen=True)
class Point:
    """A figure of a trend: the report date, and whether a later board restated it."""

    day: dt.date
    value: Value
    restated: bool = False


def changes(metric: Metric, after: View, before: View) -> tuple[Change, ...]:
    """Every figure of a metric in two views, by its label; labels that only one has are left out."""
    new, old = evaluate(metric, after).values, evaluate(metric, before).values
    return tuple(
        Change(label, new[label], old[label], linear.difference(new[label], old[label]),
               linear.growth(new[label], old[label]))
        for label in new if label in old
    )  # fmt: skip


def then(day: dt.date, dates: Sequence[dt.date], back: int) -> dt.date | None:
    """The report date `back` days before `day`, or the nearest one up to three days older; None without."""
    wanted = day - dt.timedelta(days=back)
    fitting = [each for each in dates if wanted - dt.timedelta(days=NEAR) <= each <= wanted]
    return max(fitting, default=None)


def period_ends(dates: Sequence[dt.date], period: str) -> tuple[dt.date, ...]:
    """The report dates at which periods end: every day; the last of each week (from Monday); the last of each month."""
    last = {_PERIODS[period](day): day for day in sorted(dates)}
    return tuple(sorted(last.values()))


def trend(metric: Metric, views: Mapping[dt.date, View], period: str, restated: Sequence[dt.date]) -> tuple[Point, ...]:
    """A metric at each period's end, by the views there: persons once a period, since its window is as long."""
    found = []
    for day, each in sorted(views.items(), key=lambda item: item[0]):
        view = View(each.tables, TREND[period], each.exclude_import)
        value = evaluate(metric, view).value
        found.append(Point(day, value.marked("restated") if day in restated else value, day in restated))
    return tuple(found)
