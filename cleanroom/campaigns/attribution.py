"""Credit for payments by touches before them, in declared buckets of days: attribution, which is no lift.

It says which touch stood before a payment, not what would have been paid without it; people who would have paid anyway
are credited all the same. Each side knows its own days alone, so that touches and payments meet as released counts by
bucket. A touch of the same bucket as the payment counts as before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cleanroom.campaigns.outcomes import BUCKETS, NONE
from cleanroom.errors import BadData

FIRST_SHARE = LAST_SHARE = 0.4
"""Of position attribution: 40 % to the first touch, 40 % to the last, the rest evenly to those between."""
_ORDER = {label: place for place, (_, label) in enumerate(BUCKETS)}


@dataclass(frozen=True)
class Touch:
    """A channel, in a bucket of days since the campaign's start."""

    channel: str
    bucket: str


@dataclass(frozen=True)
class Paths:
    """People with the same touches, in their order, and the same bucket of first payment; their spend, minor units."""

    touches: tuple[Touch, ...]
    paid: str
    people: float
    spend: float


def touches_of(label: str) -> tuple[Touch, ...]:
    """Of a label as message@1 day>coupon@2-7 days; none of `none` and of labels that nobody declared.

    Raises BadData for a bucket that is not known.
    """
    found = []
    for part in () if "@" not in label else label.split(">"):
        channel, _, bucket = part.partition("@")
        if bucket not in _ORDER:
            raise BadData("A column of touches has a bucket that is not known.", "Collect the campaign again.")
        found.append(Touch(channel, bucket))
    return tuple(found)


def last_touch(paths: Sequence[Paths], window: int = len(BUCKETS)) -> Mapping[str, float]:
    """Spend by channel: all of it to the last touch before the payment. window: buckets that a touch may lie back."""
    return _credited(paths, window, lambda count: [0.0] * (count - 1) + [1.0])


def by_position(paths: Sequence[Paths], window: int = len(BUCKETS)) -> Mapping[str, float]:
    """Spend by channel: 40 % to the first touch before the payment, 40 % to the last, 20 % to those between."""
    return _credited(paths, window, _positions)


def _positions(count: int) -> list[float]:
    if count == 1:
        return [1.0]
    if count == 2:
        return [0.5, 0.5]
    middle = (1 - FIRST_SHARE - LAST_SHARE) / (count - 2)
    return [FIRST_SHARE, *[middle] * (count - 2), LAST_SHARE]


def _credited(paths: Sequence[Paths], window: int, shares: Callable[[int], list[float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for path in paths:
        if path.paid == NONE or path.paid not in _ORDER:
            continue
        at = _ORDER[path.paid]
        before = [touch for touch in path.touches if at - window < _ORDER[touch.bucket] <= at]
        for touch, share in zip(before, shares(len(before)) if before else [], strict=True):
            found[touch.channel] = found.get(touch.channel, 0.0) + share * path.spend
        if not before:
            found[NONE] = found.get(NONE, 0.0) + path.spend
    return found
