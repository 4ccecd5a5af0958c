"""What a campaign changed: randomised arms as they were assigned, with intervals that cover sampling and noise.

Everybody assigned to an arm is counted in it, reached or not (intention to treat). Exposed against unexposed is never
compared here: who is exposed is not random. Pure functions over released numbers.

A share p of N persons with X payers has the variance p(1-p)/N of sampling and (s_x² + p² s_n²)/N² of noise, s being the
standard deviations of what was added to X and N. Its interval is Wilson's score interval (JASA 1927) with the noise put
beside the sampling variance; that of a difference joins the two intervals as Newcombe does (Statistics in Medicine
1998, method 10), that of a ratio as Donner and Zou do (Statistical Methods in Medical Research 2012, equations 10, 11).
Revenue a person is a mean: its variance is from the sums of squares, and noise is added likewise.
"""

import math
from dataclasses import dataclass

from cleanroom.errors import Refused

Z95 = 1.959963984540054
MINOR = 100
FEWEST_PAYERS = 50
"""In an arm, where no noise was added, for its mean spend to be near normal. Noise is, and is larger than they are."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; None where a side is open."""

    value: float
    low: float | None
    high: float | None

    @property
    def beyond(self) -> int:
        """1 where all of the interval is above 0, -1 where all is below, 0 where it holds 0."""
        if self.low is not None and self.low > 0:
            return 1
        return -1 if self.high is not None and self.high < 0 else 0

    def times(self, factor: float) -> "Interval":
        """All of it times a positive number."""
        return Interval(self.value * factor, _times(self.low, factor), _times(self.high, factor))


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what was added to numbers of persons, of payers, to spend (minor units) and to squares."""

    people: float = 0.0
    payers: float = 0.0
    spend: float = 0.0
    square: float = 0.0


@dataclass(frozen=True)
class Arm:
    """Released numbers of one arm: persons, payers, net spend in minor units, squares of spend in major units."""

    people: int
    payers: int
    spend: int | None = None
    square: int | None = None

    def __post_init__(self) -> None:
        if self.people < 1:
            raise Refused("An arm has too few people for anything to be said of it.")


@dataclass(frozen=True)
class Lift:
    """shares: payers by person (treated, held out); difference: of these; ratio: treated by held out, less 1; payers:
    for the campaign's sake; spend_each: (treated, held out) major units a person; revenue: net, for its sake. These two
    are None where spend was not released, or where too few paid for the mean to be normal.
    """

    shares: tuple[Interval, Interval]
    difference: Interval
    ratio: Interval | None
    payers: Interval
    spend_each: tuple[Interval, Interval] | None
    revenue: Interval | None


def lift(treated: Arm, held: Arm, noise: Noise) -> Lift:
    """Of two arms under one noise. ratio: None where the held-out share is not above 0."""
    shares = share(treated, noise), share(held, noise)
    gap = difference(*shares)
    each = revenue = None
    spent = None not in (treated.spend, treated.square, held.spend, held.square)
    if spent and (noise.spend or min(treated.payers, held.payers) >= FEWEST_PAYERS):
        each = mean_spend(treated, noise), mean_spend(held, noise)
        revenue = difference(*each).times(treated.people)
    clipped = (_within(shares[0]), _within(shares[1]))
    return Lift(clipped, gap, ratio(*shares), gap.times(treated.people), each, revenue)


def share(arm: Arm, noise: Noise, z: float = Z95) -> Interval:
    """Payers by person. The interval may go below 0 or above 1: noise does."""
    value = arm.payers / arm.people
    added = (noise.payers**2 + value**2 * noise.people**2) / arm.people**2
    a, b, c = 1 + z * z / arm.people, 2 * value + z * z / arm.people, value**2 - z * z * added
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return Interval(value, (b - root) / (2 * a), (b + root) / (2 * a))


def mean_spend(arm: Arm, noise: Noise, z: float = Z95) -> Interval:
    """Net spend a person in major units. Raises Refused where no spend was released."""
    if arm.spend is None or arm.square is None:
        raise Refused("The spend of the arms was not released.")
    value = arm.spend / MINOR / arm.people
    sampling = max(arm.square / arm.people - value**2, 0.0) / arm.people
    added = ((noise.spend / MINOR) ** 2 + value**2 * noise.people**2) / arm.people**2
    width = z * math.sqrt(sampling + added)
    return Interval(value, value - width, value + width)


def difference(first: Interval, second: Interval) -> Interval:
    """first - second, from their own intervals (both closed)."""
    low1, high1 = _closed(first)
    low2, high2 = _closed(second)
    value = first.value - second.value
    down = math.hypot(first.value - low1, high2 - second.value)
    up = math.hypot(high1 - first.value, second.value - low2)
    return Interval(value, value - down, value + up)


def ratio(first: Interval, second: Interval) -> Interval | None:
    """first / second - 1; above it is open where the second may be 0; None where the second is not above 0."""
    if second.value <= 0:
        return None
    low1, high1 = _closed(first)
    low2, high2 = _closed(second)
    product = first.value * second.value
    below = _root(product, low1, high2, first.value, second.value)
    low = (product - below) / (high2 * (2 * second.value - high2)) if _fits(high2, second.value) else None
    high = None
    if low2 > 0:
        high = (product + _root(product, high1, low2, first.value, second.value)) / (
            low2 * (2 * second.value - low2)
        ) - 1
    return Interval(first.value / second.value - 1, None if low is None else low - 1, high)


def _root(product: float, one: float, two: float, first: float, second: float) -> float:
    return math.sqrt(max(product**2 - one * two * (2 * first - one) * (2 * second - two), 0.0))


def _fits(high: float, value: float) -> bool:
    return high * (2 * value - high) > 0


def _closed(interval: Interval) -> tuple[float, float]:
    low, high = interval.low, interval.high
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def _within(interval: Interval) -> Interval:
    """A share as it is shown: an interval of shares is within 0 and 1."""
    low, high = _closed(interval)
    return Interval(interval.value, min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0))


def _times(bound: float | None, factor: float) -> float | None:
    return None if bound is None else bound * factor
