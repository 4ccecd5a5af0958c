"""The BG/NBD model of repeat buying: its likelihood, its fit and its expectations, vectorised.

Fader, Hardie and Lee, "'Counting Your Customers' the Easy Way: An Alternative to the Pareto/NBD Model", Marketing
Science 24 (2005): each customer buys at a Poisson rate of his own (gamma: r, alpha) and after any purchase leaves for
good with a probability of his own (beta: a, b). A customer is known by x (repeat purchases), t_x (weeks from the first
to the last purchase) and T (weeks from the first purchase to the day of the view). Nothing here knows money or people.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_TERMS, _STEPS, _REFINED = 10_000, 4_000, 20_000
_FAR = 100.0


@dataclass(frozen=True)
class History:
    """Customers with like histories: x, t_x, T (weeks) and how many customers have each, all float64[n]."""

    repeats: Floats
    recency: Floats
    age: Floats
    people: Floats

    def by_week(self) -> "History":
        """The same with times rounded to whole weeks: far fewer rows, nearly the same fit."""
        rounded = np.stack([self.repeats, np.rint(self.recency), np.rint(self.age)])
        rows, place = np.unique(rounded, axis=1, return_inverse=True)
        return History(rows[0], rows[1], rows[2], np.bincount(place.ravel(), self.people).astype(np.float64))

    def log_gamma(self, more: float) -> Floats:
        """ln Γ(x + more), taken once a distinct x."""
        distinct, place = self._distinct
        return np.array([math.lgamma(x + more) for x in distinct.tolist()])[place]

    @functools.cached_property
    def _distinct(self) -> tuple[Floats, NDArray[np.intp]]:
        return np.unique(self.repeats, return_inverse=True)


@dataclass(frozen=True)
class Model:
    """The four parameters, rates a week, and the log-likelihood of the data that they were fitted to."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def alive(self, repeats: Floats, recency: Floats, age: Floats) -> Floats:
        """The probability that a customer has not left; 1 for those who never came back (the model's own rule)."""
        return 1 / (1 + self._left(repeats, recency, age))

    def expected(self, weeks: float, repeats: Floats, recency: Floats, age: Floats) -> Floats:
        """Purchases that customers with such histories will make in the next `weeks` (equation 10)."""
        return self._ever(np.float64(weeks), repeats, age) / (1 + self._left(repeats, recency, age))

    def buying(self, weeks: float, repeats: Floats, recency: Floats, age: Floats) -> Floats:
        """The probability of at least one purchase in the next `weeks`: not gone, and a gamma-Poisson count above 0."""
        none = ((self.alpha + age) / (self.alpha + age + weeks)) ** (self.r + repeats)
        return self.alive(repeats, recency, age) * (1 - none)

    def expected_from_start(self, weeks: Floats) -> Floats:
        """Repeat purchases of a customer in the `weeks` after the first purchase (equation 9)."""
        nothing = np.zeros_like(weeks)
        return self._ever(weeks, nothing, nothing)

    def _left(self, x: Floats, recency: Floats, age: Floats) -> Floats:
        """The odds that a customer has left."""
        power = (self.r + x) * (np.log(self.alpha + age) - np.log(self.alpha + recency))
        return np.where(x > 0, self.a / np.maximum(self.b + x - 1, 1e-12) * np.exp(np.minimum(power, 700)), 0.0)

    def _ever(self, weeks: Floats | np.float64, x: Floats, age: Floats) -> Floats:
        """The numerator of equation 10, after Euler's transformation of 2F1, which keeps its terms small."""
        a = self.a if abs(self.a - 1) > 1e-6 else 1 + 1e-6  # the limit at a = 1, where the formula is 0/0
        z = np.asarray(weeks / (self.alpha + age + weeks))
        series = hypergeometric(a + self.b - 1 - self.r, a - 1, a + self.b + x - 1, z)
        scaled: Floats = (a + self.b + x - 1) / (a - 1) * (1 - (1 - z) ** (a - 1) * series)
        return scaled


def fit(history: History) -> Model | None:
    """The maximum-likelihood model; None where the search does not settle.

    Sought on whole weeks first, then refined on days; beyond 20,000 distinct histories whole weeks suffice.
    """
    weekly = history.by_week()
    found = minimise(lambda logs: _loss(weekly, logs), np.zeros(4), (1.0, 0.1))
    if found is not None and len(history.people) <= _REFINED:
        found = minimise(lambda logs: _loss(history, logs), found, (0.02,))
    if found is None or not np.all(np.abs(found) < 12):
        return None
    r, alpha, a, b = (float(value) for value in np.exp(found))
    return Model(r, alpha, a, b, log_likelihood(history, r, alpha, a, b))


def log_likelihood(history: History, r: float, alpha: float, a: float, b: float) -> float:
    """Of all customers (equation 6)."""
    x = history.repeats
    buying = history.log_gamma(r) - math.lgamma(r) + r * math.log(alpha)
    leaving = math.lgamma(a + b) + history.log_gamma(b) - math.lgamma(b) - history.log_gamma(a + b)
    here = -(r + x) * np.log(alpha + history.age)
    gone = math.log(a) - np.log(np.maximum(b + x - 1, 1e-300)) - (r + x) * np.log(alpha + history.recency)
    either = np.logaddexp(here, np.where(x > 0, gone, -np.inf))
    return float(history.people @ (buying + leaving + either))


def _loss(history: History, logs: Floats) -> float:
    return -log_likelihood(history, *np.exp(logs)) / float(history.people.sum())


def hypergeometric(a: float, b: float, c: Floats, z: Floats) -> Floats:
    """Gauss's 2F1(a, b; c; z) for 0 ≤ z < 1 by its series, to 1e-12 of the sum (at most 10,000 terms)."""
    term = np.ones(np.broadcast(c, z).shape)
    total = term.copy()
    for j in range(_TERMS):
        term = term * ((a + j) * (b + j) / (1 + j)) * z / (c + j)
        total += term
        if np.all(np.abs(term) <= 1e-12 * np.abs(total)):
            break
    return total


def minimise(function: Callable[[Floats], float], start: Floats, sizes: tuple[float, ...]) -> Floats | None:
    """The simplex search of Nelder and Mead (1965), begun anew at each size from where it settled; None if it fails."""
    for size in sizes:
        settled = _simplex(function, start, size)
        if settled is None:
            return None
        start = settled
    return start


def _simplex(function: Callable[[Floats], float], start: Floats, size: float) -> Floats | None:
    points = np.vstack([start, start + size * np.eye(len(start))])
    values = np.array([function(point) for point in points])
    for _ in range(_STEPS):
        order = np.argsort(values)
        points, values = points[order], values[order]
        if values[-1] - values[0] < 1e-9 and np.ptp(points, axis=0).max() < 1e-4:
            return np.asarray(points[0])
        if np.abs(points).max() > _FAR:
            return None
        _move(function, points, values)
    return None


def _move(function: Callable[[Floats], float], points: Floats, values: Floats) -> None:
    """Replace the worst point: reflect, then expand or contract, else draw all towards the best."""
    middle = points[:-1].mean(axis=0)
    away = middle - points[-1]
    tried = middle + away
    value = function(tried)
    if value < values[0]:
        further = middle + 2 * away
        reached = function(further)
        tried, value = (further, reached) if reached < value else (tried, value)
    elif value >= values[-2]:
        nearer = middle + (0.5 if value < values[-1] else -0.5) * away
        reached = function(nearer)
        if reached >= min(value, values[-1]):
            points[1:] = points[0] + 0.5 * (points[1:] - points[0])
            values[1:] = [function(point) for point in points[1:]]
            return
        tried, value = nearer, reached
    points[-1], values[-1] = tried, value
