"""What noise costs and what it hides: rho, epsilon, the threshold and the width that is shown with every number.

Prices are counted in rho, zero-concentrated differential privacy (Bun and Steinke, TCC 2016): one number that a person
changes by at most 1 costs 1 / (2 sigma²) when noised by a discrete Gaussian, and prices add up (Canonne, Kamath and
Steinke, NeurIPS 2020, theorem 4). Ledgers count millionths of rho in whole numbers, rounded up. Pure functions; no
count of anybody comes here except the size of a population, which only chooses delta.
"""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from cleanroom.errors import Refused, UsageError
from cleanroom.privacy.noise import LEAST_SIGMA, MOST_SIGMA, MOST_SIGMAS, mechanism

MICRO = 1_000_000
MOST_DELTA = 1e-6
MOST_EPSILON = 100
CONFIDENCE = 0.95
ABOVE_K = 4.75
"""Sigmas by which the threshold lies above k: the noise of a group goes beyond once in a million."""

ABOVE_ONE = 7
"""Sigmas by which it lies above a single person, whose group must not be told from none."""

_SUMMED = 10_000
"""Sigma above which the interval is that of the normal distribution rather than summed: they agree within 1."""


def rho_micro(sigma: int, released: int, moved: int = 1) -> int:
    """The price of a question in millionths of rho, rounded up: `released` columns with noise of `sigma` persons.

    A person is in one group, so a column of any number of groups is one number. A sum whose noise is sigma times the
    largest amount that a person may bring costs as much as a count. moved: how many persons' places in the answer one
    person can change at most (`Contract.moved`); the price grows by its square.
    """
    return -(-MICRO * released * moved * moved // (2 * sigma * sigma))


def epsilon(rho_micro: int, delta: float) -> float:
    """The least epsilon at `delta` (0 to 1, neither included) that OpenDP states for so much rho; 0 for none.

    OpenDP converts as Canonne, Kamath and Steinke do (section 2.3), at the best order, rounding up. Above 100 rho
    infinity: nothing worth stating is left.
    """
    if rho_micro > 100 * MICRO:
        return math.inf
    return _epsilon(rho_micro, delta) if rho_micro else 0.0


def delta(population: int) -> float:
    """The delta for which epsilon is shown: a millionth, and at most a tenth of one over the population."""
    return min(MOST_DELTA, 1 / (10 * population)) if population > 0 else MOST_DELTA


@lru_cache(maxsize=64)
def budget_micro(epsilon: float, delta: float = MOST_DELTA) -> int:
    """The most rho, in millionths, whose epsilon at `delta` is at most that. Raises UsageError beyond 0 to 100."""
    if not 0 < epsilon <= MOST_EPSILON:
        raise UsageError("Epsilon is above 0 and at most {most}.", most=MOST_EPSILON)
    low, high = 0, 2 * MOST_EPSILON * MICRO
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _epsilon(middle, delta) <= epsilon else (low, middle)
    return low


def threshold(k: int, sigma: int, draws: int = 1) -> int:
    """The least noised count with which a group is shown; `draws`: parties whose noise is in it. Without noise k.

    Where sigma is large against k, so far above a group of one person that none is shown in 10^11 releases.
    """
    deviation = sigma * math.sqrt(draws)
    return math.ceil(max(k + ABOVE_K * deviation, 1 + ABOVE_ONE * deviation))


@lru_cache(maxsize=4096)
def half_width(sigma: int, draws: int = 1) -> int:
    """The least w such that the noise is within ± w in at least 95 % of releases; in the unit of sigma.

    Up to 10,000 sigma in all by the discrete distribution itself: the sum of independent draws is a discrete Gaussian
    of their added variances, but for less than exp(-π² sigma²), which is nothing from sigma 5 on.
    """
    variance = draws * sigma * sigma
    if variance > _SUMMED**2:
        return math.ceil(NormalDist(0, math.sqrt(variance)).inv_cdf((1 + CONFIDENCE) / 2))
    reach = np.arange(MOST_SIGMAS * math.isqrt(variance) + 2)
    within = 2 * np.cumsum(np.exp(-(reach * reach) / (2 * max(variance, 1)))) - 1
    return int(np.searchsorted(within, CONFIDENCE * within[-1])) if sigma else 0


def sigma_within(width: int, draws: int = 1) -> int:
    """The largest sigma, up to 1,000, whose half width is at most `width` persons. Raises Refused where it is under 5.

    The larger sigma is, the cheaper is the question.
    """
    least = half_width(LEAST_SIGMA, draws)
    if width < least:
        raise Refused(
            "Noise within ± {width} persons would be less than any release may have.",
            "Ask for ± {least} persons or more.",
            width=width,
            least=least,
        )
    low, high = LEAST_SIGMA, MOST_SIGMA + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if half_width(middle, draws) <= width else (low, middle)
    return low


@lru_cache(maxsize=4096)
def _epsilon(rho_micro: int, delta: float) -> float:
    return float(_curve(rho_micro).epsilon(delta))


def _curve(rho_micro: int) -> Any:
    """OpenDP's privacy profile of so much rho: that of a Gaussian of sigma 1 for inputs √(2 rho) apart."""
    from opendp import combinators

    apart = math.nextafter(math.sqrt(2 * rho_micro / MICRO), math.inf)
    return combinators.make_zCDP_to_approxDP(mechanism(1.0)).map(apart)
