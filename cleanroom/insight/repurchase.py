"""Repurchases to expect, and how far to trust them: the model is fitted to the first half of the time and tested on
the second, which it has not seen, beside a naive forecast. A forecast is never given without that test.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cleanroom.insight.bgnbd import Floats, History, Model, fit

if TYPE_CHECKING:
    import duckdb

Ints = NDArray[np.int64]
_LEAST_PEOPLE, _LEAST_REPEATS, _LEAST_DAYS = 200, 50, 84
_Z90 = 1.645


@dataclass(frozen=True)
class Decile:
    """A tenth of the customers, by forecast from the highest down: purchases forecast and made."""

    people: int
    predicted: float
    actual: int


@dataclass(frozen=True)
class Week:
    """Repeat purchases in the week that begins on `start`: made, and expected, with a 90 % band (second half only)."""

    start: date
    actual: int
    expected: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Backtest:
    """The test on the second half of the time, for customers whose first purchase fell into the first half.

    cut: last day of the first half; naive: each customer buys as often as in the equally long time before the cut
    (first purchases not counted); the errors are mean absolute errors a customer; weeks_inside: share of the second
    half's weeks whose purchases lie in the band.
    """

    cut: date
    days: int
    people: int
    actual: int
    predicted: float
    actual_buyers: int
    predicted_buyers: float
    naive: int
    error: float
    naive_error: float
    deciles: tuple[Decile, ...]
    weeks: tuple[Week, ...]
    weeks_inside: float

    @property
    def bias(self) -> float:
        """Predicted / actual − 1."""
        return self.predicted / self.actual - 1 if self.actual else float(self.predicted > 0)

    @property
    def beats_naive(self) -> bool:
        """Whether the model is nearer than the naive forecast, in total and by customer."""
        return abs(self.predicted - self.actual) <= abs(self.naive - self.actual) and self.error <= self.naive_error


@dataclass(frozen=True)
class ClassForecast:
    """What a class of payers will do in the horizon: purchases to expect, and how many of them will buy at all."""

    key: str
    people: int
    purchases: float
    buyers: float


@dataclass(frozen=True)
class Forecast:
    """For the next `days`; the model fitted to all the data, the test made with one fitted to the first half."""

    days: int
    purchases: float
    classes: tuple[ClassForecast, ...]
    model: Model
    backtest: Backtest


@dataclass(frozen=True)
class _People:
    """All customers seen up to a day: class index, repeats, recency and age in days, purchases before and after."""

    groups: Ints
    repeats: Ints
    recency: Ints
    age: Ints
    before: Ints
    after: Ints

    def history(self) -> tuple[History, Ints]:
        """(like histories folded together, in weeks; each customer's place among them)."""
        rows = np.stack([self.repeats, self.recency, self.age])
        key = (rows[0] << 40) | (rows[1] << 20) | rows[2]
        _, first, place, people = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        weeks = rows[:, first] / np.array([[1.0], [7.0], [7.0]])
        return History(weeks[0], weeks[1], weeks[2], people.astype(np.float64)), place


def forecast(
    connection: "duckdb.DuckDBPyConnection", as_of: date, days: int, classes: tuple[str, ...]
) -> Forecast | str:
    """The forecast from the tables `days` and `classes`, or (as an English text) why there is none."""
    start = connection.execute("SELECT min(first) FROM payers").fetchone()
    first: date = start[0] if start else as_of
    span = (as_of - first).days
    if span < _LEAST_DAYS:
        return "The purchases cover fewer than twelve weeks."
    cut = first + timedelta(days=span // 2)
    known = _people(connection, cut, as_of, classes)
    if len(known.repeats) < _LEAST_PEOPLE or known.repeats.sum() < _LEAST_REPEATS or not known.after.sum():
        return "Too few customers bought again in the first or the second half of the time."
    everyone = _people(connection, as_of, as_of, classes)
    early, late = fit(known.history()[0]), fit(everyone.history()[0])
    if early is None or late is None:
        return "The model's parameters did not settle on these purchases."
    history, place = everyone.history()
    buying = late.expected(days / 7, history.repeats, history.recency, history.age)[place]
    any_time = late.buying(days / 7, history.repeats, history.recency, history.age)[place]
    people, bought, buyers = (
        np.bincount(everyone.groups, weights, len(classes)) for weights in (None, buying, any_time)
    )
    by_class = tuple(
        ClassForecast(key, int(people[i]), float(bought[i]), float(buyers[i])) for i, key in enumerate(classes)
    )
    backtest = _backtest(connection, early, known, first, cut, as_of)
    return Forecast(days, float(buying.sum()), by_class, late, backtest)


def _people(connection: "duckdb.DuckDBPyConnection", cut: date, end: date, classes: tuple[str, ...]) -> _People:
    columns = connection.execute(
        "SELECT list_position($classes, any_value(class)) - 1 AS groups, count(*) FILTER (day <= $cut) - 1 AS repeats,"
        " date_diff('day', min(day), max(day) FILTER (day <= $cut)) AS recency,"
        " date_diff('day', min(day), $cut::DATE) AS age,"
        " count(*) FILTER (day <= $cut AND day > first AND day > $back::DATE) AS before,"
        " count(*) FILTER (day > $cut) AS after"
        " FROM days JOIN payers USING (id) JOIN classes USING (id) WHERE paid AND first <= $cut GROUP BY id",
        {"classes": list(classes), "cut": cut, "back": cut - (end - cut)},
    ).fetchnumpy()
    return _People(*(np.asarray(column, np.int64) for column in columns.values()))


def _backtest(
    connection: "duckdb.DuckDBPyConnection", model: Model, known: _People, first: date, cut: date, end: date
) -> Backtest:
    days = (end - cut).days
    history, place = known.history()
    predicted = model.expected(days / 7, history.repeats, history.recency, history.age)[place]
    order = np.argsort(-predicted, kind="stable")
    deciles = tuple(
        Decile(len(part), float(predicted[part].sum()), int(known.after[part].sum()))
        for part in np.array_split(order, 10)
    )
    weeks = _weeks(connection, model, known, first, cut, end)
    tested = [week for week in weeks if week.low is not None and week.high is not None]
    inside = [week for week in tested if (week.low or 0) <= week.actual <= (week.high or 0)]
    return Backtest(
        cut,
        days,
        len(predicted),
        int(known.after.sum()),
        float(predicted.sum()),
        int((known.after > 0).sum()),
        float(model.buying(days / 7, history.repeats, history.recency, history.age) @ history.people),
        int(known.before.sum()),
        float(np.abs(predicted - known.after).mean()),
        float(np.abs(known.before - known.after).mean()),
        deciles,
        weeks,
        len(inside) / max(1, len(tested)),
    )


def _weeks(
    connection: "duckdb.DuckDBPyConnection", model: Model, known: _People, first: date, cut: date, end: date
) -> tuple[Week, ...]:
    """Whole weeks, counted from the cut both ways, so that none holds days of both halves.

    The band is as wide as the first half's own residuals say: variance = dispersion × expected.
    """
    before, after = (cut - first).days // 7, (end - cut).days // 7
    rows = connection.execute(
        "SELECT floor(date_diff('day', $cut::DATE + 1, day) / 7)::INT AS week, count(*)"
        " FROM days JOIN payers USING (id) WHERE paid AND first <= $cut AND day > first GROUP BY week",
        {"cut": cut},
    ).fetchall()
    made = dict(rows)
    actual = np.array([made.get(week, 0) for week in range(-before, after)], np.int64)
    ages, people = np.unique(known.age, return_counts=True)
    edges = np.maximum(ages[:, None] + 7 * np.arange(-before, after + 1)[None, :], 0) / 7
    reached = model.expected_from_start(edges.ravel()).reshape(edges.shape)
    expected: Floats = people.astype(np.float64) @ np.diff(reached, axis=1)
    fitted = expected[:before] > 1
    residuals = (actual[:before] - expected[:before])[fitted] ** 2 / expected[:before][fitted]
    half = _Z90 * np.sqrt(max(1.0, float(residuals.mean()) if len(residuals) else 1.0) * expected)
    return tuple(
        Week(
            cut + timedelta(days=1 + 7 * (i - before)),
            int(actual[i]),
            float(expected[i]),
            *((max(0.0, float(expected[i] - half[i])), float(expected[i] + half[i])) if i >= before else ()),
        )
        for i in range(before + after)
    )
