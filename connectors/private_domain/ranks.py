"""RFM classes of the fold's payers: the scheme of the checkup, over the last 365 days, on columns of integers.

Each dimension gets a score of 1 to 5 by rank (one more than five times the share strictly below, rounded down, so that
ties score alike) and is high where its score lies above the mean of all payers.
"""

import numpy as np
from numpy.typing import NDArray

from connectors.arrays import Flags, Ints
from connectors.private_domain.columns import RFM


def classes(back: Ints, days: Ints, net: Ints) -> NDArray[np.uint8]:
    """uint8[payers], codes of the labels RFM. back: days since the last payment; days: with a payment; net: paid."""
    names = ["".join("LH"[code >> place & 1] for place in (2, 1, 0)) for code in range(8)]
    codes = np.array([RFM.index(name) for name in names], np.uint8)
    recent, often, much = (_is_high(values) for values in (-back, days, net))
    found: NDArray[np.uint8] = codes[4 * recent + 2 * often + much]
    return found


def _is_high(values: Ints) -> Flags:
    ordered = np.sort(values)
    scores = 1 + np.searchsorted(ordered, values, side="left") * 5 // max(len(values), 1)
    high: Flags = scores * len(values) > scores.sum()
    return high
