"""What a metric is, and how it is computed of tables: the form in which every figure of the product is defined once.

A formula sees counts and sums only. Where a column is missing or a population is too small, it gives no figure but the
reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from cleanroom.insight import linear
from cleanroom.insight.linear import Absent, Linear, Value
from cleanroom.insight.tables import IMPORTED, WINDOWS, Tables
from cleanroom.lang import current, t

Unit = Literal["persons", "share", "money", "orders", "points", "minutes", "ratio"]
Theme = Literal["overview", "composition", "behaviour", "funnel", "flow", "care", "retention", "worth"]
Series = Mapping[str, Value]

THIRTY = (30,)
ALL_WINDOWS = (1, 7, 30, 90)
NOW: tuple[int, ...] = ()
RECENT = {1: ("1 day",), 7: ("1 day", "2-7 days"), 30: ("1 day", "2-7 days", "8-30 days"),
          90: ("1 day", "2-7 days", "8-30 days", "31-90 days")}  # fmt: skip
"""The recency cells of a window: those who were last seen within it, each once."""
NEVER = "never"
NOT_KNOWN = ("unknown", "other")


@dataclass(frozen=True)
class Spent:
    """What the merchant paid in a window, in major units. margin: of the revenue, 0 to 1; None: not entered."""

    cost: float
    attributed: float | None = None
    incremental: float | None = None
    margin: float | None = None


@dataclass(frozen=True, eq=False)
class View:
    """Tables and how they are looked at. window: days; exclude_import: without persons known only by upload.

    matched: persons in the match; crm: valid distinct persons in the merchant's dataset; spent: in the last 30 days.
    """

    tables: Tables
    window: int = 30
    exclude_import: bool = False
    matched: Linear | None = None
    crm: int | None = None
    spent: Spent | None = None

    def count(self, **where: tuple[str, ...]) -> Linear:
        """Persons with any of these labels in each column. Raises Absent."""
        if self.exclude_import and IMPORTED not in where:
            labels = self.tables.columns.get(IMPORTED, ())
            where = {**where, IMPORTED: tuple(label for label in labels if label != "yes")}
        return linear.count(self.tables, where)

    def persons(self, **where: tuple[str, ...]) -> Value:
        """The same as it may be shown."""
        return linear.persons(self.tables, self.count(**where))

    def share(self, part: Linear, base: Linear) -> Value:
        """A share of a population."""
        return linear.share(self.tables, part, base)

    def total(self, amount: str) -> Linear:
        """The sum of an amount, of everybody: sums are not kept without uploads. Raises Absent."""
        return linear.total_of(self.tables, amount)

    def labels(self, column: str, without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A column's labels, but those. Raises Absent."""
        if column not in self.tables.columns:
            raise Absent([column])
        return tuple(label for label in self.tables.columns[column] if label not in without)

    @property
    def stage(self) -> str:
        """The column of stages in this window."""
        return f"stage_{WINDOWS[self.window]}"


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric: names, what it means, over which windows (days; none: at the report date), of which base, its unit.

    needs: columns of the tables ({w}: 1d, 7d, 30d or 90d). formula: one figure, or figures by label.
    better: whether more of it is better, where one can say so.
    """

    name: str
    theme: Theme
    en: str
    zh: str
    definition: str
    definition_zh: str
    base: str
    base_zh: str
    unit: Unit
    needs: tuple[str, ...]
    formula: Callable[[View], Value | Series]
    windows: tuple[int, ...] = NOW
    better: Literal["high", "low", ""] = "high"

    @property
    def title(self) -> str:
        """Its name in the current language."""
        return self.zh if current() == "zh" else self.en

    @property
    def text(self) -> str:
        """Its definition in the current language."""
        return self.definition_zh if current() == "zh" else self.definition

    def needed(self, window: int) -> tuple[str, ...]:
        """The columns that it needs for a window."""
        return tuple(name.replace("{w}", WINDOWS[window]) for name in self.needs)


@dataclass(frozen=True)
class Found:
    """A metric's figures: one under the label '', or one a label. window: None where it has none."""

    metric: Metric = field(repr=False)
    window: int | None
    values: Series

    @property
    def value(self) -> Value:
        """The only figure. Raises KeyError for a metric of several."""
        return self.values[""]


def evaluate(metric: Metric, view: View) -> Found:
    """The metric of the view; in its own window where it has only one."""
    windows = metric.windows
    if windows and view.window not in windows:
        view = replace(view, window=min(windows, key=lambda each: abs(each - view.window)))
    window = view.window if windows else None
    missing = [name for name in metric.needed(view.window) if not _there(view.tables, name)]
    try:
        if missing:
            raise Absent(missing)
        result = metric.formula(view)
    except Absent as absent:
        result = Value(None, reason=t("missing: {columns}", columns=", ".join(absent.columns)))
    return Found(metric, window, {"": result} if isinstance(result, Value) else result)


def _there(tables: Tables, name: str) -> bool:
    return name in tables.columns or name in tables.sums
