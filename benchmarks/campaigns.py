"""`python -m benchmarks.campaigns`: lift recovered on simulated campaigns whose effect is known.

Each run draws people, their arms by `cleanroom.campaigns.arms`, what they do, and the release's noise by
`cleanroom.privacy.noise`; counted is how often the 95 % interval holds the true effect. --save writes
docs/evidence/lift.md.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from cleanroom.campaigns import arms
from cleanroom.campaigns.lift import Arm, Interval, Lift, Noise, lift
from cleanroom.campaigns.power import smallest
from cleanroom.privacy import noise

CLAMP = 50_000
"""Of a person's spend, minor units."""
_SIGMA_LOG = 0.8
_SAVED = Path(__file__).parents[1] / "docs" / "evidence" / "lift.md"


@dataclass(frozen=True)
class World:
    """A campaign: people of the crowd, share held out, share that pays anyway, what the campaign adds to it, what a
    payer spends on average (major units), what the campaign adds to that, noise (0: off), parties that draw it."""

    name: str
    people: int
    share: float
    base: float
    effect: float
    basket: float = 80.0
    more: float = 0.0
    sigma: int = 20
    draws: int = 1


WORLDS = (
    World("large, small effect", 100_000, 0.1, 0.05, 0.005),
    World("large, zero effect", 100_000, 0.1, 0.05, 0.0),
    World("usual", 20_000, 0.1, 0.05, 0.02),
    World("usual, zero effect", 20_000, 0.1, 0.05, 0.0),
    World("usual, larger baskets too", 20_000, 0.2, 0.08, 0.02, 80.0, 15.0),
    World("small arms", 3_000, 0.15, 0.1, 0.05),
    World("small arms, zero effect", 3_000, 0.15, 0.1, 0.0),
    World("rare payers", 20_000, 0.1, 0.004, 0.004),
    World("rare payers, zero effect", 20_000, 0.1, 0.004, 0.0),
    World("two parties' noise", 20_000, 0.2, 0.05, 0.02, draws=2),
    World("no noise", 20_000, 0.1, 0.05, 0.01, sigma=0),
    World("no noise, rare payers, small arms", 3_000, 0.15, 0.01, 0.0, sigma=0),
)


@dataclass(frozen=True)
class Found:
    """Of a world's runs: how many; shares whose interval holds the truth: of the difference, the ratio, revenue (None
    where it is never told); mean error and mean half width of the difference; share that shows the right sign."""

    runs: int
    difference: float
    ratio: float
    revenue: float | None
    bias: float
    width: float
    shown: float


def run(world: World, runs: int, seed: int) -> Found:
    """So many campaigns."""
    generator = np.random.default_rng(seed)
    results = [_one(world, generator) for _ in range(runs)]
    truth = world.effect
    paid = (world.base + truth) * _clamped_mean(world.basket + world.more) - world.base * _clamped_mean(world.basket)
    each = [each for found, treated in results if (each := _revenue(found, treated)) is not None]
    gaps = [found.difference for found, _ in results]
    return Found(
        runs,
        float(np.mean([_holds(gap.low, gap.high, truth) for gap in gaps])),
        float(np.mean([one is None or _holds(one.low, one.high, truth / world.base) for one in _ratios(results)])),
        float(np.mean([_holds(low, high, paid) for low, high in each])) if each else None,
        float(np.mean([gap.value for gap in gaps]) - truth),
        float(np.mean([(gap.high or 0.0) - (gap.low or 0.0) for gap in gaps]) / 2),
        float(np.mean([gap.beyond == (1 if truth >= 0 else -1) for gap in gaps])),
    )


def _one(world: World, generator: np.random.Generator) -> tuple[Lift, int]:
    """(what is found of one campaign, the released size of its treated arm)."""
    digests = generator.integers(0, 256, (world.people, 32), dtype=np.uint8)
    strata = generator.integers(0, 5, world.people)
    given = arms.assign(digests, world.share, strata, generator.bytes(32))
    scales = [max(1, world.sigma * reach) for reach in (1, 1, CLAMP, (CLAMP // 100) ** 2)]
    drawn = np.zeros((2, 4), np.int64)
    for _ in range(world.draws if world.sigma else 0):
        drawn += noise.draw(scales, 2)
    found = []
    for arm in (arms.TREATED, arms.HELD_OUT):
        count = int((given == arm).sum())
        is_treated = arm == arms.TREATED
        spend = _spend(world, count, is_treated, generator)
        numbers = np.array([count, (spend > 0).sum(), spend.sum(), ((spend**2 + 5000) // 10000).sum()]) + drawn[arm]
        found.append(Arm(*(int(number) for number in numbers)))
    root = world.draws**0.5
    sizes = [0.0 if not world.sigma else scale * root for scale in scales]
    return lift(found[0], found[1], Noise(*sizes)), found[0].people


def _spend(world: World, count: int, treated: bool, generator: np.random.Generator) -> "np.typing.NDArray[np.int64]":
    """Minor units by person: log-normal baskets of those who pay, clamped."""
    pays = generator.random(count) < world.base + treated * world.effect
    mean = world.basket + treated * world.more
    baskets = np.exp(generator.normal(np.log(mean) - _SIGMA_LOG**2 / 2, _SIGMA_LOG, count))
    return np.where(pays, np.clip(baskets * 100, 1, CLAMP), 0).astype(np.int64)


def _clamped_mean(mean: float) -> float:
    """Of a log-normal basket of that mean, clamped."""
    normal, middle, most = NormalDist(), math.log(mean) - _SIGMA_LOG**2 / 2, CLAMP / 100
    beyond = normal.cdf((math.log(most) - middle) / _SIGMA_LOG)
    inside = normal.cdf((math.log(most) - middle) / _SIGMA_LOG - _SIGMA_LOG)
    return mean * inside + most * (1 - beyond)


def _revenue(found: Lift, treated: int) -> tuple[float, float] | None:
    """The interval of the revenue for the campaign's sake, by person treated."""
    if found.revenue is None or found.revenue.low is None or found.revenue.high is None:
        return None
    return found.revenue.low / treated, found.revenue.high / treated


def _ratios(results: list[tuple[Lift, int]]) -> list[Interval | None]:
    return [found.ratio for found, _ in results]


def _holds(low: float | None, high: float | None, truth: float) -> bool:
    return (low is None or low <= truth) and (high is None or truth <= high)


def _lines(runs: int, seed: int) -> Iterator[str]:
    yield (
        "| campaign | people | held out | pays anyway | effect | noise σ | covers: lift | ratio | revenue | "
        "mean error | ± | shows it | smallest lift told before |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for world in WORLDS:
        found = run(world, runs, seed)
        told = smallest(world.people, world.share, world.base, world.sigma, draws=world.draws)
        paid = "–" if found.revenue is None else f"{found.revenue:.1%}"
        sigma = f"{world.sigma}" + (f" × {world.draws}" if world.draws > 1 else "")
        least = "–" if told.difference is None else f"{100 * told.difference:.2f}"
        yield (
            f"| {world.name} | {world.people:,} | {world.share:.0%} | {world.base:.1%} | {100 * world.effect:.2f} | "
            f"{sigma} | {found.difference:.1%} | {found.ratio:.1%} | {paid} | {100 * found.bias:+.3f} | "
            f"{100 * found.width:.2f} | {found.shown:.0%} | {least} |"
        )


def main() -> None:
    """Print the table; --save it too."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=20261122)
    options.add_argument("--save", action="store_true", help="write docs/evidence/lift.md")
    given = options.parse_args()
    table = "\n".join(_lines(given.runs, given.seed)) + "\n"
    sys.stdout.write(table)
    if given.save:
        _SAVED.write_text(
            _HEAD.format(runs=given.runs, luck=200 * math.sqrt(0.95 * 0.05 / given.runs)) + table, "utf-8"
        )


_HEAD = """# Lift recovered on simulated campaigns

Made by `python -m benchmarks.campaigns --save`: {runs} campaigns a row, noise by `cleanroom.privacy.noise` (discrete
Gaussian of OpenDP), arms by `cleanroom.campaigns.arms`. Effects, errors and widths are in percentage points of the
share of payers. "covers": how often the 95 % interval holds the true value; luck alone moves that by
± {luck:.1f} points (two standard errors).
A ratio that cannot be told, as nobody seems to pay anyway, claims nothing, and so covers; revenue is not told (–) where
too few pay. "shows it": runs whose interval is above 0.

"""

if __name__ == "__main__":
    main()
