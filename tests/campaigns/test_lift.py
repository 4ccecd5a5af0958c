"""Lift, power, worth and attribution against published examples, other formulas and simulation."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.campaigns import attribution, worth
from cleanroom.campaigns.attribution import Paths, Touch
from cleanroom.campaigns.lift import Arm, Interval, Noise, difference, lift, mean_spend, ratio, share
from cleanroom.campaigns.power import people_for, smallest
from cleanroom.campaigns.worth import Costs
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.privacy import noise as released

OFF = Noise()


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((5, 56), (0, 29), -0.0381, 0.1926)],
)
def test_without_noise_it_is_newcombes_method_10(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe (1998), table II: examples (a), (c), (d)."""
    one, two = (share(Arm(people, payers), OFF) for payers, people in (first, second))
    found = difference(one, two)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@settings(max_examples=60, deadline=None)
@given(st.integers(5_000, 200_000), st.integers(5_000, 200_000), st.floats(0.05, 0.5), st.floats(0.05, 0.5),
       st.sampled_from([0, 5, 20]))  # fmt: skip
def test_large_arms_agree_with_walds_formula_and_the_delta_method(
    n: int, m: int, p: float, q: float, sigma: int
) -> None:
    one, two = Arm(n, round(n * p)), Arm(m, round(m * q))
    noise = Noise(sigma, sigma)
    found = lift(one, two, noise)
    p, q = one.payers / n, two.payers / m
    variances = [x * (1 - x) / size + sigma**2 * (1 + x * x) / size**2 for x, size in ((p, n), (q, m))]
    wald = 1.96 * math.sqrt(sum(variances))
    assert found.difference.low == pytest.approx(p - q - wald, abs=0.06 * wald)
    assert found.difference.high == pytest.approx(p - q + wald, abs=0.06 * wald)
    assert found.ratio is not None
    assert found.ratio.low is not None
    assert found.ratio.high is not None
    middle = math.sqrt((1 + found.ratio.low) * (1 + found.ratio.high))
    assert middle == pytest.approx(p / q, rel=0.06)
    logs = math.log((1 + found.ratio.high) / (1 + found.ratio.low)) / 2
    assert logs == pytest.approx(1.96 * math.sqrt(variances[0] / p**2 + variances[1] / q**2), rel=0.1)


@settings(max_examples=60, deadline=None)
@given(st.integers(200, 20_000), st.floats(0, 1), st.integers(1, 200))
def test_noise_only_widens(n: int, p: float, sigma: int) -> None:
    plain, noised = (share(Arm(n, round(n * p)), each) for each in (OFF, Noise(sigma, sigma)))
    assert noised.low <= plain.low + 1e-12 <= plain.value + 1e-9 <= plain.high + 2e-9 <= noised.high + 3e-9


def test_intervals_hold_zero_effects_as_often_as_they_say_with_real_noise() -> None:
    """Arms of 400 and 2,000, 10 % pay in both; discrete Gaussian noise of sigma 20."""
    rng, runs, sigma = np.random.default_rng(3), 1600, 20
    drawn = released.draw([sigma] * 4, runs)
    payers = rng.binomial([2000, 400], 0.1, (runs, 2))
    held = 0
    for row, noise in zip(payers, drawn, strict=True):
        one = Arm(2000 + int(noise[0]), int(row[0] + noise[1]))
        two = Arm(400 + int(noise[2]), int(row[1] + noise[3]))
        held += not lift(one, two, Noise(sigma, sigma)).difference.beyond
    assert 0.92 < held / runs < 0.98  # five standard deviations


def test_revenue_is_the_mean_with_its_usual_error() -> None:
    values = np.where(np.random.default_rng(4).random(10_000) < 0.2, 12_300, 0)
    arm = Arm(len(values), int((values > 0).sum()), int(values.sum()), int((values**2 // 10_000).sum()))
    found = mean_spend(arm, OFF)
    error = 1.96 * values.std() / 100 / math.sqrt(len(values))
    assert found.value == pytest.approx(values.mean() / 100)
    assert found.high - found.value == pytest.approx(error, rel=1e-3)
    with pytest.raises(Refused):
        mean_spend(Arm(100, 10), OFF)


def test_what_cannot_be_told_is_not_told() -> None:
    few = lift(Arm(1000, 20, 200_000, 20_000), Arm(1000, 5, 50_000, 5_000), OFF)
    assert few.revenue is None, "a mean of five payers is not normal"
    assert lift(Arm(1000, 20), Arm(1000, -3), Noise(20, 20)).ratio is None
    unsure = ratio(Interval(0.05, 0.04, 0.06), Interval(0.01, -0.01, 0.03))
    assert unsure is not None
    assert unsure.high is None
    with pytest.raises(Refused, match="few"):
        Arm(0, 0)


@pytest.mark.parametrize(("people", "held", "base"), [(20_000, 0.1, 0.05), (5_000, 0.3, 0.2), (100_000, 0.05, 0.01)])
def test_a_campaign_with_the_smallest_lift_shows_it_four_times_in_five(people: int, held: float, base: float) -> None:
    told = smallest(people, held, base, 20)
    assert told.difference is not None
    rng, runs = np.random.default_rng(8), 1500
    one = rng.binomial(told.treated, base + told.difference, runs) + np.rint(rng.normal(0, 20, runs))
    two = rng.binomial(told.held, base, runs) + np.rint(rng.normal(0, 20, runs))
    sizes = np.array([told.treated, told.held]) + np.rint(rng.normal(0, 20, (runs, 2)))
    shown = [
        lift(Arm(int(n), int(x)), Arm(int(m), int(y)), Noise(20, 20)).difference.beyond == 1
        for x, y, (n, m) in zip(one, two, sizes, strict=True)
    ]
    assert 0.75 < np.mean(shown) < 0.85


def test_power_without_noise_is_the_usual_formula_and_sizes_come_back() -> None:
    told = smallest(100_000, 0.5, 0.1, 0)
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    assert told.difference is not None
    usual = z * math.sqrt((0.1 * 0.9 + (0.1 + told.difference) * (0.9 - told.difference)) / 50_000)
    assert told.difference == pytest.approx(usual, rel=1e-9)
    needed = people_for(told.difference, 0.5, 0.1, 0)
    assert needed == pytest.approx(100_000, rel=0.01)
    assert smallest(1000, 0.1, 0.05, 20).enough is False, "an arm of 100 is withheld"
    assert people_for(0.001, 0.1, 0.05, 1000, k=100) is not None
    for wrong in ((1, 0.1, 0.05), (1000, 0.0, 0.05), (1000, 0.1, 1.0)):
        with pytest.raises(UsageError):
            smallest(*wrong, 20)


def test_worth_follows_its_definitions_and_leaves_open_sides_open() -> None:
    costs = Costs(media=600_000, coupons=300_000, points=100_000, point_price=1_000, margin=400)
    assert costs.total == 1_000_000
    each = worth.cost_per_payer(costs, Interval(100, 50, 200))
    assert (each.value, each.low, each.high) == (100, 50, 200)
    open_ = worth.cost_per_payer(costs, Interval(100, -10, 200))
    assert open_.high is None
    assert worth.cost_per_payer(costs, Interval(-5, -10, 2)) is None
    roi = worth.roi(costs, Interval(50_000, 25_000, 75_000))
    assert (roi.value, roi.low, roi.high) == (1.0, 0.0, 2.0)
    assert worth.roi(Costs(), Interval(1, 0, 2)) is None
    assert worth.roas(costs, 30_000.0) == 3.0
    for wrong in ({"media": -1}, {"margin": 1001}, {"media": 1.5}):
        with pytest.raises(UsageError):
            Costs(**wrong)


A, B, C = Touch("message", "1 day"), Touch("coupon", "2-7 days"), Touch("live", "8-30 days")


def test_attribution_credits_touches_before_the_payment_alone() -> None:
    paths = [Paths((A, B, C), "8-30 days", 10, 100.0), Paths((A, B), "1 day", 5, 50.0),
             Paths((), "1 day", 3, 30.0), Paths((A,), "none", 9, 0.0)]  # fmt: skip
    assert attribution.last_touch(paths) == {"message": 50.0, "coupon": 0.0, "live": 100.0, "none": 30.0}
    position = attribution.by_position(paths)
    assert position == {"message": pytest.approx(90.0), "coupon": pytest.approx(20.0), "live": 40.0, "none": 30.0}
    short = attribution.last_touch(paths[:1], window=1)
    assert short == {"live": 100.0}


TOUCHES = st.sampled_from([(), (A,), (A, B), (A, B, C), (B, C)])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TOUCHES, st.sampled_from(["1 day", "2-7 days", "8-30 days"]), st.integers(0, 1000))))
def test_all_spend_is_credited_once(rows: list[tuple[tuple[Touch, ...], str, int]]) -> None:
    paths = [Paths(touches, paid, 1, float(spend)) for touches, paid, spend in rows]
    for model in (attribution.last_touch, attribution.by_position):
        assert sum(model(paths).values()) == pytest.approx(sum(row[2] for row in rows))


def test_labels_of_touches_are_read_back() -> None:
    assert attribution.touches_of("message@1 day>coupon@2-7 days") == (A, B)
    assert attribution.touches_of("none") == attribution.touches_of("other") == ()
    with pytest.raises(BadData):
        attribution.touches_of("message@yesterday")
