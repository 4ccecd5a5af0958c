"""Noised tables made to agree with each other, and how far each figure read from them may be off.

Each table is cut into its effects: the mean, each column's deviations from it, each pair's. The noise of different
effects is independent, so the best linear unbiased estimate of an effect is the mean of what the tables say of it,
weighted by the inverse variances. Put together again, all margins agree exactly (up to the rounding of float64).
This is the least-squares estimate over all tables: Barak et al., PODS 2007, section 4; Xiao et al., 'An Optimal and
Scalable Matrix Mechanism for Noisy Marginals', NeurIPS 2023, section 4.

Only noised tables are looked at: what is computed here costs no budget. Nothing is cut at zero or rounded here, since
both would bias sums; whoever shows a figure rounds it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Names = tuple[str, ...]
"""Columns of a table, sorted; () is the total."""
Estimates = NDArray[np.float64]
NORMAL_95 = 1.959964
"""Of a normal error, 95 % is within so many standard deviations."""


@dataclass(frozen=True)
class Errors:
    """Standard errors of sums over consistent tables.

    sizes: cells of each column; variances: of the noise in a cell, by table.
    """

    sizes: Mapping[str, int]
    variances: Mapping[Names, float]

    def of(self, table: Names, weights: Estimates) -> float:
        """Of the sum of the table's cells by `weights` (as the table in shape)."""
        return math.sqrt(sum(self._part(table, effect, weights) for effect in subsets(table)))

    def of_blocks(self, table: Names, cells: Estimates) -> Estimates:
        """Of n sums, each over a block of the table: float64[n]. cells: int or float[n, columns], the block's sides."""
        total = np.zeros(len(cells))
        for effect in subsets(table):
            part = np.full(len(cells), self._variance(effect))
            for side, name in zip(cells.T, table, strict=True):
                size = self.sizes[name]
                part *= side - side**2 / size if name in effect else (side / size) ** 2
            total += part
        return np.sqrt(np.maximum(total, 0.0))

    def _part(self, table: Names, effect: Names, weights: Estimates) -> float:
        others = _other_axes(table, effect)
        summed = _deviations(weights.sum(axis=others)) / math.prod(self.sizes[table[axis]] for axis in others)
        return float((summed**2).sum()) * self._variance(effect)

    def _variance(self, effect: Names) -> float:
        return 1 / sum(self.told[effect].values())

    @cached_property
    def told(self) -> dict[Names, dict[Names, float]]:
        """For each effect the tables that tell of it, and the inverse variance of what each says."""
        found: dict[Names, dict[Names, float]] = {}
        for table, variance in self.variances.items():
            for effect in subsets(table):
                others = math.prod(self.sizes[name] for name in table if name not in effect)
                found.setdefault(effect, {})[table] = 1 / (variance * others)
        return found


def errors(raw: Mapping[Names, NDArray[np.int64]], sigma: int, draws: int | Mapping[Names, int]) -> Errors:
    """Of `consistent` with the same arguments."""
    sizes = {name: size for table, counts in raw.items() for name, size in zip(table, counts.shape, strict=True)}
    variances = {table: float(sigma**2 * (draws if isinstance(draws, int) else draws[table])) for table in raw}
    return Errors(sizes, variances)


def consistent(
    raw: Mapping[Names, NDArray[np.int64]], sigma: int, draws: int | Mapping[Names, int] = 1
) -> dict[Names, Estimates]:
    """The tables whose margins agree, nearest to the noised ones `raw`, in float64.

    raw: counts by table, with all tables by fewer of its columns; sigma: of one draw's noise in each cell; draws: how
    many were added, in all tables or in each.
    """
    known = errors(raw, sigma, draws)
    effects = {effect: _effect(raw, known, effect) for effect in raw}
    return {table: _composed(table, effects, counts.shape, known) for table, counts in raw.items()}


def subsets(table: Names) -> Iterator[Names]:
    """All choices of a table's columns, each sorted as they are, from none to all."""
    for count in range(len(table) + 1):
        yield from combinations(table, count)


def _effect(raw: Mapping[Names, NDArray[np.int64]], known: Errors, effect: Names) -> Estimates:
    told = known.told[effect]
    mean = np.sum([weight * raw[table].sum(axis=_other_axes(table, effect)) for table, weight in told.items()], axis=0)
    return _deviations(np.asarray(mean / sum(told.values()), np.float64))


def _composed(table: Names, effects: Mapping[Names, Estimates], shape: tuple[int, ...], known: Errors) -> Estimates:
    total = np.zeros(shape)
    for effect in subsets(table):
        others = _other_axes(table, effect)
        spread = np.expand_dims(effects[effect], others)
        total += spread / math.prod(known.sizes[table[axis]] for axis in others)
    return total


def _other_axes(table: Names, effect: Names) -> tuple[int, ...]:
    return tuple(axis for axis, name in enumerate(table) if name not in effect)


def _deviations(values: Estimates) -> Estimates:
    """What is left without the means along each axis."""
    for axis in range(np.ndim(values)):
        values = values - values.mean(axis=axis, keepdims=True)
    return np.asarray(values, np.float64)
