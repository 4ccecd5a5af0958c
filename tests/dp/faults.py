"""Releases that are wrong in ways that have been seen in the wild. Each must be caught, or the audit shows nothing."""

import math
from dataclasses import replace

import numpy as np

from cleanroom.privacy import accounting
from dp.judge import Claim
from dp.mechanisms import (
    EDGES,
    Case,
    Draws,
    Mechanism,
    fresh,
    histogram,
    random_pair,
    random_table,
    ranged,
    shifted,
    shown,
    two_parties,
)


def half_the_noise(rng: np.random.Generator, draws: Draws) -> Case:
    """Half of the sigma that is charged for."""
    return histogram(rng, replace(draws, first=fresh(draws.sigma // 2, len(draws.first))))


def noise_cut_at_three_sigma(rng: np.random.Generator, draws: Draws) -> Case:
    """Noise of a bounded range shows the true number at its ends."""
    cut = 3 * draws.sigma
    return histogram(rng, replace(draws, first=np.clip(draws.first, -cut, cut)))


def rows_instead_of_persons(rng: np.random.Generator, draws: Draws) -> Case:
    """A person with five rows counts five times."""
    table = random_table(rng)
    person = int(table.person[0])
    rows = np.concatenate([table.person, np.full(4, person)])
    group = table.group[person]
    true = int((table.group[rows] == group).sum())
    return shifted(true, true - int((rows == person).sum()), draws.first, draws.sigma, Claim(draws.rho()))


def amounts_not_clamped(rng: np.random.Generator, draws: Draws) -> Case:
    """An amount of ten times the bound."""
    table, _ = random_pair(rng)
    moved = 10 * table.bound
    drawn = draws.sum_noise(draws.sigma * table.bound)
    return shifted(moved, 0, drawn, draws.sigma * table.bound, Claim(draws.rho()))


def one_noise_for_two_groups(rng: np.random.Generator, draws: Draws) -> Case:
    """The difference of two groups has no noise."""
    true = int(rng.integers(100, 1000))
    return shifted(true, true - 1, draws.first - draws.first, draws.sigma, Claim(draws.rho()))


def exact_floor(_: np.random.Generator, draws: Draws) -> Case:
    """The threshold looks at the true count too."""
    seen, others = (shown(true if true >= draws.k else 0, draws.first, 0) for true in (draws.k, draws.k - 1))
    return Case(seen, others, np.concatenate([[0], draws.k + EDGES * draws.sigma]), Claim(draws.rho()))


def threshold_too_low(rng: np.random.Generator, draws: Draws) -> Case:
    """Unknown keys are shown from 4.75 sigma less on: half of the singletons are."""
    least = accounting.threshold(1, draws.sigma) - round(accounting.ABOVE_K * draws.sigma)
    seen, others = (shown(true, draws.first, least) for true in (1, 0))
    return Case(seen, others, np.array([least, least + draws.sigma]), Claim(draws.rho()))


def range_of_the_true_size(rng: np.random.Generator, draws: Draws) -> Case:
    """At an edge one person decides."""
    seen, others = (ranged(np.full(len(draws.first), people), draws.k) for people in (500, 499))
    return Case(seen, others, np.array([200.0, 500.0]), Claim(draws.rho()))


def one_party_draws_nothing(rng: np.random.Generator, draws: Draws) -> Case:
    """The recipient's own noise is the only one: it takes it off."""
    return two_parties(rng, replace(draws, second=np.zeros_like(draws.second)))


def charged_for_one_column(rng: np.random.Generator, draws: Draws) -> Case:
    """A count and two sums are released, one of them is charged for."""
    three = draws.first + draws.second + np.roll(draws.first, 1)
    return shifted(3, 0, three, draws.sigma * math.sqrt(3), Claim(draws.rho()))


FAULTS: dict[str, Mechanism] = {
    "half the noise": half_the_noise,
    "noise cut at 3 sigma": noise_cut_at_three_sigma,
    "rows instead of persons": rows_instead_of_persons,
    "amounts not clamped": amounts_not_clamped,
    "one noise for two groups": one_noise_for_two_groups,
    "an exact floor under the threshold": exact_floor,
    "a threshold that a singleton passes": threshold_too_low,
    "range of the true size": range_of_the_true_size,
    "two parties, one draws nothing": one_party_draws_nothing,
    "three columns for the price of one": charged_for_one_column,
}
