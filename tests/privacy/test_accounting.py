"""Prices, budgets, thresholds and widths, against the exact distribution and against the formulas of the paper."""

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from dp import exact
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.errors import Refused, UsageError
from cleanroom.privacy import accounting
from cleanroom.privacy.accounting import MICRO
from cleanroom.privacy.noise import LEAST_SIGMA, MOST_SIGMA

SIGMAS = st.integers(LEAST_SIGMA, MOST_SIGMA)


def test_a_count_with_the_usual_noise_costs_an_eighth_of_a_percent_of_rho() -> None:
    assert accounting.rho_micro(20, 1) == 1_250
    assert accounting.rho_micro(20, 3) == 3_750
    assert accounting.rho_micro(1000, 1) == 1


@settings(deadline=None)
@given(SIGMAS, st.integers(0, 200))
def test_prices_are_rounded_up_and_by_less_than_a_millionth(sigma: int, released: int) -> None:
    over = accounting.rho_micro(sigma, released) - Fraction(MICRO * released, 2 * sigma**2)
    assert 0 <= over < 1


@settings(deadline=None)
@given(st.integers(1, 20 * MICRO), st.sampled_from([1e-6, 1e-7, 1e-9]))
def test_epsilon_is_that_of_the_formula_and_never_less(rho: int, delta: float) -> None:
    judged = exact.delta(rho / MICRO, accounting.epsilon(rho, delta))
    assert delta * 0.99 < judged <= delta * (1 + 1e-6)


@pytest.mark.parametrize("sigma", [5, 20, 200])
def test_epsilon_covers_the_noise_itself_and_little_more(sigma: int) -> None:
    _, chances = exact.distribution(sigma)

    def delta(epsilon: float) -> float:
        return float(np.maximum(chances[1:] - math.exp(epsilon) * chances[:-1], 0).sum()) + float(chances[0])

    claimed = accounting.epsilon(accounting.rho_micro(sigma, 1), 1e-6)
    assert delta(claimed) <= 1e-6 < delta(0.85 * claimed)


def test_nothing_spent_is_epsilon_zero_and_far_too_much_is_infinite() -> None:
    assert accounting.epsilon(0, 1e-6) == 0
    assert accounting.epsilon(101 * MICRO, 1e-6) == math.inf


@settings(deadline=None, max_examples=12)
@given(st.floats(0.001, 100), st.sampled_from([1e-6, 1e-8]))
def test_a_budget_is_the_most_rho_within_its_epsilon(epsilon: float, delta: float) -> None:
    most = accounting.budget_micro(epsilon, delta)
    assert accounting.epsilon(most, delta) <= epsilon < accounting.epsilon(most + 1, delta)


@pytest.mark.parametrize("epsilon", [0, -1, 100.1, math.inf, math.nan])
def test_budgets_that_protect_nobody_are_refused(epsilon: float) -> None:
    with pytest.raises(UsageError):
        accounting.budget_micro(epsilon)


def test_the_usual_budget_pays_for_twelve_hundred_counts() -> None:
    assert accounting.budget_micro(10) // accounting.rho_micro(20, 1) == 1_231


@pytest.mark.parametrize(("population", "delta"), [(0, 1e-6), (100, 1e-6), (100_000, 1e-6), (10_000_000, 1e-8)])
def test_delta_falls_with_the_population(population: int, delta: float) -> None:
    assert accounting.delta(population) == pytest.approx(delta, rel=1e-12)


@pytest.mark.parametrize(
    ("k", "sigma", "draws", "least"),
    [(100, 20, 1, 195), (100, 20, 2, 235), (50, 5, 1, 74), (100, 0, 1, 100), (100, 1000, 1, 7001)],
)
def test_the_threshold_is_above_k_by_what_noise_may_add(k: int, sigma: int, draws: int, least: int) -> None:
    assert accounting.threshold(k, sigma, draws) == least


@settings(deadline=None)
@given(st.integers(50, 10_000), SIGMAS, st.integers(1, 3))
def test_the_threshold_is_the_least_whole_number_above(k: int, sigma: int, draws: int) -> None:
    """Above k by 4.75 sigma, and above one person by 7."""
    least, square = accounting.threshold(k, sigma, draws), sigma**2 * draws
    above_k, above_one = least - k, least - 1
    assert Fraction(19, 4) ** 2 * square <= above_k**2
    assert 49 * square <= above_one**2
    assert (above_k - 1) ** 2 < Fraction(19, 4) ** 2 * square or (above_one - 1) ** 2 < 49 * square


@pytest.mark.parametrize("draws", [1, 2, 3])
@pytest.mark.parametrize("sigma", [5, 7, 20, 100, 333])
def test_the_width_holds_95_percent_and_one_less_does_not(sigma: int, draws: int) -> None:
    width = accounting.half_width(sigma, draws)
    assert exact.within(width - 1, sigma, draws) < 0.95 <= exact.within(width, sigma, draws)


@settings(deadline=None)
@given(st.integers(10_001, 2**59), st.integers(1, 2))
def test_the_width_of_sums_is_that_of_the_normal_distribution_rounded_up(sigma: int, draws: int) -> None:
    width = accounting.half_width(sigma, draws)
    assert math.erf(width / sigma / math.sqrt(2 * draws)) >= 0.95 - 1e-12
    assert width <= 1.96 * sigma * math.sqrt(draws) + 1


def test_both_ways_to_the_width_meet() -> None:
    assert accounting.half_width(10_000) <= accounting.half_width(10_001) <= accounting.half_width(10_000) + 4
    assert accounting.half_width(0) == 0


@settings(deadline=None)
@given(st.integers(10, 5_000), st.integers(1, 2))
def test_a_width_that_is_asked_for_gives_the_cheapest_noise_within_it(width: int, draws: int) -> None:
    if width < accounting.half_width(LEAST_SIGMA, draws):
        with pytest.raises(Refused, match=f"± {accounting.half_width(LEAST_SIGMA, draws)} persons or more"):
            accounting.sigma_within(width, draws)
        return
    sigma = accounting.sigma_within(width, draws)
    assert accounting.half_width(sigma, draws) <= width
    assert sigma == MOST_SIGMA or accounting.half_width(sigma + 1, draws) > width


def test_the_table_for_readers_is_what_is_charged() -> None:
    text = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\d,]+ \|.+) \|$", text, re.MULTILINE)
    assert len(rows) >= 5
    month = accounting.budget_micro(10)
    for row in rows:
        sigma, *told = (float(cell.replace(",", "")) for cell in row.split("|"))
        widths = [accounting.half_width(int(sigma), draws) for draws in (1, 2)]
        thresholds = [accounting.threshold(100, int(sigma), draws) for draws in (1, 2)]
        price, both = (accounting.rho_micro(int(sigma), released) for released in (1, 2))
        shown = round(accounting.epsilon(price, 1e-6), 3)
        assert told == [*widths, *thresholds, price, shown, month // price, month // both]
