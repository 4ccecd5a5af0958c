"""Sizes as ranges: the only form in which the number of persons in a match or a crowd is shown.

Edges are fixed numbers, never fitted to the data. In noise-off rooms the true size is put in its range, so that a size
at an edge can be told from its neighbour; where noise is on, the noised size is.
"""

from dataclasses import dataclass

from cleanroom.errors import BadData
from cleanroom.lang import t

_SERIES = (1, 2, 5)


@dataclass(frozen=True)
class Range:
    """`low` to `high` persons, both included. `withheld`: all that is said is that there are at most `high`."""

    low: int
    high: int
    withheld: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high or (self.withheld and self.low):
            raise BadData("A range of sizes is not in order.")

    def text(self) -> str:
        """For people, in the current language: '200–499', 'fewer than 100'."""
        if self.withheld:
            return t("fewer than {limit}", limit=f"{self.high + 1:,}")
        return t("{low}–{high}", low=f"{self.low:,}", high=f"{self.high:,}")


def size_range(people: int, k: int) -> Range:
    """The range of the series 1-2-5 (100, 200, 500, 1,000, …) that `people` is in.

    The first range is withheld; it ends below the first number of the series that is at least `k`.
    """
    step = 0
    while (first := _edge(step)) < k:
        step += 1
    if people < first:
        return Range(0, first - 1, withheld=True)
    while _edge(step + 1) <= people:
        step += 1
    return Range(_edge(step), _edge(step + 1) - 1)


def _edge(step: int) -> int:
    power, position = divmod(step, len(_SERIES))
    return int(_SERIES[position] * 10**power)
