"""Noise: where every random number that a release is hidden behind comes from.

It is the discrete Gaussian over whole numbers, drawn by OpenDP from the system's randomness (Canonne, Kamath and
Steinke, "The Discrete Gaussian for Differential Privacy", NeurIPS 2020). No floating-point number is ever added to a
count or a sum. Nothing here sees data: noise is drawn for so many numbers, stored by the ledger, and added elsewhere.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import Refused, UsageError

LEAST_SIGMA, DEFAULT_SIGMA, MOST_SIGMA = 5, 20, 1000
"""Of a count's noise, in persons: the least and the most that may be asked, and what is taken otherwise."""

MOST_SIGMAS = 12
"""Draws are cut there, so that slots have room for any; further out are fewer than one in 10^32."""

MOST_SCALE = (2**63 - 1) // MOST_SIGMAS
"""The largest sigma whose draws all fit into 64 bits."""


def draw(scales: Sequence[int], rows: int) -> NDArray[np.int64]:
    """Fresh noise, int64[rows, len(scales)]: column j is discrete Gaussian of sigma scales[j], cut at 12 sigma.

    A count's scale is sigma persons, a sum's sigma times the largest amount that a person may bring. OpenDP adds in
    saturating arithmetic; here it adds to zeros, and whoever adds the draws to a number must have room for them.
    Raises UsageError for a scale below 1, Refused where a draw could leave 64 bits.
    """
    drawn = np.empty((rows, len(scales)), np.int64)
    for column, scale in enumerate(scales):
        if scale < 1:
            raise UsageError("The sigma of noise is at least 1.")
        if scale > MOST_SCALE:
            raise Refused(
                "Noise of sigma {scale} does not fit into 64 bits.",
                "Narrow the bounds of the amount, or ask for a smaller sigma.",
                scale=scale,
            )
        cut = MOST_SIGMAS * scale
        drawn[:, column] = np.clip(mechanism(_not_below(scale))([0] * rows), -cut, cut)
    return drawn


@lru_cache(maxsize=64)
def mechanism(scale: float) -> Any:
    """OpenDP's discrete Gaussian on lists of 64-bit integers; distances between lists are L2. `scale`: its sigma."""
    from opendp import domains, measurements, metrics, mod  # its prelude would bring scikit-learn and pandas, 5 s

    mod.enable_features("contrib")
    people = domains.vector_domain(domains.atom_domain(T="i64"))
    return measurements.make_gaussian(people, metrics.l2_distance(T="f64"), scale=scale)


def _not_below(scale: int) -> float:
    """The least float that is not below: above 2^53 not every integer is one, and less noise would be unpaid for."""
    near = float(scale)
    return near if near >= scale else math.nextafter(near, math.inf)
