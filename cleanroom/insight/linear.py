"""Numbers with noise in them: sums of table cells that know which noise they hold, and the figures made of them.

A board counts everybody in its dataset and draws no sample, so every interval here is of the noise alone: what the
exact figure may be. Cells of different tables, and of one table, hold independent noise of a known deviation; sums over
them keep their weights, so that a share whose parts have cells in common is not given an interval as if they had none.

Ratios: Fieller, "Some Problems in Interval Estimation", J. Royal Statistical Society B 16 (1954). Differences and
quotients of two figures of different boards: MOVER (Donner and Zou, Statistical Methods in Medical Research 21, 2012).
"""

import functools
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cleanroom.insight.tables import Names, Tables
from cleanroom.lang import t
from cleanroom.plan.consistency import NORMAL_95
from cleanroom.privacy.accounting import ABOVE_K

Where = Mapping[str, Collection[str]]
Weights = Mapping[Names, NDArray[np.float64]]

_SUM = "sum of "


class Absent(Exception):
    """No table holds what a metric is made of. columns: what it would be of."""

    def __init__(self, columns: Iterable[str]) -> None:
        super().__init__()
        self.columns = tuple(sorted(columns))


@dataclass(frozen=True)
class Value:
    """A figure: `value` with its 95 % interval; None with the `reason` (in the user's language) where there is none.

    low, high: equal to the value where it is exact; None where nothing is known of it. marks: 'immature', 'restated'.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    marks: tuple[str, ...] = ()

    def marked(self, mark: str) -> "Value":
        """The same with one mark more."""
        return replace(self, marks=(*self.marks, mark))


@dataclass(frozen=True, eq=False)
class Linear:
    """A sum: its value, and by table the weight of each cell's noise, in the unit of the value."""

    value: float
    weights: Weights = field(default_factory=dict)

    @property
    def variance(self) -> float:
        """Of its noise."""
        return self.covariance(self)

    @property
    def deviation(self) -> float:
        """Of its noise."""
        return math.sqrt(self.variance)

    def covariance(self, other: "Linear") -> float:
        """Of the noise of both: of the cells that they have in common."""
        both = self.weights.keys() & other.weights.keys()
        return float(sum(np.vdot(self.weights[name], other.weights[name]) for name in both))

    def __add__(self, other: "Linear") -> "Linear":
        weights = dict(self.weights)
        for name, more in other.weights.items():
            weights[name] = weights[name] + more if name in weights else more
        return Linear(self.value + other.value, weights)

    def __sub__(self, other: "Linear") -> "Linear":
        return self + other * -1

    def __mul__(self, factor: float) -> "Linear":
        return Linear(self.value * factor, {name: factor * each for name, each in self.weights.items()})


def count(tables: Tables, where: Where) -> Linear:
    """Persons with these labels in each column, from the table that adds the fewest cells. Raises Absent."""
    chosen: dict[str, list[int]] = {}
    for name, labels in where.items():
        own = tables.columns.get(name, ())
        chosen[name] = [place for place, label in enumerate(own) if label in labels]
        if not own:
            raise Absent([name])
    fitting = _holding(tables, frozenset(chosen))
    if not fitting:
        raise Absent(chosen)
    names = min(fitting, key=lambda each: _cells(tables, each, chosen))
    box = np.ix_(*(chosen.get(name, range(len(tables.columns[name]))) for name in names))
    people = float(tables.counts[names][box].sum())
    if not tables.sigma:
        return Linear(people)
    weights = np.zeros(tables.counts[names].shape)
    weights[box] = tables.sigma
    return Linear(people, {names: weights})


def total_of(tables: Tables, amount: str) -> Linear:
    """The sum of an amount over all persons, in its major unit. Raises Absent."""
    if amount not in tables.sums:
        raise Absent([amount])
    deviation = tables.sigma * tables.sum_reach.get(amount, 0) / 100
    weights: Weights = {(_SUM + amount,): np.array([float(deviation)])} if deviation else {}
    return Linear(tables.sums[amount] / 100, weights)


def least(tables: Tables, population: Linear) -> float:
    """From what count on a population is shown: k, and 4.75 deviations of its own noise."""
    return max(tables.least, math.ceil(tables.k + ABOVE_K * population.deviation) if tables.sigma else 0)


def withheld(tables: Tables, population: Linear) -> Value | None:
    """Why a population may not be shown; None where it may."""
    smallest = least(tables, population)
    if population.value >= smallest:
        return None
    return Value(None, reason=t("withheld: fewer than {least} persons", least=f"{smallest:,.0f}"))


def persons(tables: Tables, found: Linear) -> Value:
    """A count as it may be shown."""
    return withheld(tables, found) or amount(found, lowest=0.0)


def amount(found: Linear, lowest: float = -math.inf) -> Value:
    """A sum with the interval of its noise, never below `lowest`."""
    half = NORMAL_95 * found.deviation
    return Value(max(lowest, found.value), max(lowest, found.value - half), max(lowest, found.value + half))


def share(tables: Tables, part: Linear, base: Linear) -> Value:
    """The part of a population, 0 to 1. The population needs its least count; its part is protected by the noise."""
    return withheld(tables, base) or ratio(part, base, 0.0, 1.0)


def ratio(part: Linear, base: Linear, lowest: float = -math.inf, highest: float = math.inf) -> Value:
    """A quotient with Fieller's interval, both cut to what is possible; none where the base may be all noise."""
    if base.value <= 0:
        return Value(None, reason=t("there is nothing to divide by"))
    quotient = part.value / base.value
    limits = _fieller(part, base) if part.weights or base.weights else (quotient, quotient)
    if limits is None:
        return Value(None, reason=t("the base is too small beside its noise"))
    low, middle, high = (min(highest, max(lowest, each)) for each in (limits[0], quotient, limits[1]))
    return Value(middle, min(low, middle), max(high, middle))


def difference(after: Value, before: Value) -> Value:
    """after - before of two figures with independent noise (MOVER)."""
    if not (known(after) and known(before)):
        return Value(None, reason=after.reason or before.reason)
    a, al, ah, b, bl, bh = *_limits(after), *_limits(before)
    return Value(a - b, a - b - math.hypot(a - al, bh - b), a - b + math.hypot(ah - a, b - bl))


def growth(after: Value, before: Value) -> Value:
    """after / before - 1 of two figures above nothing with independent noise (MOVER for quotients)."""
    if not (known(after) and known(before)):
        return Value(None, reason=after.reason or before.reason)
    a, al, ah, b, bl, bh = *_limits(after), *_limits(before)
    if min(al, a) < 0 or bl <= 0 or bh >= 2 * b:
        return Value(None, reason=t("the base is too small beside its noise"))
    low = _quotient(a, al, b, bh, -1)
    high = _quotient(a, ah, b, bl, 1)
    return Value(a / b - 1, low - 1, high - 1)


def known(value: Value) -> bool:
    """Whether there is a figure with an interval."""
    return None not in (value.value, value.low, value.high)


def _quotient(a: float, a_limit: float, b: float, b_limit: float, sign: int) -> float:
    """Donner and Zou's limit: of a / b, with the limits of each that move the quotient the same way."""
    inner = (a * b) ** 2 - a_limit * b_limit * (2 * a - a_limit) * (2 * b - b_limit)
    return (a * b + sign * math.sqrt(max(0.0, inner))) / (b_limit * (2 * b - b_limit))


def _limits(value: Value) -> tuple[float, float, float]:
    if value.value is None or value.low is None or value.high is None:
        raise ValueError
    return value.value, value.low, value.high


def _fieller(part: Linear, base: Linear) -> tuple[float, float] | None:
    """The roots of (part - θ base)² = z² var(part - θ base); None where the base is not clearly above nothing."""
    z2 = NORMAL_95 * NORMAL_95
    a = base.value**2 - z2 * base.variance
    if a <= 0:
        return None
    b = part.value * base.value - z2 * part.covariance(base)
    c = part.value**2 - z2 * part.variance
    root = math.sqrt(max(0.0, b * b - a * c))
    return (b - root) / a, (b + root) / a


@functools.lru_cache(maxsize=4096)
def _holding(tables: Tables, columns: frozenset[str]) -> tuple[Names, ...]:
    """The tables that are by all these columns."""
    return tuple(names for names in tables.counts if columns <= set(names))


def _cells(tables: Tables, names: Names, chosen: Mapping[str, list[int]]) -> int:
    return math.prod(len(chosen[name]) if name in chosen else len(tables.columns[name]) for name in names)
