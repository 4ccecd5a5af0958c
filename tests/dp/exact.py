"""The discrete Gaussian itself, and the conversion of rho, from their formulas alone: the judges of the product's.

Source: Canonne, Kamath and Steinke, NeurIPS 2020 (arXiv 2004.00010): section 2.3 for the conversion.
"""

import math
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray


@cache
def distribution(sigma: float, draws: int = 1) -> tuple[int, NDArray[np.float64]]:
    """(reach, probability of each number from -reach to reach) of the sum of so many draws, cut at 12 sigma each."""
    reach = 12 * math.ceil(sigma)
    one = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma * sigma))
    one /= one.sum()
    total = one
    for _ in range(draws - 1):
        total = np.convolve(total, one)
    return reach * draws, total


def at_least(least: int, sigma: float, draws: int = 1) -> float:
    """The chance that the noise of one or two draws is `least` or more."""
    reach, one = distribution(sigma)
    tail = np.append(np.cumsum(one[::-1])[::-1], 0.0)
    if draws == 2:
        # of the sum: for each value of one draw, the chance that the other has the rest
        rest = least - np.arange(-reach, reach + 1)
        return float(one @ tail[np.clip(rest + reach, 0, len(one))])
    return float(tail[min(max(least + reach, 0), len(one))])


def within(width: int, sigma: float, draws: int = 1) -> float:
    """The chance that the noise is within ± width."""
    reach, chances = distribution(sigma, draws)
    return float(chances[reach - width : reach + width + 1].sum())


def delta(rho: float, epsilon: float) -> float:
    """The least delta of section 2.3: the infimum over the order of exp((a-1)(a rho - eps)) / (a-1) (1 - 1/a)^a."""

    def logarithm(excess: float) -> float:
        order = 1 + math.exp(excess)
        return (order - 1) * (order * rho - epsilon) - math.log(order - 1) + order * math.log1p(-1 / order)

    best = scipy.optimize.minimize_scalar(logarithm, bounds=(-12, 16), method="bounded", options={"xatol": 1e-9})
    return math.exp(min(best.fun, 0.0))
