"""The smallest lift that a campaign of a given size can show: told before anything is sent.

With the chance `POWER` a true difference of that size has an interval that does not hold 0. Sampling and noise both
count. Nothing here sees data.
"""

import math
from dataclasses import dataclass

from cleanroom.campaigns.lift import Z95
from cleanroom.errors import UsageError
from cleanroom.privacy import accounting

POWER = 0.8
_Z_POWER = 0.8416212335729143


@dataclass(frozen=True)
class Smallest:
    """What a campaign can show. treated, held: expected matched persons of the arms; least: a noised arm below that is
    withheld; enough: whether both arms will be shown; difference: of the shares of payers, None where even everybody
    paying would not show; ratio: by the base; payers: so many more; noise_share: how much of the variance is noise.
    """

    treated: int
    held: int
    base: float
    least: int
    enough: bool
    difference: float | None
    ratio: float | None
    payers: int | None
    noise_share: float


def smallest(people: int, share: float, base: float, sigma: int, *, draws: int = 1, k: int = 100) -> Smallest:
    """people: of the crowd that match; share: held out; base: share that pays without the campaign; sigma, draws: of
    the room's noise. Raises UsageError for numbers that cannot be.
    """
    if people < 2 or not 0 < share < 1 or not 0 < base < 1:
        raise UsageError("A plan needs at least 2 people, a share held out and a base rate, both above 0 and below 1.",
                         "Say --people or --crowd.")  # fmt: skip
    held = round(people * share)
    treated = people - held
    if not held or not treated:
        raise UsageError("An arm of this size would be empty.", "Hold out another share.")
    least = accounting.threshold(k, sigma, draws) if sigma else k
    margin = accounting.half_width(sigma, draws) if sigma else 0  # or a coin decides whether the arm is shown
    noise = sigma * math.sqrt(draws)
    found = _difference(treated, held, base, noise)
    sampling, added = _variances(treated, held, base, base, noise)
    return Smallest(
        treated, held, base, least, min(treated, held) >= least + margin, found,
        None if found is None else found / base, None if found is None else math.ceil(found * treated),
        added / (sampling + added),
    )  # fmt: skip


def people_for(difference: float, share: float, base: float, sigma: int, *, draws: int = 1, k: int = 100) -> int | None:
    """How many people of a crowd would show that difference; None where no crowd up to 10^9 would."""
    low, high = 2, 10**9
    if not _shows(high, difference, share, base, sigma, draws, k):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _shows(middle, difference, share, base, sigma, draws, k) else (middle, high)
    return high


def _shows(people: int, wanted: float, share: float, base: float, sigma: int, draws: int, k: int) -> bool:
    if round(people * share) in (0, people):
        return False
    found = smallest(people, share, base, sigma, draws=draws, k=k)
    return found.enough and found.difference is not None and found.difference <= wanted


def _difference(treated: int, held: int, base: float, noise: float) -> float | None:
    """The least d with d = (z_97.5 + z_80) · sd(d), by bisection: the side that shows is monotone."""

    def shows(gap: float) -> bool:
        return gap >= (Z95 + _Z_POWER) * math.sqrt(sum(_variances(treated, held, base + gap, base, noise)))

    low, high = 0.0, 1 - base
    if not shows(high):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def _variances(treated: int, held: int, first: float, base: float, noise: float) -> tuple[float, float]:
    """Of the difference: (from sampling, from noise)."""
    sampling = first * (1 - first) / treated + base * (1 - base) / held
    return sampling, noise**2 * ((1 + first**2) / treated**2 + (1 + base**2) / held**2)
