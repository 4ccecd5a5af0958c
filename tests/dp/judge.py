"""Whether what was seen contradicts a claim of (epsilon, delta) for all events, and by how much.

For a fixed family of events S the counts of S among the releases of a data set D and of its neighbour D' give
Clopper-Pearson bounds of P(S) and P'(S). All intervals of an audit hold together but for the chance `alpha` (union
bound, so the same noise may stand in many of them: what holds for each holds for all). A claim is contradicted where,
for an event or its complement and for either order of the two, the lower bound exceeds e^epsilon times the upper one
plus delta. The claim of rho is a whole curve of (epsilon, delta): it is tried at each epsilon of a grid.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

from dp import exact

SHOWN_DELTA = 1e-6
_GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
"""Epsilons to try, in units of √(2 rho), which is how far apart the neighbours are in sigmas."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Claim:
    """rho, and a delta beside it, of the threshold: the chance that a person's own key is shown."""

    rho: float
    beside: float = 0.0

    def curve(self) -> list[tuple[float, float]]:
        """(epsilon, delta) that the claim implies."""
        return [(epsilon, delta + self.beside) for epsilon, delta in _curve(self.rho)]


@cache
def _curve(rho: float) -> tuple[tuple[float, float], ...]:
    apart = math.sqrt(2 * rho)
    return tuple((step * apart, exact.delta(rho, step * apart)) for step in _GRID)


@dataclass(frozen=True)
class Verdict:
    """excess: by how much a delta is surely exceeded, below 0 where none is; epsilon: surely needed at delta 1e-6."""

    excess: float
    epsilon: float

    @property
    def contradicted(self) -> bool:
        """Whether the claim is false."""
        return self.excess > 0


def bounds(hits: Counts, trials: int, alpha: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper-Pearson: bounds of the probability of each count, each pair wrong with probability alpha at most."""
    low = scipy.stats.beta.ppf(alpha / 2, hits, trials - hits + 1)
    high = scipy.stats.beta.ppf(1 - alpha / 2, hits + 1, trials - hits)
    return np.where(hits == 0, 0.0, low), np.where(hits == trials, 1.0, high)


def judge(hits: Counts, others: Counts, trials: int, claim: Claim, alpha: float) -> Verdict:
    """`hits`, `others`: how often each event was seen in `trials` releases of D and of D'."""
    each = alpha / (2 * len(hits))
    (p_low, p_high), (q_low, q_high) = bounds(hits, trials, each), bounds(others, trials, each)
    more = np.concatenate([p_low, q_low, 1 - p_high, 1 - q_high])
    less = np.concatenate([q_high, p_high, 1 - q_low, 1 - p_low])
    excess = max(float((more - math.exp(epsilon) * less - delta).max()) for epsilon, delta in claim.curve())
    surely = np.maximum(more - SHOWN_DELTA - claim.beside, 1e-300) / less
    return Verdict(excess, max(0.0, math.log(float(surely.max()))))


def count(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> Counts:
    """How many scores are at or above each edge."""
    ordered = np.sort(scores)
    return len(scores) - np.searchsorted(ordered, edges, side="left")
