"""What a campaign cost and what it was worth. Costs are its merchant's own; what it brought is from released lift.

cost per new payer   cost / payers for its sake          ROI   (revenue for its sake × margin - cost) / cost
ROAS                 attributed revenue / cost: what paid after a touch, which is no lift
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from cleanroom.campaigns.lift import Interval
from cleanroom.errors import BadData, UsageError

_MOST = 10**13


@dataclass(frozen=True)
class Costs:
    """All in minor units but for points (a number), point_price (minor units for 1,000 points) and margin (‰ of net
    revenue that is left before the campaign's costs).

    coupons: what redeemed coupons cost the merchant, not their face value where the platform bears a part.
    """

    media: int = 0
    coupons: int = 0
    points: int = 0
    point_price: int = 0
    margin: int = 1000

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if type(value) is not int or not 0 <= value <= _MOST:
                raise UsageError("A cost is a number from 0 on.")
        if self.margin > 1000:
            raise UsageError("A margin is a share of the revenue.")

    @property
    def total(self) -> int:
        """Minor units."""
        return self.media + self.coupons + self.points * self.point_price // 1000

    def plain(self) -> dict[str, int]:
        """As canonical JSON."""
        return asdict(self)


def from_plain(value: Any) -> Costs:
    """Of `plain`. Raises BadData."""
    try:
        return Costs(**value)
    except (TypeError, UsageError) as error:
        raise BadData("The costs of a campaign are damaged.", "Enter them again.") from error


def cost_per_payer(costs: Costs, payers: Interval) -> Interval | None:
    """Major units for each payer for the campaign's sake; open above where there may be none. None without any."""
    cost = costs.total / 100
    if payers.value <= 0:
        return None
    low = cost / payers.high if payers.high else None
    high = cost / payers.low if payers.low is not None and payers.low > 0 else None
    return Interval(cost / payers.value, low, high)


def roi(costs: Costs, revenue: Interval | None) -> Interval | None:
    """None without costs or without released spend."""
    if revenue is None or not costs.total:
        return None
    cost, margin = costs.total / 100, costs.margin / 1000
    low, high = (None if bound is None else bound * margin / cost - 1 for bound in (revenue.low, revenue.high))
    return Interval(revenue.value * margin / cost - 1, low, high)


def roas(costs: Costs, attributed: float | None) -> float | None:
    """Attributed revenue (major units) by cost."""
    return attributed / (costs.total / 100) if attributed is not None and costs.total else None
