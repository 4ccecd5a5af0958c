"""How good a lookalike is: in which tenths of the users, by its scores, the part of the seed stands that it never saw.

Counted from released, noised numbers alone, so nothing here costs or tells anything more. A gain of 1 is chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMAL_95 = 1.959964
_LEAST_BY_NOISE = 10.0
"""Deviations of its noise that the held-out part's size must reach for shares of it to mean anything."""


@dataclass(frozen=True)
class Tenth:
    """A tenth of the users, 1 the most like the seed. gain: its share of the held-out seed over its share of the users;
    low, high: the 95 % interval, of noise and of chance; together: the gain of this tenth and all before it, as one."""

    tenth: int
    gain: float
    low: float
    high: float
    together: float

    @property
    def significant(self) -> bool:
        """Whether it differs from chance."""
        return not self.low <= 1.0 <= self.high


def gains(counts: Sequence[int] | NDArray[np.integer] | NDArray[np.float64], sigma: float) -> tuple[Tenth, ...]:
    """The gain of each tenth; () where too few were held out for their noise.

    counts: the noised numbers of held-out people in the ten tenths, the most like first; sigma: the standard deviation
    of the noise in each.
    """
    noised = np.asarray(counts, np.float64)
    total, parts = float(noised.sum()), len(noised)
    if total <= 0 or total < _LEAST_BY_NOISE * sigma * np.sqrt(parts):
        return ()
    shares = noised / total
    width = NORMAL_95 * np.sqrt(_variances(shares, total, sigma)) * parts
    gain = shares * parts
    together = np.cumsum(shares) * parts / np.arange(1, parts + 1)
    return tuple(
        Tenth(at + 1, float(gain[at]), float(gain[at] - width[at]), float(gain[at] + width[at]), float(together[at]))
        for at in range(parts)
    )


def _variances(shares: NDArray[np.float64], total: float, sigma: float) -> NDArray[np.float64]:
    """Of each share of a noised total: by the delta method from the counts' noise, and of whom chance held out."""
    inside = np.clip(shares, 0.0, 1.0)
    noise = sigma**2 * ((1 - shares) ** 2 + (len(shares) - 1) * shares**2) / total**2
    return np.asarray(noise + np.maximum(inside * (1 - inside), 1 / total) / total)
