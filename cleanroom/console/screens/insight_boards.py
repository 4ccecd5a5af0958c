"""Boards that were opened before: a release never changes, so it is unsealed once, however often it is looked at."""

import datetime as dt
import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.insight import compare
from cleanroom.insight.board_store import Boards
from cleanroom.insight.boards_read import Reading
from cleanroom.insight.compare import Point
from cleanroom.insight.metric import Metric, View
from cleanroom.insight.registry import REGISTRY, metric
from cleanroom.insight.tables import IMPORTED, Tables
from cleanroom.insight.themes.overview import TREND

MOST_KEPT = 128
SEVERAL = ("stages", "stage_shares", "funnel", "funnel_rates")
"""Metrics with a window that are no single figure."""


def boards_of(read: Reading, days: Iterable[dt.date]) -> Mapping[dt.date, Tables]:
    """The boards of these report dates. Raises UsageError where there is none."""
    names: dict[dt.date, list[str]] = {}
    for each in Boards(read.home).list(read.name, read.dataset):
        names.setdefault(each.report_date, []).append(each.name)
    return {day: _board(_Held(read.home), read.name, read.dataset, day, tuple(names.get(day, ()))) for day in days}


def board_of(read: Reading, day: dt.date) -> Tables:
    """One of them."""
    return boards_of(read, (day,))[day]


def fitting(period: str) -> list[tuple[str, str]]:
    """The metrics that have a trend by that period: (name, title)."""
    return [(each.name, each.title) for each in REGISTRY.values() if _fits(each, period)]


def trend(read: Reading, name: str, period: str, last: int, *, exclude_import: bool) -> tuple[Point, ...]:
    """A metric at every period's end, persons once a period. Raises UsageError for one that has no such window."""
    chosen = metric(name)
    if not _fits(chosen, period):
        raise UsageError("{metric} has no trend by {period}.", "Take one of {metrics}.", metric=name, period=period,
                         metrics=", ".join(each for each, _ in fitting("day")))  # fmt: skip
    ends = compare.period_ends([day for day in read.days if day <= read.day], period)[-max(1, last) :]
    views = {
        day: View(tables, TREND[period], exclude_import and IMPORTED in tables.columns)
        for day, tables in boards_of(read, ends).items()
    }
    return compare.trend(chosen, views, period, read.restated)


def looked_at(view: View, tables: Tables, *, exclude_import: bool) -> View:
    """The same view of another board."""
    return replace(view, tables=tables, exclude_import=exclude_import and IMPORTED in tables.columns)


def _fits(each: Metric, period: str) -> bool:
    return period in TREND and TREND[period] in each.windows and each.name not in SEVERAL


class _Held:
    """A home as a key: by its place."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.home.path == self.home.path

    def __hash__(self) -> int:
        return hash(self.home.path)


@functools.lru_cache(MOST_KEPT)
def _board(held: _Held, room: str, dataset: str, day: dt.date, names: tuple[str, ...]) -> Tables:
    """names: of the boards of that day, so that a new one is seen."""
    return Boards(held.home).load(room, dataset, day)
