"""The releases that are audited, over random tables of persons and the same tables without one person.

A table has rows of (person, group, amount); persons have duplicates and amounts beyond the bounds. Noise comes from
`noise.draw`, thresholds from `accounting.threshold`, ranges from `size_range`; the rest is the arithmetic of a release:
a person once, in one group, with a clamped amount. A release becomes a score, on which events are "at least".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cleanroom.privacy import accounting, noise
from cleanroom.privacy.ranges import size_range
from dp import exact
from dp.judge import Claim

Numbers = NDArray[np.int64]
Scores = NDArray[np.float64]
WITHHELD = -math.inf
EDGES = np.linspace(-4.5, 5, 20)
"""Events, in sigmas above the true number. Those that tell neighbours apart are at least so much in one direction."""


@dataclass(frozen=True)
class Table:
    """Rows of a data set: the person of each, the group of a person, the amount of a row, and the amounts' bounds."""

    person: Numbers
    group: Numbers
    groups: int
    amount: Numbers
    low: int
    high: int

    @property
    def bound(self) -> int:
        """The most that a person may move a sum."""
        return max(abs(self.low), abs(self.high))

    def without(self, person: int) -> "Table":
        """The neighbour: all rows of one person are gone."""
        kept = self.person != person
        return replace(self, person=self.person[kept], amount=self.amount[kept])

    def counts(self) -> Numbers:
        """Persons a group, int64[groups]: each once, however many rows there are."""
        return np.bincount(self.group[np.unique(self.person)], minlength=self.groups)

    def sums(self) -> Numbers:
        """Amounts a group, int64[groups]: of each person the first row's, clamped."""
        people, first = np.unique(self.person, return_index=True)
        totals = np.zeros(self.groups, np.int64)
        np.add.at(totals, self.group[people], np.clip(self.amount[first], self.low, self.high))
        return totals


def random_table(rng: np.random.Generator) -> Table:
    """100 to 1,000 persons in 2 to 6 groups; a third have two rows; one amount in fifty is far beyond the bounds."""
    people = int(rng.integers(100, 1000))
    groups = int(rng.integers(2, 7))
    group = rng.integers(0, groups, people)
    person = np.concatenate([np.arange(people), rng.integers(0, people, people // 3)])
    high = int(2 ** rng.uniform(0, 40))
    low = -int(rng.integers(0, high + 1)) if rng.random() < 0.5 else 0
    amount = rng.integers(low, high + 1, len(person))
    outliers = rng.random(len(person)) < 0.02
    amount[outliers] = rng.choice([10**15, -(10**15)], int(outliers.sum()))
    return Table(person, group, groups, amount, low, high)


@dataclass(frozen=True)
class Case:
    """One data set and its neighbour: scores of releases of both, the edges of the events, and what is claimed."""

    seen: Scores
    others: Scores
    edges: NDArray[np.float64]
    claim: Claim


@dataclass(frozen=True)
class Draws:
    """What noise a case may use: int64[n] each, of sigma persons; `sum_noise` draws n more of any scale."""

    pair: int
    sigma: int
    first: Numbers
    second: Numbers
    sum_noise: Callable[[int], Numbers]
    k: int = 100

    def rho(self, released: int = 1) -> float:
        """What the ledger is charged."""
        return accounting.rho_micro(self.sigma, released) / accounting.MICRO


def histogram(rng: np.random.Generator, draws: Draws) -> Case:
    """The noised count of the person's group; that of any other group is the same for both, with its own noise."""
    table, person = random_pair(rng)
    group = table.group[person]
    true, other = table.counts()[group], table.without(person).counts()[group]
    return shifted(true, other, draws.first, draws.sigma, Claim(draws.rho()))


def differences(rng: np.random.Generator, draws: Draws) -> Case:
    """The person's group less another one: noise that two groups shared would cancel."""
    table, person = random_pair(rng)
    group = table.group[person]
    next_group = (group + 1) % table.groups
    true, other = (c[group] - c[next_group] for c in (table.counts(), table.without(person).counts()))
    return shifted(true, other, draws.first - draws.second, draws.sigma * math.sqrt(2), Claim(draws.rho()))


def clamped_sum(rng: np.random.Generator, draws: Draws) -> Case:
    """A count and a sum of the person's group together, weighed as they tell most: one person is charged for both."""
    table, person = random_pair(rng, largest=True)
    group, without = table.group[person], table.without(person)
    people = int(table.counts()[group] - without.counts()[group])
    weight = int(table.sums()[group] - without.sums()[group]) / table.bound
    score = draws.first + weight * draws.sum_noise(draws.sigma * table.bound) / table.bound
    apart, sigma = people + weight * weight, draws.sigma * math.hypot(1, weight)
    return Case(score + apart, score, EDGES * sigma, Claim(draws.rho(2)))


def unknown_keys(rng: np.random.Generator, draws: Draws) -> Case:
    """A group that is found in the data, shown from the threshold on; where it is one person's, the key itself is."""
    least = accounting.threshold(draws.k, draws.sigma)
    people = 1 if rng.random() < 0.3 else max(1, least + int(rng.integers(-4, 4) * draws.sigma))
    seen, others = (shown(true, draws.first, least) for true in (people, people - 1))
    beside = exact.at_least(least - 1, draws.sigma)
    edges = np.concatenate([[least], people + np.round(EDGES * draws.sigma)])
    return Case(seen, others, edges, Claim(draws.rho(), beside))


def size_ranges(rng: np.random.Generator, draws: Draws) -> Case:
    """The range of a noised size; the true one is at one of its edges, or a little off."""
    people = int(rng.choice([100, 200, 500, 1000, 2000])) + int(rng.integers(-1, 2) * draws.sigma)
    seen, others = (ranged(true + draws.first, draws.k) for true in (people, people - 1))
    edges = np.array([size_range(edge, draws.k).low for edge in (100, 200, 500, 1000, 2000)], np.float64)
    return Case(seen, others, edges, Claim(draws.rho()))


def two_parties(rng: np.random.Generator, draws: Draws) -> Case:
    """The sum of two draws, as a recipient sees it that knows its own: shown or not, less what it drew itself."""
    least = accounting.threshold(draws.k, draws.sigma, 2)
    people = max(1, least + int(rng.integers(-4, 4) * draws.sigma))
    seen, others = (
        np.where(true + draws.first + draws.second >= least, true + draws.second, WITHHELD)
        for true in (people, people - 1)
    )
    beside = exact.at_least(least - 1, draws.sigma, 2)
    return Case(seen, others, people + np.round(EDGES * draws.sigma), Claim(draws.rho(), beside))


Mechanism = Callable[[np.random.Generator, Draws], Case]
MECHANISMS: dict[str, Mechanism] = {
    "count of a group": histogram,
    "difference of two groups": differences,
    "count and clamped sum": clamped_sum,
    "unknown keys, threshold": unknown_keys,
    "range of a size": size_ranges,
    "two parties, own draw known": two_parties,
}


def random_pair(rng: np.random.Generator, *, largest: bool = False) -> tuple[Table, int]:
    """A table and the person that its neighbour lacks: any, or every other time the one with the largest amount."""
    table = random_table(rng)
    if largest and rng.random() < 0.5:
        return table, int(table.person[np.abs(np.clip(table.amount, table.low, table.high)).argmax()])
    return table, int(rng.choice(table.person))


def shifted(true: int, other: int, drawn: Numbers, sigma: float, claim: Claim) -> Case:
    scores = drawn.astype(np.float64)
    return Case(true + scores, other + scores, true + np.round(EDGES * sigma), claim)


def shown(true: int, drawn: Numbers, least: int) -> Scores:
    """Groups of nobody do not exist where keys are unknown."""
    noised = true + drawn
    return np.where((noised >= least) & (true > 0), noised, WITHHELD)


def ranged(noised: Numbers, k: int) -> Scores:
    sizes, place = np.unique(noised, return_inverse=True)
    lows = [WITHHELD if (found := size_range(max(int(size), 0), k)).withheld else found.low for size in sizes]
    return np.asarray(lows, np.float64)[place]


def fresh(scale: int, rows: int) -> Numbers:
    """So many draws of the product's noise."""
    return noise.draw([scale], rows)[:, 0]
